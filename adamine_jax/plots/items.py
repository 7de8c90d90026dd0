"""The items of a gallery as a picture needs them: texts to print, photos to show."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adamine_jax.errors import UserError
from adamine_jax.gallery import Gallery, Item


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


def square_pixels(item: Item, side: int) -> np.ndarray:
    """The centre of an item's photo as (side, side, 3) uint8, turned upright.

    Raises:
        UnreadablePhoto: the photo cannot be read; the item's id is named.
    """
    try:
        if isinstance(item.photo, np.ndarray):
            photo = Image.fromarray(item.photo)
        else:
            photo = Image.open(io.BytesIO(item.photo) if isinstance(item.photo, bytes) else item.photo)
        with photo:
            upright = ImageOps.exif_transpose(photo).convert("RGB")
        return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS))
    except (OSError, TypeError, ValueError, SyntaxError) as error:  # Pillow's ways to refuse a damaged file
        where = f" ({item.photo})" if isinstance(item.photo, Path) else ""
        raise UnreadablePhoto(item.id, f"the photo of recipe {item.id}{where} cannot be read: {error}") from None
