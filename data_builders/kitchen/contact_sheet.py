"""A picture of a download: one photo of each of some recipes, with title and what is on it."""

import itertools
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adamine_jax.base.errors import UserError

_COLUMNS, _ROWS, _CELL, _CAPTION = 6, 5, 220, 58


def write_contact_sheet(download: Path, out: Path, seed: int = 0) -> None:
    """Draws photos of randomly chosen recipes of a download on one sheet.

    Args:
        download: a folder in Recipe1M's official layout.
        out: the picture to write; its ending names the format.
        seed: which recipes are chosen.

    Raises:
        UserError: a file of the download is missing or broken, it has no readable photo, or `out` cannot be written.
    """
    font = _font_file()
    recipes = {recipe["id"]: recipe for recipe in _records(download / "layer1.json")}
    photos = {record["id"]: record["images"] for record in _records(download / "layer2.json") if record["images"]}
    order = sorted(photos.keys() & recipes.keys())
    chosen = (order[k] for k in np.random.default_rng(seed).permutation(len(order)))
    pairs = ((recipes[key], _opened(download, recipes[key]["partition"], photos[key][0]["id"])) for key in chosen)
    readable = ((recipe, picture) for recipe, picture in pairs if picture is not None)
    sheet = Image.new("RGB", (_COLUMNS * _CELL, _ROWS * (_CELL + _CAPTION)), (250, 248, 244))
    empty = True
    for place, (recipe, picture) in enumerate(itertools.islice(readable, _COLUMNS * _ROWS)):
        empty = False
        _lay(sheet, recipe, picture, place, font)
    if empty:
        raise UserError(f"{download}: no readable photo; write a download first (--recipes N without --contact-sheet)")
    try:
        sheet.save(out)
    except (OSError, ValueError) as error:
        raise UserError(f"--contact-sheet {out}: {error}") from error


def _font_file() -> Path:
    import matplotlib  # not above: the kitchen itself needs no extra

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # Pillow's own lacks most accents


def _lay(sheet: Image.Image, recipe: dict, picture: Image.Image, place: int, font_file: Path) -> None:
    left, top = place % _COLUMNS * _CELL, place // _COLUMNS * (_CELL + _CAPTION)
    picture.thumbnail((_CELL - 12, _CELL - 12), Image.Resampling.LANCZOS)
    sheet.paste(picture, (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2))
    draw = ImageDraw.Draw(sheet)
    lines = [recipe["title"], " · ".join(line["text"] for line in recipe["ingredients"])]
    for size, (text, colour) in enumerate(zip(lines, ((30, 26, 22), (110, 104, 98)), strict=True)):
        font = ImageFont.truetype(font_file, 13 - 2 * size)
        while draw.textlength(text, font) > _CELL - 12:
            text = text[:-2].rstrip() + "…" if text.endswith("…") else text + "…"
        draw.text((left + 6, top + _CELL - 2 + 17 * size), text, colour, font)


def _opened(download: Path, partition: str, name: str) -> Image.Image | None:
    """A photo of the download in full, or None where it is missing or broken."""
    try:
        with Image.open(download / "images" / partition / Path(*name[:4]) / name) as picture:
            return picture.convert("RGB")
    except OSError:
        return None


def _records(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; --out must name a download that exists") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); write the download again") from error
