"""The items of a gallery as a picture needs them: texts to print, photos to show."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import Item
from adamine_jax.gallery.store import Gallery


class UnreadablePhoto(UserError):
    """The photo of an item cannot be shown; `id` is the item's."""

    def __init__(self, item_id: str, message: str):
        self.id = item_id
        super().__init__(message)


def load_items(folder: Path) -> tuple[list[Item], np.ndarray, np.ndarray]:
    """Reads a gallery of photos and recipes as `python -m adamine_jax.embed` writes it.

    Returns:
        (N items, image embeddings (N, D), recipe embeddings (N, D)), unit rows. Photos stay on the disk until shown.

    Raises:
        UserError: it has only one of the two, or see `Gallery`.
    """
    gallery = Gallery(folder)
    image, recipe = gallery.embeddings("image"), gallery.embeddings("recipe")
    return [gallery.item(row) for row in range(len(gallery))], np.asarray(image), np.asarray(recipe)


def load_beside(folder: Path, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads another model's embeddings of the same items, in the order of `ids`.

    Returns:
        (image embeddings (N, D), recipe embeddings (N, D)).

    Raises:
        UserError: its items are not these, or see `load_items`.
    """
    gallery = Gallery(folder)
    rows = {identifier: row for row, identifier in enumerate(gallery.ids.tolist())}
    if different := set(ids) ^ rows.keys():
        where = "has" if min(different) in rows else "lacks"
        raise UserError(
            f"{folder}: holds other items ({where} {min(different)}, {len(different)} differ); both galleries must be "
            "of the same split of the same data set"
        )
    order = [rows[identifier] for identifier in ids]
    return gallery.embeddings("image")[order], gallery.embeddings("recipe")[order]


def drawn_rows(items: Sequence[Item], count: int, seed: int) -> list[int]:
    """`count` rows at random, all where there are fewer: drawn from the id-sorted items, whatever their order."""
    by_id = sorted(range(len(items)), key=lambda row: items[row].id)
    drawn = np.random.default_rng(seed).choice(len(items), min(count, len(items)), replace=False)
    return [by_id[place] for place in drawn]


def name_of(item: Item) -> str:
    """The title of an item, or what stands in for it."""
    return item.title.strip() or "(untitled)"


def is_readable(item: Item) -> bool:
    """Whether an item's photo can be shown; if not, that is said on stderr."""
    try:
        square_pixels(item, 8)
    except UnreadablePhoto as unreadable:
        print(f"{unreadable}; left out of the pictures", file=sys.stderr, flush=True)
        return False
    return True


def square_pixels(item: Item, side: int) -> np.ndarray:
    """The centre of an item's photo as (side, side, 3) uint8, turned upright.

    Raises:
        UnreadablePhoto: the photo cannot be read; the item's id is named.
    """
    if item.photo is None:
        raise UnreadablePhoto(item.id, f"the photo of recipe {item.id} is absent")
    try:
        if isinstance(item.photo, np.ndarray):
            photo = Image.fromarray(item.photo)
        else:
            photo = Image.open(io.BytesIO(item.photo) if isinstance(item.photo, bytes) else item.photo)
        with photo:
            upright = ImageOps.exif_transpose(photo).convert("RGB")
        return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS))
    # Pillow's ways to refuse a damaged file.
    except (OSError, TypeError, ValueError, SyntaxError) as error:
        where = f" ({item.photo})" if isinstance(item.photo, Path) else ""
        raise UnreadablePhoto(item.id, f"the photo of recipe {item.id}{where} cannot be read: {error}") from None
