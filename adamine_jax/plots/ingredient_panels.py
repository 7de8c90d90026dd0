"""Photos that are found for an ingredient alone, and how many of their recipes have it: figure 4 of the paper."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import Item
from adamine_jax.gallery.store import Gallery
from adamine_jax.plots import style
from adamine_jax.plots.having import have
from adamine_jax.plots.items import is_readable
from adamine_jax.plots.page import WIDTH, Page
from adamine_jax.plots.text import percent
from adamine_jax.plots.tiles import GAP, MARGIN, PLAIN, TITLE, draw_photo

TOP, COLUMNS = 12, 6
_TEXT = 1.42  # inches for what stands beside the photos
_SIDE = (WIDTH - 2 * MARGIN - _TEXT - COLUMNS * GAP) / COLUMNS
_ROW = _SIDE + TITLE + 0.04
_HAVING = {"color": style.GREEN, "line": 2.2}


@dataclasses.dataclass(frozen=True)
class Panel:
    """What was found for an ingredient.

    Attributes:
        name: of the ingredient.
        within: the class that was searched; None = the whole gallery.
        items: found, the best first.
        having: of each, whether its recipe has the ingredient.
        share: of all that was searched, which part has it, from 0 to 1.
        searched: number of photos.
    """

    name: str
    within: str | None
    items: list[Item]
    having: list[bool]
    share: float
    searched: int

    @property
    def found(self) -> float:
        """Share of the found ones that have it."""
        return sum(self.having) / len(self.having)

    def __str__(self) -> str:
        within = f" within {self.within}" if self.within else ""
        return (
            f"{self.name}{within}: {sum(self.having)} of the {len(self.having)} nearest photos are of recipes that "
            f"have it ({percent(self.found)}); of all {self.searched:,}{within}: {percent(self.share, 1)}"
        )


def find(
    gallery: Gallery, items: Sequence[Item], name: str, query: np.ndarray, within: str | None = None, top: int = TOP
) -> Panel:
    """Searches the photos for an ingredient.

    Photos that cannot be read are named on stderr and left out.

    Args:
        gallery: that is searched.
        items: all of its items.
        name: of the ingredient.
        query: (D,) unit row, the embedding of a recipe of this ingredient alone.
        within: a class, to search among its photos alone.
        top: how many.

    Raises:
        UserError: there is no such class, it is empty, or none of the photos can be read.
    """
    rows = gallery.rows_of_class(within).tolist() if within else range(len(gallery))
    if not rows:
        raise UserError(f"--within {within}: {gallery.folder} has no recipe of this class")
    having = have([items[row] for row in rows], name)
    known = dict(zip(rows, having.tolist(), strict=True))
    # A few more, should some not be readable.
    (hits,) = gallery.search(query[None], among="photos", top=top + 8, class_name=within)
    shown = [hit.row for hit in hits if is_readable(hit.item)][:top]
    if not shown:
        raise UserError(f"none of the photos of {gallery.folder} that were found for {name} can be read")
    found = [items[row] for row in shown]
    return Panel(name, within, found, [known[row] for row in shown], float(having.mean()), len(rows))


def draw(panels: Sequence[Panel], out_png: Path) -> list[Path]:
    """Draws a panel for each ingredient; a tick is on each photo whose recipe has it.

    Args:
        panels: top to bottom.
        out_png: where the PNG goes; the SVG goes beside it. Equal arguments give equal bytes.

    Returns:
        The two files.
    """
    heights = [_ROW * -(-len(panel.items) // COLUMNS) + 0.1 for panel in panels]
    with style.styled():
        page = Page(WIDTH, 0.08 + sum(heights) + 0.17)
        y = 0.08
        for number, (panel, height) in enumerate(zip(panels, heights, strict=True)):
            if number:
                page.line(MARGIN, y - 0.06, WIDTH - 2 * MARGIN)
            _draw_caption(page, panel, y)
            for place, (item, having) in enumerate(zip(panel.items, panel.having, strict=True)):
                x = MARGIN + _TEXT + GAP + place % COLUMNS * (_SIDE + GAP)
                at = y + 0.02 + place // COLUMNS * _ROW
                draw_photo(page, x, at, _SIDE, item, _HAVING if having else PLAIN, ticked=having)
            y += height
        captions = "Nearest photos to a recipe of this ingredient alone, best first, row by row."
        page.key(MARGIN, y, captions, (None, "its own recipe has the ingredient"))
        return page.save_both(out_png)


def _draw_caption(page: Page, panel: Panel, y: float) -> None:
    y = page.text(MARGIN, y, panel.name, _TEXT, size=9, lines=3, weight="bold")
    if panel.within:
        y = page.text(MARGIN, y, f"within {panel.within}", _TEXT, size=7.5, lines=2)
    y += 0.06
    of = f"{sum(panel.having)} of {len(panel.having)} shown"
    color = style.GREEN if panel.found > panel.share else style.GREY  # green is what the model has found
    y = page.text(MARGIN, y, percent(panel.found), _TEXT, size=13, weight="bold", color=color) - 0.02
    y = page.text(MARGIN, y, f"have it ({of})", _TEXT, size=6.5, lines=2) + 0.05
    y = page.text(MARGIN, y, percent(panel.share, 1), _TEXT, size=9, weight="bold", color=style.GREY)
    among = f"all {panel.searched:,}" + (f" of class {panel.within}" if panel.within else " of the gallery")
    page.text(MARGIN, y, f"of {among}", _TEXT, size=6.5, lines=3, color=style.GREY)
