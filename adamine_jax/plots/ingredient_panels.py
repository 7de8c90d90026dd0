"""Draws the photos retrieved for a single ingredient and counts the recipes that contain it (figure 4 of the paper)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.items import Item
from adamine_jax.plots import style
from adamine_jax.plots.gallery_items import has_readable_photo
from adamine_jax.plots.ingredient_presence import contain_ingredient
from adamine_jax.plots.page import GAP, MARGIN, PLAIN, TITLE, WIDTH, Page
from adamine_jax.plots.text import percent

TOP, COLUMNS = 12, 6
_TEXT_WIDTH = 1.42  # inches
_SIDE = (WIDTH - 2 * MARGIN - _TEXT_WIDTH - COLUMNS * GAP) / COLUMNS
_ROW = _SIDE + TITLE + 0.04
_CONTAINS = {"color": style.GREEN, "line": 2.2}


@dataclasses.dataclass(frozen=True)
class Panel:
    """Photos retrieved for an ingredient.

    Attributes:
        name: Name of the ingredient.
        within: Class that was searched; None for the whole gallery.
        items: Retrieved items, best first.
        contains: Whether each retrieved recipe contains the ingredient.
        base_rate: Share of the searched recipes that contain it, from 0 to 1.
        num_searched: Number of photos searched.
    """

    name: str
    within: str | None
    items: list[Item]
    contains: list[bool]
    base_rate: float
    num_searched: int

    @property
    def precision(self) -> float:
        """Share of the retrieved recipes that contain the ingredient."""
        return sum(self.contains) / len(self.contains)

    def __str__(self) -> str:
        within = f" within {self.within}" if self.within else ""
        return (
            f"{self.name}{within}: {sum(self.contains)} of the {len(self.contains)} nearest photos belong to recipes "
            f"with it ({percent(self.precision)}), against {percent(self.base_rate, 1)} of all {self.num_searched:,} "
            "photos"
        )


def find(gallery: Gallery, items: Sequence[Item], name: str, query: np.ndarray, within: str | None = None) -> Panel:
    """Searches the photos for an ingredient, skipping photos that cannot be read with a warning on stderr.

    Args:
        gallery: Gallery to search.
        items: All items of the gallery.
        name: Name of the ingredient.
        query: (D,) unit embedding of a recipe with this ingredient alone.
        within: Class whose photos are searched; None searches all.

    Raises:
        UserError: The class does not exist or is empty, or none of the photos can be read.
    """
    rows = gallery.rows_of_class(within).tolist() if within else range(len(gallery))
    searched = contain_ingredient([items[row] for row in rows], name)
    contains = dict(zip(rows, searched.tolist(), strict=True))
    # Retrieves a few extra in case some photos cannot be read.
    (hits,) = gallery.search(query[None], among="photos", top=TOP + 8, class_name=within)
    shown = [hit.row for hit in hits if has_readable_photo(hit.item)][:TOP]
    if not shown:
        raise UserError(f"{gallery.folder}: none of the photos retrieved for {name} can be read")
    found = [items[row] for row in shown]
    return Panel(name, within, found, [contains[row] for row in shown], float(searched.mean()), len(rows))


def draw(panels: Sequence[Panel], out_png: Path) -> list[Path]:
    """Draws panels from top to bottom, with a tick on each photo whose recipe contains the ingredient.

    Returns the paths of the PNG and of the SVG beside it. Equal arguments give equal bytes.
    """
    heights = [_ROW * -(-len(panel.items) // COLUMNS) + 0.1 for panel in panels]
    with style.styled():
        page = Page(WIDTH, 0.08 + sum(heights) + 0.17)
        top = 0.08
        for number, (panel, height) in enumerate(zip(panels, heights, strict=True)):
            if number:
                page.rule(top - 0.06)
            _draw_caption(page, panel, top)
            for place, (item, contains) in enumerate(zip(panel.items, panel.contains, strict=True)):
                row, column = divmod(place, COLUMNS)
                x, y = MARGIN + _TEXT_WIDTH + GAP + column * (_SIDE + GAP), top + 0.02 + row * _ROW
                page.recipe_photo(x, y, _SIDE, item, _CONTAINS if contains else PLAIN, ticked=contains)
            top += height
        caption = "Photos nearest to a recipe of this ingredient alone, best first, row by row."
        page.key(MARGIN, top, caption, (None, "the photo's recipe contains the ingredient"))
        return page.save_both(out_png)


def _draw_caption(page: Page, panel: Panel, y: float) -> None:
    y = page.text(MARGIN, y, panel.name, _TEXT_WIDTH, size=9, lines=3, weight="bold")
    if panel.within:
        y = page.text(MARGIN, y, f"within {panel.within}", _TEXT_WIDTH, size=7.5, lines=2)
    y += 0.06
    color = style.GREEN if panel.precision > panel.base_rate else style.GREY
    y = page.text(MARGIN, y, percent(panel.precision), _TEXT_WIDTH, size=13, weight="bold", color=color) - 0.02
    shown = f"contain it ({sum(panel.contains)} of {len(panel.contains)} shown)"
    y = page.text(MARGIN, y, shown, _TEXT_WIDTH, size=6.5, lines=2) + 0.05
    y = page.text(MARGIN, y, percent(panel.base_rate, 1), _TEXT_WIDTH, size=9, weight="bold", color=style.GREY)
    searched = f"of all {panel.num_searched:,} in " + (f"class {panel.within}" if panel.within else "the gallery")
    page.text(MARGIN, y, searched, _TEXT_WIDTH, size=6.5, lines=3, color=style.GREY)
