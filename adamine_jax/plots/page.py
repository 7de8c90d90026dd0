"""A page measured in inches from its top left corner, for pictures made of photos, frames and text."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from adamine_jax.plots import style
from adamine_jax.plots.text import wrap

DPI = 150
_LINE = 1.3 / 72  # inches from line to line for each point of font size


class Page:
    """An empty white page; use it inside `style.styled()`.

    Args:
        width, height: in inches.
    """

    def __init__(self, width: float, height: float):
        self._figure = Figure(figsize=(width, height))
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        width: float,
        *,
        size: float = 8,
        lines: int = 1,
        weight: str = "normal",
        color: str = style.BLACK,
    ) -> float:
        """Writes `text` below y in at most `lines` lines of `width` inches; returns the y below it."""
        for line in wrap(text, width * 72, size, lines, weight):
            self._axes.text(x, y, line, size=size, weight=weight, color=color, va="top", ha="left")
            y += size * _LINE
        return y

    def photo(self, x: float, y: float, width: float, height: float, pixels: np.ndarray) -> None:
        """Shows (H, W, 3) uint8 `pixels` in the given box, stretched to fill it."""
        box = (x, x + width, y + height, y)
        self._axes.imshow(pixels, extent=box, aspect="auto", interpolation="antialiased", zorder=1)

    def frame(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        color: str = style.LIGHT_GREY,
        line: float = 0.8,
        dash: str | tuple = "-",
        fill: str = "none",
        layer: float = 2,
    ) -> None:
        """A rectangle whose border of `line` points lies around the box, not over it."""
        border = line / 72 / 2
        self._axes.add_patch(
            Rectangle(
                (x - border, y - border),
                width + 2 * border,
                height + 2 * border,
                edgecolor=color,
                facecolor=fill,
                linewidth=line,
                linestyle=dash,
                joinstyle="miter",
                zorder=layer,
            )
        )

    def save(self, path: Path) -> Path:
        """Writes the page as PNG or SVG."""
        return style.save(self._figure, path, dpi=DPI)
