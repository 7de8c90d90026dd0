"""A picture of kept pairs: photos with title, partition, class and first ingredients."""

from collections.abc import Sequence
from pathlib import Path

from adamine_jax.plots import style
from adamine_jax.plots.gallery_items import square_pixels
from adamine_jax.plots.page import DPI, Page
from data_builders.recipe1m.report.sample import Sampled

_COLUMNS = 6
_MARGIN, _GAP, _SIDE = 0.15, 0.16, 1.9  # inches
_CAPTION = 1.12  # below a photo


def write_contact_sheet(sample: Sequence[Sampled], path: Path) -> Path:
    """Draws the pairs of a sample, six a row; equal samples give equal bytes.

    Args:
        sample: the pairs, one at least.
        path: .jpg, .png or .svg.

    Returns:
        `path`.
    """
    columns, rows = min(_COLUMNS, len(sample)), -(-len(sample) // _COLUMNS)
    with style.styled():
        page = Page(2 * _MARGIN + columns * (_SIDE + _GAP) - _GAP, 2 * _MARGIN + rows * (_SIDE + _CAPTION))
        for number, sampled in enumerate(sample):
            row, column = divmod(number, _COLUMNS)
            _draw(page, _MARGIN + column * (_SIDE + _GAP), _MARGIN + row * (_SIDE + _CAPTION), sampled)
        return page.save(path)


def _draw(page: Page, x: float, y: float, sampled: Sampled) -> None:
    item = sampled.item
    page.photo(x, y, _SIDE, _SIDE, square_pixels(item, round(_SIDE * DPI)))
    page.frame(x, y, _SIDE, _SIDE)
    y += _SIDE + 0.05
    y = page.text(x, y, item.title.strip() or "(untitled)", _SIDE, size=8.5, lines=2, weight="bold")
    y = page.text(x, y + 0.01, f"{sampled.partition} · {item.class_name}", _SIDE, size=7.5, color=style.BLUE)
    y = page.text(x, y, "; ".join(item.ingredients), _SIDE, size=7, lines=3, color=style.GREY)
    page.text(x, y, item.id, _SIDE, size=6, color=style.GREY)
