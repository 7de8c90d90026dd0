"""Draws a contact sheet of a download: photos of random recipes with titles and ingredients."""

import json
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import Item

_COLUMNS, _ROWS = 6, 5
_MARGIN, _GAP, _SIDE, _CAPTION = 0.1, 0.1, 1.0, 0.52  # inches


def write_contact_sheet(download: Path, out: Path, seed: int = 0) -> None:
    """Draws photos of random recipes of a download on one sheet.

    Args:
        download: Folder in the layout of Recipe1M's official download.
        out: Path ending in .png, .svg or .jpg.
        seed: Seed of the choice of recipes.

    Raises:
        UserError: A file of the download is missing or damaged, it has no readable photo, or `out` cannot be written.
    """
    # Imported here because the kitchen itself does not need this extra.
    from adamine_jax.plots import style
    from adamine_jax.plots.gallery_items import UnreadablePhoto
    from adamine_jax.plots.page import PLAIN, Page

    if out.suffix.lower() not in (".png", ".svg", ".jpg"):
        raise UserError(f"--contact-sheet {out}: must end in .png, .svg or .jpg")
    items = _items(download)
    width = 2 * _MARGIN + _COLUMNS * (_SIDE + _GAP) - _GAP
    drawn = 0
    with style.styled():
        page = Page(width, 2 * _MARGIN + _ROWS * (_SIDE + _CAPTION))
        for number in np.random.default_rng(seed).permutation(len(items)):
            row, column = divmod(drawn, _COLUMNS)
            if row == _ROWS:
                break
            item = items[number]
            x, y = _MARGIN + column * (_SIDE + _GAP), _MARGIN + row * (_SIDE + _CAPTION)
            try:
                page.recipe_photo(x, y, _SIDE, item, PLAIN)
            except UnreadablePhoto:
                continue
            page.text(x, y + _SIDE + 0.27, " · ".join(item.ingredients), _SIDE, size=5.5, lines=2)
            drawn += 1
        if not drawn:
            raise UserError(
                f"{download}: no readable photo; write a download first (--recipes N without --contact-sheet)"
            )
        try:
            page.save(out)
        except OSError as error:
            raise UserError(f"--contact-sheet {out}: {error.strerror or error}; name another file") from error


def _items(download: Path) -> list[Item]:
    """Returns the recipes with photos, sorted by id, with the path of the first photo."""
    photos = {
        record["id"]: record["images"][0]["id"] for record in _records(download / "layer2.json") if record["images"]
    }
    recipes = {record["id"]: record for record in _records(download / "layer1.json")}
    items = []
    for key in sorted(photos.keys() & recipes.keys()):
        recipe, photo = recipes[key], photos[key]
        path = download / "images" / recipe["partition"] / Path(*photo[:4]) / photo
        ingredients = tuple(line["text"] for line in recipe["ingredients"])
        items.append(Item(key, recipe["title"], ingredients=ingredients, photo=path))
    return items


def _records(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; --out must name an existing download") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); write the download again") from error
