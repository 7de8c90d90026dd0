"""What a recipe's photos decide, and the record it becomes: done by whichever thread or machine is free."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_builders.recipe1m import photos
from data_builders.recipe1m.decoding import JPEG_QUALITY
from data_builders.recipe1m.layers import Recipe
from data_builders.recipe1m.photos import Photo
from data_builders.recipe1m.text_pass import Encoded

TEXT = "text"
"""The split of the recipes without photos."""


@dataclasses.dataclass(frozen=True)
class LoadPhotos:
    """The photos of a recipe that are used, those that cannot be read among them.

    Attributes:
        root: the folder with the photos.
        images_per_recipe: so many of those it lists, the first ones.
        shorter_side: of a photo once it is made small, in pixels.
        quality: of the JPEG that it becomes.
    """

    root: Path
    images_per_recipe: int
    shorter_side: int
    quality: int = JPEG_QUALITY

    def __call__(self, encoded: Encoded) -> list[Photo]:
        recipe = encoded.recipe
        return [self.load(recipe.partition, name) for name in recipe.images[: self.images_per_recipe]]

    def load(self, partition: str, image_id: Any) -> Photo:
        """One of them."""
        return photos.load_photo(self.root, partition, image_id, self.shorter_side, self.quality)


def split_of(recipe: Recipe, loaded: Sequence[Photo], without_photos: bool) -> str | None:
    """The split that a recipe belongs to; None: it has no readable photo, and needs one."""
    if any(photo.is_readable for photo in loaded):
        return recipe.partition
    return TEXT if without_photos else None


def record_of(encoded: Encoded, loaded: Sequence[Photo]) -> dict[str, Any]:
    """A recipe's record without its class and its photos; see the builder for the fields."""
    recipe = encoded.recipe
    return {
        "id": recipe.id,
        "title": recipe.title,
        "url": recipe.url,
        "ingredients": recipe.ingredients,
        "instructions": recipe.instructions,
        "ingredient_names": recipe.names,
        "ingredient_ids": encoded.ingredient_ids,
        "word_ids": [word for sentence in encoded.sentences for word in sentence],
        "sentence_lengths": [len(sentence) for sentence in encoded.sentences],
        "image_ids": [photo.id for photo in loaded if photo.is_readable],
    }


def jpegs_of(loaded: Sequence[Photo]) -> list[bytes]:
    """The small files of the photos that can be read."""
    return [photo.jpeg for photo in loaded if photo.is_readable]
