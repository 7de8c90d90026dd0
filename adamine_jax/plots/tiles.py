"""Photos of recipes on a page: what stands around each of them."""

from adamine_jax.gallery.files import Item
from adamine_jax.plots import style
from adamine_jax.plots.items import name_of, square_pixels
from adamine_jax.plots.page import DPI, Page

MARGIN, GAP = 0.06, 0.08
"""Inches at the edge of a page and between two photos."""
CAPTION, TITLE = 0.145, 0.29
"""Inches that the caption above a photo and the title below it take up."""
RIGHT = {"color": style.GREEN, "line": 2.6}
PLAIN = {"color": style.LIGHT_GREY, "line": 0.6}


def draw_photo(page: Page, x: float, y: float, side: float, item: Item, frame: dict, ticked: bool = False) -> None:
    """An item's photo, (x, y) its upper left corner, with its frame, its title below it, and a tick in a corner."""
    page.photo(x, y, side, side, square_pixels(item, round(side * DPI)))
    page.frame(x, y, side, side, **frame)
    page.text(x, y + side + 0.055, name_of(item), side + 0.03, size=6.2, lines=2, color=style.GREY)
    if ticked:
        page.tick(x + side - 0.1, y + 0.1)


def signed(similarity: float) -> str:
    """A similarity with two decimals, a minus of the width of a digit, and no minus before a zero."""
    return f"{similarity:z.2f}".replace("-", "−")
