"""The items of a gallery as a picture needs them: texts to print, photos to show."""

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adamine_jax.errors import UserError


class UnreadablePhoto(UserError):
    """The photo of an item cannot be shown; `id` is the item's."""

    def __init__(self, item_id: str, message: str):
        self.id = item_id
        super().__init__(message)


@dataclasses.dataclass(frozen=True)
class Item:
    """One recipe and its photo.

    Attributes:
        id: unique in its gallery.
        title: as written.
        class_name: "background" where it has no class.
        ingredients: raw lines.
        instructions: raw lines.
        photo: an image file's bytes or its path, or (H, W, 3) uint8 pixels.
    """

    id: str
    title: str
    class_name: str
    ingredients: Sequence[str]
    instructions: Sequence[str]
    photo: bytes | Path | np.ndarray


def load_items(folder: Path) -> tuple[list[Item], np.ndarray, np.ndarray]:
    """Reads a gallery folder as `python -m adamine_jax.embed` writes it.

    Args:
        folder: holds `items.jsonl`, `image.npy`, `recipe.npy` and the photos that the items name.

    Returns:
        (N items, image embeddings (N, D), recipe embeddings (N, D)), unit rows. Photos stay on the disk until shown.

    Raises:
        UserError: a file is absent or damaged, or the three do not belong together.
    """
    image, recipe = _load_array(folder / "image.npy"), _load_array(folder / "recipe.npy")
    path = folder / "items.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    items = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            items.append(
                Item(
                    id=record["id"],
                    title=record["title"],
                    class_name=record["class"],
                    ingredients=record["ingredients"],
                    instructions=record["instructions"],
                    photo=folder / record["photo"],
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: not an item of a gallery ({error!r}); write it again with adamine_jax.embed"
            ) from None
    if not len(items) == len(image) == len(recipe):
        raise UserError(
            f"{folder}: {len(items)} items, {len(image)} image and {len(recipe)} recipe embeddings; "
            "write it again with adamine_jax.embed"
        )
    return items, image, recipe


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


def _load_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if array.ndim != 2:
        raise UserError(f"{path} has shape {array.shape}: expected (N, D) embeddings")
    return array
