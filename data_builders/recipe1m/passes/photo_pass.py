"""What a recipe's photos decide: done by whichever thread or machine is free."""

import dataclasses
from collections.abc import Sequence

from adamine_jax.recipes.decoding import JPEG_QUALITY
from data_builders.recipe1m.passes import photos
from data_builders.recipe1m.passes.photo_places import Listed
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import Encoded, Fate

TEXT = "text"
"""The split of the recipes without photos."""


@dataclasses.dataclass(frozen=True)
class LoadPhotos:
    """The photos of a recipe that are used, those that cannot be read among them.

    Attributes:
        shorter_side: of a photo once it is made small, in pixels.
        quality: of the JPEG that it becomes.
    """

    shorter_side: int
    quality: int = JPEG_QUALITY

    def __call__(self, encoded: Encoded) -> list[Photo]:
        return [self.one(listed) for listed in encoded.images]

    def one(self, listed: Listed) -> Photo:
        """One of them."""
        return photos.load_photo(listed, self.shorter_side, self.quality)


def has_files(fate: Fate) -> bool:
    """Whether there are photos to be read."""
    return isinstance(fate, Encoded) and any(listed.path for listed in fate.images)


def split_of(recipe: Encoded, loaded: Sequence[Photo], without_photos: bool) -> str | None:
    """The split that a recipe belongs to; None: it has no readable photo, and needs one."""
    if any(photo.is_readable for photo in loaded):
        return recipe.partition
    return TEXT if without_photos else None


def small_files(loaded: Sequence[Photo]) -> list[tuple[str, bytes]]:
    """Ids and small files of the photos that can be read."""
    return [(photo.id, photo.jpeg) for photo in loaded if photo.jpeg is not None]
