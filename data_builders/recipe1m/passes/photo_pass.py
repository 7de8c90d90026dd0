"""Decodes the photos of recipes and decides on the split of each recipe."""

import dataclasses
from collections.abc import Sequence

from adamine_jax.recipes.decoding import JPEG_QUALITY
from data_builders.recipe1m.passes import photos
from data_builders.recipe1m.passes.photo_places import Listed
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import Encoded, Outcome

TEXT = "text"
"""Split of the recipes without photos."""


@dataclasses.dataclass(frozen=True)
class LoadPhotos:
    """Loads the photos of a recipe, including those that cannot be read.

    Attributes:
        shorter_side: Length of the shorter side of a reduced photo, in pixels.
        quality: JPEG quality of a reduced photo.
    """

    shorter_side: int
    quality: int = JPEG_QUALITY

    def __call__(self, recipe: Encoded) -> list[Photo]:
        return [self.one(listed) for listed in recipe.images]

    def one(self, listed: Listed) -> Photo:
        """Loads one photo."""
        return photos.load_photo(listed, self.shorter_side, self.quality)


def has_files(outcome: Outcome) -> bool:
    """Returns whether there are photos to read."""
    return isinstance(outcome, Encoded) and any(listed.path for listed in outcome.images)


def split_of(recipe: Encoded, loaded: Sequence[Photo], without_photos: bool) -> str | None:
    """Returns the split of a recipe, or None if it needs a readable photo and has none."""
    if any(photo.is_readable for photo in loaded):
        return recipe.partition
    return TEXT if without_photos else None


def small_files(loaded: Sequence[Photo]) -> list[tuple[str, bytes]]:
    """Returns the ids and the reduced JPEG files of the readable photos."""
    return [(photo.id, photo.jpeg) for photo in loaded if photo.jpeg is not None]
