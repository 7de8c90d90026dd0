"""A page for figures made of photos, frames and text, measured in inches from its top left corner."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from adamine_jax.gallery.items import Item
from adamine_jax.plots import style
from adamine_jax.plots.gallery_items import square_pixels, title_of
from adamine_jax.plots.text import squeeze, text_width, wrap

# Lengths are in inches.
WIDTH = 7.1
"""Width of both columns of a paper, at which the fonts keep their sizes."""
MARGIN, GAP = 0.06, 0.08
"""Margin of the page, and gap between two photos."""
CAPTION, TITLE = 0.145, 0.29
"""Heights of the caption above a photo and of the title below it."""
TICK = 0.17
"""Diameter of the disc drawn by `Page.tick`."""
DPI = 200
MATCH = {"color": style.GREEN, "line": 2.6}
"""Frame of the correct match."""
PLAIN = {"color": style.LIGHT_GREY, "line": 0.6}
_LINE = 1.3 / 72  # line spacing, per point of font size
_CAPITAL = 0.76 / 72  # height of a capital letter, per point of font size


class Page:
    """An empty white page of the given size; use it inside `style.styled()`."""

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
        """Writes `text` below y in at most `lines` lines of `width` inches; returns the y of its lower edge."""
        for line in wrap(text, width * 72, size, lines, weight):
            # Aligned at the baseline, since the top of a line depends on its letters.
            baseline = y + _CAPITAL * size
            self._axes.text(x, baseline, line, size=size, weight=weight, color=color, va="baseline", ha="left")
            y += size * _LINE
        return y

    def vertical_text(self, x: float, y: float, text: str, height: float) -> None:
        """Writes bold `text` bottom to top, centred in a box of `height` inches."""
        line = squeeze(text, height * 72, 7)
        position = {"rotation": 90, "rotation_mode": "anchor", "ha": "center", "va": "top"}
        self._axes.text(x, y + height / 2, line, size=7, weight="bold", color=style.BLACK, **position)

    def key(self, x: float, y: float, caption: str, *frames: tuple[dict | None, str]) -> None:
        """Writes a key in one line: a caption, then each frame (None for a tick) with its meaning."""
        if caption:
            self.text(x, y, caption, WIDTH, size=6.5)
            x += text_width(caption, 6.5) / 72 + 0.22
        for frame, meaning in frames:
            if frame is None:
                self.tick(x + TICK / 2, y + 0.058)
            else:
                self.frame(x + 0.03, y + 0.018, 0.16, 0.08, **frame)
            self.text(x + 0.27, y, meaning, WIDTH, size=6.5)
            x += 0.27 + text_width(meaning, 6.5) / 72 + 0.22

    def photo(self, x: float, y: float, width: float, height: float, pixels: np.ndarray) -> None:
        """Draws (H, W, 3) uint8 `pixels`, stretched to fill the box."""
        extent = (x, x + width, y + height, y)
        self._axes.imshow(pixels, extent=extent, aspect="auto", interpolation="antialiased", zorder=1)

    def recipe_photo(self, x: float, y: float, side: float, item: Item, frame: dict, ticked: bool = False) -> None:
        """Draws an item's photo in a square with a frame, its title below, and a tick in the corner if asked."""
        self.photo(x, y, side, side, square_pixels(item, round(side * DPI)))
        self.frame(x, y, side, side, **frame)
        self.text(x, y + side + 0.055, title_of(item), side + 0.03, size=6.2, lines=2, color=style.GREY)
        if ticked:
            self.tick(x + side - 0.1, y + 0.1)

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
        """Draws a rectangle whose border, `line` points wide, lies outside the box."""
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
        """Draws a small disc with a tick, centred at (x, y)."""
        disc = Circle((x, y), TICK / 2, facecolor=style.GREEN, edgecolor="white", linewidth=0.8, zorder=3)
        self._axes.add_patch(disc)
        strokes = np.array([(-0.26, 0.02), (-0.07, 0.22), (0.27, -0.2)]) * TICK
        self._axes.plot(x + strokes[:, 0], y + strokes[:, 1], color="white", linewidth=1.3, zorder=4)

    def rule(self, y: float) -> None:
        """Draws a thin grey line across the page."""
        width = self._axes.get_xlim()[1]
        self._axes.plot([MARGIN, width - MARGIN], [y, y], color=style.LIGHT_GREY, linewidth=0.6, zorder=0.5)

    def save(self, path: Path) -> Path:
        """Writes the page as .png, .svg or .jpg and returns the path."""
        return style.save(self._figure, path, DPI)

    def save_both(self, out_png: Path) -> list[Path]:
        """Writes the page as a PNG and as an SVG beside it, and returns the two paths."""
        return style.save_both(self._figure, out_png, DPI)


def signed(similarity: float) -> str:
    """Formats a similarity with two decimals, with a minus sign as wide as a digit and none before zero."""
    return f"{similarity:z.2f}".replace("-", "−")
