"""Embeds raw photos and recipes with a trained model."""

import functools
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.distributed import mesh as devices
from adamine_jax.models import registry
from adamine_jax.models.adamine import embed_recipes
from adamine_jax.recipes.crops import center_crops
from adamine_jax.recipes.given import recipe_of
from adamine_jax.recipes.photos import Photo, stored
from adamine_jax.recipes.text_encoder import TextEncoder
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.runs import workdir

BATCH_SIZES = (1, 8, 64)
"""Batch sizes in rows; each is compiled when it is first used."""


class Encoder:
    """Embeds any number of photos and recipes; `adamine_jax.load` creates an encoder from a workdir.

    Photos and recipes are processed like those of a data set, by the same converter and input pipeline, so a recipe of
    the data set gets the embedding that evaluation measures. Rows are embedded in batches of a few fixed sizes; the
    last batch is padded.

    Args:
        trained: Trained model.
        batch_sizes: Batch sizes, each rounded up to a multiple of the number of devices.

    Attributes:
        trained: Trained model.
        digest: Digest of its parameters, which identifies compatible embeddings.
        texts: Maps recipes to ids of the vocabulary.
        sizes: Batch sizes in ascending order.
    """

    def __init__(self, trained: workdir.Trained, batch_sizes: Sequence[int] = BATCH_SIZES):
        self.trained, self.digest = trained, trained.digest
        tower, section = registry.recipe_tower(trained.config.model), trained.config.model.recipe
        self.texts = TextEncoder(
            trained.words,
            split_unknown=trained.unknown_ingredients == "words",
            reads_vocabulary=tower.reads_vocabulary,
            reads_title=tower.reads_title(section),
            own_words=functools.partial(tower.own_words, section),
        )
        mesh, model = trained.mesh, trained.model
        self.sizes = sorted({devices.round_up(size, mesh) for size in batch_sizes})
        # jit itself moves host arrays to the devices, which is faster than `device_put` for a single query.
        rows, replicated = devices.by_rows(mesh), devices.replicated(mesh)
        data = trained.config.data
        self._crops = center_crops(data.resize, data.image_size, registry.resizing(trained.config.model))
        self._embed_images = jax.jit(
            lambda variables, photos: model.apply(variables, photos, train=False, method="embed_images"),
            in_shardings=(None, rows),
            out_shardings=replicated,
        )
        self._embed_recipes = jax.jit(
            lambda variables, batch: embed_recipes(model, variables["params"], batch, mesh),
            in_shardings=(None, rows),
            out_shardings=replicated,
        )

    @property
    def dim(self) -> int:
        """Length D of the embeddings."""
        return self.trained.config.model.embedding_dim

    def embed_photos(self, photos: Iterable[Photo]) -> np.ndarray:
        """Embeds photos, given as paths, file contents, Pillow images or (H, W, 3) uint8 pixels.

        Returns:
            (N, D) float32 unit rows.

        Raises:
            UserError: A photo cannot be used, or the model reads precomputed features instead of photos.
        """
        self.check_reads_photos()
        side = self.trained.photo_side
        return self.embed_stored([stored(photo, side, f"photo {number}") for number, photo in enumerate(photos, 1)])

    def embed_stored(self, jpegs: Sequence[bytes]) -> np.ndarray:
        """Embeds photos returned by `photos.stored`, like `embed_photos`."""

        if not self.trained.model.image_tower.reads_photos:
            return self._embed(self._embed_images, jpegs, self._features)

        def make_batch(rows: Sequence[bytes], size: int) -> np.ndarray:
            crops, is_decoded = self._crops(rows, np.zeros((len(rows), 3), np.float32))
            assert is_decoded.all(), "`stored` returns decodable files"
            return _padded(crops, size)

        return self._embed(self._embed_images, jpegs, make_batch)

    def embed_recipes(self, recipes: Iterable[RecipeText | Mapping[str, Any]]) -> np.ndarray:
        """Embeds complete or partial recipes.

        Args:
            recipes: Recipes, each a `RecipeText` or a mapping with any of `title`, `ingredients` and `instructions`;
                the latter two are lists of lines. `TextEncoder` describes how missing parts are handled.

        Returns:
            (N, D) float32 unit rows.

        Raises:
            UserError: A recipe is empty or malformed, or has instructions although the model reads precomputed vectors
                of them.
        """
        texts = [
            recipe if isinstance(recipe, RecipeText) else recipe_of(recipe, f"recipe {number}")
            for number, recipe in enumerate(recipes, 1)
        ]
        for number, text in enumerate(texts, 1):
            self.check(text, f"recipe {number}")

        recipe_fields = registry.recipe_fields(self.trained.config.model)

        def make_batch(rows: Sequence[RecipeText], size: int) -> dict[str, np.ndarray]:
            encoded = [self.texts.encode(recipe) for recipe in rows]
            return recipe_fields([*encoded, *[EncodedRecipe()] * (size - len(rows))])

        return self._embed(self._embed_recipes, texts, make_batch)

    @property
    def reads_photos(self) -> bool:
        """Whether photos can be embedded: the model reads photos, or there is an encoder for the features it reads."""
        return self.trained.model.image_tower.reads_photos or self.trained.image_encoder is not None

    def check_reads_photos(self) -> None:
        """Raises a `UserError` if photos cannot be embedded."""
        if not self.reads_photos:
            raise UserError(
                "the model reads image features computed by another encoder (config.data.image_features); give this "
                "encoder as --image-encoder PACKAGE.MODULE:FUNCTION, or search with recipes or embed a split"
            )

    def _features(self, jpegs: Sequence[bytes], size: int) -> np.ndarray:
        """Returns the (size, F) features of photos, padded with zeros."""
        encode, length = self.trained.image_encoder, self.trained.config.model.image.feature_dim
        assert encode is not None, "`check_reads_photos` has passed"
        features = np.asarray(encode([Image.open(io.BytesIO(jpeg)) for jpeg in jpegs]), np.float32)
        if features.shape != (len(jpegs), length) or not np.isfinite(features).all():
            raise UserError(
                f"the image encoder returned an array of shape {features.shape} for {len(jpegs)} photos; must be "
                f"finite numbers of shape {(len(jpegs), length)}"
            )
        return _padded(features, size)

    def check(self, recipe: RecipeText, where: str) -> None:
        """Raises a `UserError` that begins with `where` if the model cannot read a recipe."""
        config = self.trained.config.model
        problem = "empty recipe; give any of title, ingredients and instructions"
        if not recipe.is_empty:
            problem = registry.recipe_tower(config).check_query(config.recipe, recipe)
        if problem:
            raise UserError(f"{where}: {problem}")

    def _embed(self, step, items: Sequence[Any], make_batch) -> np.ndarray:
        """Embeds in batches; `make_batch(items, size)` returns host arrays of `size` rows, padded at the end."""
        parts = [np.zeros((0, self.dim), np.float32)]
        for start, size in _batches(len(items), self.sizes):
            rows = items[start : start + size]
            parts.append(np.asarray(step(self.trained.variables, make_batch(rows, size)), np.float32)[: len(rows)])
        return np.concatenate(parts)


def load(
    directory: str | Path,
    checkpoint: str = "best",
    data: dict[str, str] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    image_encoder: workdir.ImageEncoder | None = None,
) -> Encoder:
    """Loads the model of a workdir to embed photos and recipes.

    Args:
        directory: Workdir of the run.
        checkpoint: 'best' on the validation split, or 'last'.
        data: See `workdir.load`.
        batch_sizes: See `Encoder`.
        image_encoder: See `workdir.load`.

    Raises:
        UserError: The folder is not a workdir or has no checkpoint yet.
    """
    return Encoder(workdir.load(Path(directory), checkpoint, data, image_encoder), batch_sizes)


def _batches(count: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields (first row, size) of batches, always of the largest size that is more than half full."""
    start = 0
    while start < count:
        size = max((size for size in sizes if count - start > size / 2), default=sizes[0])
        yield start, size
        start += size


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Appends rows of zeros up to `size` rows."""
    missing = size - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) if missing else array
