"""Small galleries of single-colour photos and a simple encoder, for the tests of figures."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.folder.writer import GalleryWriter
from adamine_jax.gallery.items import MODALITIES, Item
from adamine_jax.recipes.texts import RecipeText

DIGEST = "d" * 64


def color_of(row: int) -> tuple[int, int, int]:
    """Returns the colour of an item's photo, distinct for up to 60 rows."""
    return 10 + 60 * (row % 4), 10 + 50 * (row // 4 % 5), 20 + 70 * (row // 20)


def photo_of(row: int) -> bytes:
    """Returns a losslessly compressed photo of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (24, 20), color_of(row)).save(file, "PNG")
    return file.getvalue()


def write_gallery(
    folder: Path, items: Sequence[Item], image: np.ndarray, recipe: np.ndarray, classes: Sequence[str] = ()
) -> Gallery:
    """Writes a gallery of items, whose photos are those of `photo_of`."""
    about = {"model": DIGEST, "step": 1, "source": {}, "class_names": ["background", *classes]}
    with GalleryWriter(folder, about, MODALITIES, image.shape[1]) as writer:
        writer.write({"image": image.astype(np.float32), "recipe": recipe.astype(np.float32)}, items)
        writer.finish()
    return Gallery(folder)


class Words:
    """A stand-in for `Encoder`: a recipe's embedding is the normalized sum of fixed vectors of its words.

    Args:
        vectors: Word → (D,) vector.
    """

    digest = DIGEST

    def __init__(self, vectors: dict[str, np.ndarray]):
        self._vectors, self.texts, self.asked = vectors, self, []

    def unknown_names(self, recipe: RecipeText) -> list[str]:
        return [line for line in recipe.ingredients if not any(w in self._vectors for w in _words(line))]

    def knows(self, name: str) -> bool:
        return not self.unknown_names(RecipeText(ingredients=(name,)))

    def check(self, recipe: RecipeText, where: str) -> None:
        if recipe.is_empty:
            raise UserError(f"{where}: an empty recipe")

    def embed_recipes(self, recipes: Sequence[RecipeText]) -> np.ndarray:
        self.asked += recipes
        rows = [self.sum(" ".join((*recipe.ingredients, *recipe.instructions))) for recipe in recipes]
        return np.array(rows, np.float32)

    def sum(self, text: str) -> np.ndarray:
        row = sum(self._vectors[word] for word in _words(text) if word in self._vectors)
        return row / np.linalg.norm(row)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())
