"""A trained model that embeds photos and recipes as people have them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.base.errors import UserError
from adamine_jax.distributed import mesh as devices
from adamine_jax.models import registry
from adamine_jax.models.adamine import embed_recipes
from adamine_jax.recipes import crops as images
from adamine_jax.recipes.photos import Photo, stored
from adamine_jax.recipes.text_encoder import TextEncoder
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText, recipe_of
from adamine_jax.runs import workdir

BATCH_SIZES = (1, 8, 64)
"""Rows that are embedded at once: each number is compiled for when it is first needed."""


class Encoder:
    """Embeds single photos and recipes, or many; `adamine_jax.load` makes one of a workdir.

    Photos go through what the converter and the input pipeline do to stored ones, recipes through the converter's
    rules, so that what is in the data set gets the embedding that evaluation measures. Rows are embedded in batches of
    a few fixed sizes; the last one is filled up.

    Args:
        trained: the model.
        batch_sizes: ascending; rounded up to a multiple of the devices.

    Attributes:
        trained: the model.
        digest: of its parameters: what an embedding belongs to.
        texts: maps recipes to the ids of the vocabulary.
        sizes: of the batches, ascending.
    """

    def __init__(self, trained: workdir.Trained, batch_sizes: Sequence[int] = BATCH_SIZES):
        self.trained, self.digest = trained, trained.digest
        self.texts = TextEncoder(
            trained.words,
            split_unknown=trained.unknown_ingredients == "words",
            reads_vocabulary=trained.model.recipe_tower.reads_vocabulary,
        )
        mesh, model = trained.mesh, trained.model
        self.sizes = sorted({devices.round_up(size, mesh) for size in batch_sizes})
        self._rows = NamedSharding(mesh, PartitionSpec("data"))
        whole = NamedSharding(mesh, PartitionSpec())
        data = trained.config.data
        self._crops = images.center_crops(data.resize, data.image_size)
        self._embed_images = jax.jit(
            lambda variables, photos: model.apply(variables, photos, train=False, method="embed_images"),
            out_shardings=whole,
        )
        self._embed_recipes = jax.jit(
            lambda variables, batch: embed_recipes(model, variables["params"], batch, mesh), out_shardings=whole
        )

    @property
    def dim(self) -> int:
        """Length D of an embedding."""
        return self.trained.config.model.embedding_dim

    def embed_photos(self, photos: Iterable[Photo]) -> np.ndarray:
        """Embeds photos, each a path, a file's bytes, Pillow's image or (H, W, 3) uint8 pixels.

        Returns:
            (N, D) float32 unit rows.

        Raises:
            UserError: a photo cannot be used, or the model reads features in place of photos.
        """
        self.check_reads_photos()
        side = self.trained.photo_side
        return self.embed_stored([stored(photo, side, f"photo {number}") for number, photo in enumerate(photos, 1)])

    def embed_stored(self, jpegs: Sequence[bytes]) -> np.ndarray:
        """Embeds photos that `photos.stored` made; see `embed_photos`."""

        def batch_of(rows: Sequence[bytes], size: int) -> np.ndarray:
            crops, is_decoded = self._crops(rows, np.zeros((len(rows), 3), np.float32))
            assert is_decoded.all(), "what `stored` wrote can be decoded"
            return np.pad(crops, [(0, size - len(rows)), (0, 0), (0, 0), (0, 0)])

        return self._embed(self._embed_images, jpegs, batch_of)

    def embed_recipes(self, recipes: Iterable[RecipeText | Mapping[str, Any]]) -> np.ndarray:
        """Embeds recipes, or parts of them.

        Args:
            recipes: each a `RecipeText`, or a mapping with any of `title`, `ingredients` and `instructions`, both
                lists of lines. `TextEncoder` says what becomes of a missing part.

        Returns:
            (N, D) float32 unit rows.

        Raises:
            UserError: one is no recipe or an empty one, or has instructions where the model reads given vectors of
                them.
        """
        texts = [
            recipe if isinstance(recipe, RecipeText) else recipe_of(recipe, f"recipe {number}")
            for number, recipe in enumerate(recipes, 1)
        ]
        for number, text in enumerate(texts, 1):
            self.check(text, f"recipe {number}")

        recipe_fields = registry.recipe_fields(self.trained.config.model)

        def batch_of(rows: Sequence[RecipeText], size: int) -> dict[str, np.ndarray]:
            encoded = [self.texts.encode(recipe) for recipe in rows]
            return recipe_fields([*encoded, *[EncodedRecipe()] * (size - len(rows))])

        return self._embed(self._embed_recipes, texts, batch_of)

    def check_reads_photos(self) -> None:
        """Raises a `UserError` where the model reads features of photos that another encoder makes."""
        if not self.trained.model.image_tower.reads_photos:
            raise UserError(
                "the model reads features that another encoder made of the photos (config.data.image_features), and "
                "cannot embed a photo itself; search with recipes, or embed a split"
            )

    def check(self, recipe: RecipeText, where: str) -> None:
        """Raises a `UserError` that says `where`, unless the model can read a recipe."""
        config = self.trained.config.model
        fault = "an empty recipe; give any of title, ingredients and instructions"
        if not recipe.is_empty:
            fault = registry.recipe_tower(config).check_query(config.recipe, recipe)
        if fault:
            raise UserError(f"{where}: {fault}")

    def _embed(self, step, items: Sequence[Any], batch_of) -> np.ndarray:
        """Embeds batch by batch: `batch_of(items, size)` gives host arrays of `size` rows, the last ones padding."""
        parts = [np.zeros((0, self.dim), np.float32)]
        for start, size in _batches(len(items), self.sizes):
            rows = items[start : start + size]
            batch = jax.device_put(batch_of(rows, size), self._rows)
            parts.append(np.asarray(step(self.trained.variables, batch), np.float32)[: len(rows)])
        return np.concatenate(parts)


def load(
    directory: str | Path,
    checkpoint: str = "best",
    data: dict[str, str] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Encoder:
    """Loads a workdir's model to embed with.

    Args:
        directory: of the run.
        checkpoint: 'best' by validation, or 'last'.
        data: see `workdir.load`.
        batch_sizes: see `Encoder`.

    Raises:
        UserError: the folder is not a workdir, or holds no checkpoint yet.
    """
    return Encoder(workdir.load(Path(directory), checkpoint, data), batch_sizes)


def _batches(count: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first row, size) of the batches of `count` rows: always the largest size that is more than half filled."""
    start = 0
    while start < count:
        size = max((size for size in sizes if count - start > size / 2), default=sizes[0])
        yield start, size
        start += size
