"""Reads the items of a gallery for the figures: embeddings, titles, and photos as square images."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.files import read_photo
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.items import Item
from adamine_jax.recipes.photo_structure import UnreadablePhotoError, check_structure


class UnreadablePhoto(UserError):
    """An item's photo cannot be read; `id` is the item's id."""

    def __init__(self, item_id: str, message: str):
        self.id = item_id
        super().__init__(message)


def load_items(folder: Path) -> tuple[list[Item], np.ndarray, np.ndarray]:
    """Reads a gallery written by `python -m adamine_jax.embed`; photos stay on disk until they are drawn.

    Returns:
        The N items, and the (N, D) image and recipe embeddings in unit rows.

    Raises:
        UserError: The gallery is missing or damaged, or has embeddings of only one modality.
    """
    gallery = Gallery(folder)
    image, recipe = gallery.embeddings("image"), gallery.embeddings("recipe")
    return all_items(gallery), np.asarray(image), np.asarray(recipe)


def all_items(gallery: Gallery) -> list[Item]:
    """Returns the items of a gallery in the order of their rows.

    Raises:
        UserError: Items were removed from it, so a row number is no index of the list.
    """
    if gallery.rows[-1] != len(gallery) - 1:
        raise UserError(f"{gallery.folder}: figures need a gallery as it was embedded, but items were removed from it")
    return [gallery.item(row) for row in range(len(gallery))]


def load_embeddings(folder: Path, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads another model's (N, D) image and recipe embeddings of the same items, in the order of `ids`.

    Raises:
        UserError: The gallery has other items, or see `load_items`.
    """
    gallery = Gallery(folder)
    rows = {identifier: row for row, identifier in enumerate(gallery.ids.tolist())}
    if different := set(ids) ^ rows.keys():
        problem = "has" if min(different) in rows else "lacks"
        raise UserError(
            f"{folder}: contains different items ({problem} {min(different)}, {len(different)} differ); "
            "both galleries must come from the same split of the same data set"
        )
    order = [rows[identifier] for identifier in ids]
    return gallery.embeddings("image")[order], gallery.embeddings("recipe")[order]


def sample_rows(items: Sequence[Item], count: int, seed: int) -> list[int]:
    """Returns up to `count` random rows, sampled from the items sorted by id and so independent of their order."""
    by_id = sorted(range(len(items)), key=lambda row: items[row].id)
    sample = np.random.default_rng(seed).choice(len(items), min(count, len(items)), replace=False)
    return [by_id[position] for position in sample]


def title_of(item: Item) -> str:
    """Returns an item's title, or a placeholder if it is blank."""
    return item.title.strip() or "(untitled)"


def has_readable_photo(item: Item) -> bool:
    """Returns whether an item's photo can be read; warns on stderr if not."""
    try:
        square_pixels(item, 8)
    except UnreadablePhoto as unreadable:
        print(f"{unreadable}; omitted from the figures", file=sys.stderr, flush=True)
        return False
    return True


def square_pixels(item: Item, side: int) -> np.ndarray:
    """Returns the centre of an item's photo, turned upright, as (side, side, 3) uint8.

    Raises:
        UnreadablePhoto: The photo is missing or cannot be read.
    """
    if item.photo is None:
        raise UnreadablePhoto(item.id, f"the photo of recipe {item.id} is missing")
    try:
        if isinstance(item.photo, np.ndarray):
            photo = Image.fromarray(item.photo)
        else:
            content = item.photo if isinstance(item.photo, bytes) else read_photo(item.photo)
            check_structure(content)
            photo = Image.open(io.BytesIO(content))
        with photo:
            upright = ImageOps.exif_transpose(photo).convert("RGB")
        return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS))
    except (
        UnreadablePhotoError,
        OSError,
        TypeError,
        ValueError,
        SyntaxError,
    ) as error:  # what Pillow raises for damaged files
        where = f" ({item.photo})" if isinstance(item.photo, Path) else ""
        raise UnreadablePhoto(item.id, f"the photo of recipe {item.id}{where} cannot be read: {error}") from None
