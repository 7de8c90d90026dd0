"""A page measured in inches from its top left corner, for pictures made of photos, frames and text."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from adamine_jax.plots import style
from adamine_jax.plots.text import squeeze, text_width, wrap

WIDTH = 7.1
"""Inches: both columns of a paper, whose text then has the size that is asked for here."""
DPI = 200
_LINE = 1.3 / 72  # inches from line to line for each point of font size
_CAPITAL = 0.76 / 72  # and from the top of a capital letter to the baseline


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
        size: float = 7,
        lines: int = 1,
        weight: str = "normal",
        color: str = style.BLACK,
    ) -> float:
        """Writes `text` below y in at most `lines` lines of `width` inches; returns the y below it."""
        for line in wrap(text, width * 72, size, lines, weight):
            # By the baseline: the top of a line depends on its letters.
            place = y + _CAPITAL * size
            self._axes.text(x, place, line, size=size, weight=weight, color=color, va="baseline", ha="left")
            y += size * _LINE
        return y

    def upwards(self, x: float, y: float, text: str, height: float) -> None:
        """Writes `text` in bold from the bottom to the top of a box of `height` inches, in its middle."""
        line = squeeze(text, height * 72, 7)
        at = {"rotation": 90, "rotation_mode": "anchor", "ha": "center", "va": "top"}
        self._axes.text(x, y + height / 2, line, size=7, weight="bold", color=style.BLACK, **at)

    def key(self, x: float, y: float, captions: str, *frames: tuple[dict | None, str]) -> None:
        """One line of small print: what captions and frames mean; None stands for a tick."""
        if captions:
            self.text(x, y, captions, WIDTH, size=6.5)
            x += text_width(captions, 6.5) / 72 + 0.22
        for frame, meaning in frames:
            if frame is None:
                self.tick(x + TICK / 2, y + 0.058)
            else:
                self.frame(x + 0.03, y + 0.018, 0.16, 0.08, **frame)
            self.text(x + 0.27, y, meaning, WIDTH, size=6.5)
            x += 0.27 + text_width(meaning, 6.5) / 72 + 0.22

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

    def tick(self, x: float, y: float) -> None:
        """A small disc with a tick, (x, y) its middle."""
        disc = Circle((x, y), TICK / 2, facecolor=style.GREEN, edgecolor="white", linewidth=0.8, zorder=3)
        self._axes.add_patch(disc)
        strokes = np.array([(-0.26, 0.02), (-0.07, 0.22), (0.27, -0.2)]) * TICK
        self._axes.plot(x + strokes[:, 0], y + strokes[:, 1], color="white", linewidth=1.3, zorder=4)

    def line(self, x: float, y: float, width: float) -> None:
        """A thin grey line to the right."""
        self._axes.plot([x, x + width], [y, y], color=style.LIGHT_GREY, linewidth=0.6, zorder=0.5)

    def save(self, path: Path) -> Path:
        """Writes the page as .png, .svg or .jpg; returns the path."""
        return style.save(self._figure, path, DPI)

    def save_both(self, out_png: Path) -> list[Path]:
        """Writes the page as PNG, and as SVG beside it; returns the two."""
        return style.save_both(self._figure, out_png, DPI)


TICK = 0.17
"""Inches: across the disc of `Page.tick`."""
