"""What a gallery contains, wherever it is stored."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError

BACKGROUND = "background"
MODALITIES = ("image", "recipe")
"""A gallery has embeddings of photos ("image"), of recipes ("recipe"), or of both."""
KINDS: dict[tuple[str, ...], str] = {("image",): "photos", ("recipe",): "recipes", MODALITIES: "pairs"}
"""The modalities of a gallery to the name of its kind in messages."""
DTYPES = ("float32", "float16")
"""Types in which embeddings may be stored."""
NOT_READ = b""
REBUILD = "rebuild the gallery with `python -m adamine_jax.embed`"


@dataclasses.dataclass(frozen=True)
class Item:
    """A recipe and its photo.

    Attributes:
        id: Identifier, unique in the gallery.
        title: Title as written.
        class_name: Name of the class; "background" if the recipe has none.
        ingredients: Raw ingredient lines.
        instructions: Raw instruction lines.
        photo: Path or content of an image file, or (H, W, 3) uint8 pixels; None without a photo. `NOT_READ` stands for
            a photo in a database, which `Store.photo` reads.
        language: ISO 639-1 code of the language; "" if unknown.
        tags: Further fields of the source: (name, value) pairs.
    """

    id: str
    title: str
    class_name: str = BACKGROUND
    ingredients: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    photo: bytes | Path | np.ndarray | None = None
    language: str = ""
    tags: tuple[tuple[str, str], ...] = ()


def check_unchanged(name: str, opened: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises a `BusyGallery` if a gallery was replaced by one that another model built, or of other modalities.

    Args:
        name: Name of the gallery in messages.
        opened: Its description when it was opened.
        now: Its present description.
    """
    if any(opened[field] != now[field] for field in ("model", "dim", "sides")):
        raise BusyGallery(f"{name}: replaced by a gallery of another model; restart this program")


class MissingItem(UserError):
    """No item has this row number or id."""


class TakenId(UserError):
    """The gallery has an item with this id."""


class BusyGallery(UserError):
    """Another process is changing the gallery, or it cannot be reached."""
