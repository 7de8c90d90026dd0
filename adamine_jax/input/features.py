"""Vectors from another encoder: features of photos (CLIP, DINO, SigLIP …), or vectors of recipes or their sentences.

A file contains a matrix, as `.npy` or `.safetensors` (one tensor). A text file of the same name with the suffix `.txt`
contains one id per row: that of the photo, or that of the recipe, whose sentences are consecutive rows.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.models import registry
from adamine_jax.recipes.tokens import Tokens

SUFFIXES = (".npy", ".safetensors")
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A file of vectors.

    Attributes:
        path: The file.
        values: (R, F) of any floating dtype, memory-mapped if it is a `.npy` file.
        ids: (R,) bytes, ids of the rows.
    """

    path: Path
    values: np.ndarray
    ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class PhotoFeatures:
    """The features of a split's photos.

    Attributes:
        values: (R, F).
        rows: (P, K) row of each photo of the split, for each of K crops.
        source: Name for error messages.
        has_gaps: Whether a row of NaN marks a photo that could not be decoded. Otherwise NaN is an error.
    """

    values: np.ndarray
    rows: np.ndarray
    source: str
    has_gaps: bool = False

    def __call__(self, photos: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Looks up features.

        Args:
            photos: (B,) indices of photos.
            draws: (B,) uniform from [0, 1), which select the crop.

        Returns:
            (B, F) float32; NaN for photos without features.

        Raises:
            UserError: A value is not finite.
        """
        crops = (draws * self.rows.shape[1]).astype(np.int64)
        rows = self.rows[photos, crops]
        features = np.asarray(self.values[rows], np.float32)
        is_valid = np.isfinite(features).all(axis=1)
        if self.has_gaps:
            is_valid |= np.isnan(features).all(axis=1)
        if not is_valid.all():
            row = rows[np.argmin(is_valid)]
            raise UserError(f"{self.source}: row {row} (from 0) has values that are not finite; rebuild the file")
        return features


@dataclasses.dataclass(frozen=True)
class SentenceVectors:
    """The vectors of a split's sentences.

    Attributes:
        values: (R, F).
        first: (N,) first row of each recipe.
        count: (N,) number of rows of each recipe.
    """

    values: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def __call__(self, record: int) -> np.ndarray:
        """Returns the (n, F) vectors of a record's sentences."""
        return self.values[self.first[record] : self.first[record] + self.count[record]]


@dataclasses.dataclass(frozen=True)
class RecipeVectors:
    """The vectors of a split's recipes, from one or more files.

    Attributes:
        values: (R, F) matrix of each file.
        rows: (N,) row of each recipe in each file; −1 if it has none.
    """

    values: tuple[np.ndarray, ...]
    rows: tuple[np.ndarray, ...]

    def __call__(self, record: int) -> np.ndarray:
        """Returns the concatenated vectors of a record, each of norm 1, or of zeros if it has none."""
        parts = []
        for values, rows in zip(self.values, self.rows, strict=True):
            row = rows[record]
            vector = np.asarray(values[row], np.float32) if row >= 0 else np.zeros(values.shape[1], np.float32)
            parts.append(vector / max(float(np.linalg.norm(vector)), 1e-12))
        return np.concatenate(parts)


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Precomputed vectors of a split.

    Attributes:
        photos: Features that replace the photos, which are then not read.
        sentences: Vectors of the sentences, for recipe towers that read them.
        recipes: Vectors of whole recipes or of their parts, likewise.
        tokens: Returns the subword tokens of a record, for recipe towers that read them.
    """

    photos: PhotoFeatures | None = None
    sentences: SentenceVectors | None = None
    recipes: RecipeVectors | None = None
    tokens: Callable[[int], Tokens] | None = None


def open_vectors(config, index: RecordIndex) -> Vectors:
    """Opens the files of vectors that a config names, for one split.

    Args:
        config: The run's config; reads `model`, `data.image_features`, `data.sentence_vectors` and
            `data.recipe_features` ('' = none).
        index: Record index of the split.

    Raises:
        UserError: A required file is not given, cannot be read or does not cover the split.
    """
    data = config.data
    photos = sentences = recipes = None
    if not registry.image_tower(config.model).reads_photos:
        if not data.image_features:
            raise UserError("the model reads image features; give --image-features FILE")
        matrix = read_matrix("data.image_features", data.image_features)
        _check_length(matrix, "data.image_features", config.model.image.feature_dim)
        photos = photo_features(matrix, index)
    if registry.recipe_tower(config.model).reads_sentence_vectors(config.model.recipe) and not data.sentence_vectors:
        raise UserError("the model reads sentence vectors; give --sentence-vectors FILE")
    if data.sentence_vectors:
        matrix = read_matrix("data.sentence_vectors", data.sentence_vectors)
        _check_length(matrix, "data.sentence_vectors", config.model.recipe.sentence_dim)
        sentences = sentence_vectors(matrix, index)
    if registry.recipe_tower(config.model).reads_recipe_vectors(config.model.recipe):
        matrices = recipe_matrices(data.recipe_features)
        if sum(matrix.values.shape[1] for matrix in matrices) != config.model.recipe.recipe_dim:
            raise UserError(
                f"the model reads vectors of recipes of length {config.model.recipe.recipe_dim} in total; give "
                "--recipe-features FILE,FILE with those of the encoder that the model was trained with"
            )
        recipes = recipe_vectors(matrices, index)
    return Vectors(photos, sentences, recipes)


def recipe_matrices(paths: str) -> list[Matrix]:
    """Opens the files of recipe vectors, separated by commas; see `read_matrix`."""
    return [read_matrix("data.recipe_features", path) for path in paths.split(",") if path]


def recipe_vectors(matrices: Sequence[Matrix], index: RecordIndex) -> RecipeVectors:
    """Finds the row of each recipe of a split in each file.

    Raises:
        UserError: An id occurs twice, or no recipe of the split has a row in a file.
    """
    rows = []
    for matrix in matrices:
        row, found = _rows_of(index.ids, matrix)
        if len(index) and not found.any():
            raise UserError(
                f"{matrix.path.with_suffix('.txt')}: contains none of the {len(index)} recipes of the split; list the "
                "id of a recipe for each row"
            )
        rows.append(np.where(found, row, -1))
    return RecipeVectors(tuple(matrix.values for matrix in matrices), tuple(rows))


def read_matrix(field: str, path: str | Path) -> Matrix:
    """Opens a file of vectors and its ids.

    Args:
        field: The config field, for error messages.
        path: The file of the matrix.

    Raises:
        UserError: One of the two files is missing or damaged, or their lengths differ.
    """
    where, path = f"config.{field} = {path}", storage.local(path)
    if path.suffix not in SUFFIXES:
        raise UserError(f"{where}: must be a {' or '.join(SUFFIXES)} file")
    ids_file = path.with_suffix(".txt")
    for file in (path, ids_file):
        storage.fetch(file)
        if not file.is_file():
            raise UserError(
                f"{where}: {file} is missing; the ids of the rows, one per line, must be in {ids_file.name}"
            )
    values = _open(path, where)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating) or not values.size:
        raise UserError(
            f"{where}: {values.dtype} of shape {values.shape}; must be a floating-point matrix (rows, length)"
        )
    ids = np.array([_without_suffix(line) for line in ids_file.read_bytes().split()], np.bytes_)
    if len(ids) != len(values):
        raise UserError(f"{ids_file}: {len(ids)} ids for the {len(values)} rows of {path.name}; give one id per row")
    return Matrix(path, values, ids)


def photo_features(matrix: Matrix, index: RecordIndex) -> PhotoFeatures:
    """Finds the row of each photo of a split.

    Raises:
        UserError: A photo has no row, or two.
    """
    photos = np.array([_without_suffix(photo) for photo in index.photo_ids], np.bytes_)
    rows, found = _rows_of(photos, matrix)
    if not found.all():
        missing = np.flatnonzero(~found)
        recipes = np.searchsorted(index.first_photo, missing[:_NAMED], side="right") - 1
        named = ", ".join(
            f"{index.photo_ids[photo].decode() or 'a photo without id'} of recipe {index.ids[recipe].decode()}"
            for photo, recipe in zip(missing[:_NAMED], recipes, strict=True)
        )
        raise UserError(
            f"{matrix.path}: no row for {len(missing)} of {len(photos)} photos ({named}"
            f"{', …' if len(missing) > _NAMED else ''}); add these rows, or convert the data set without these photos"
        )
    return PhotoFeatures(matrix.values, rows[:, None], str(matrix.path))


def sentence_vectors(matrix: Matrix, index: RecordIndex) -> SentenceVectors:
    """Finds the rows of each recipe of a split, which must be consecutive. A recipe without rows has no instructions.

    Raises:
        UserError: The rows of a recipe are not consecutive, or no recipe of the split has rows.
    """
    starts = np.flatnonzero(np.concatenate([[True], matrix.ids[1:] != matrix.ids[:-1]]))
    counts = np.diff(np.append(starts, len(matrix.ids)))
    runs, found = _rows_of(index.ids, dataclasses.replace(matrix, ids=matrix.ids[starts]))
    if len(index) and not found.any():
        raise UserError(
            f"{matrix.path.with_suffix('.txt')}: contains none of the {len(index)} recipes of the split; "
            "give the sentence vectors of this data set"
        )
    return SentenceVectors(matrix.values, np.where(found, starts[runs], 0), np.where(found, counts[runs], 0))


def _rows_of(ids_to_find: np.ndarray, matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Returns the row of each id, and whether it exists.

    Raises:
        UserError: An id occurs twice, or in two runs of rows.
    """
    order = np.argsort(matrix.ids, kind="stable")
    ids = matrix.ids[order]
    if (twice := ids[1:] == ids[:-1]).any():
        raise UserError(
            f"{matrix.path.with_suffix('.txt')}: {ids[np.argmax(twice)].decode()} occurs twice; list each photo or "
            "recipe once, and the sentences of a recipe consecutively"
        )
    place = np.minimum(np.searchsorted(ids, ids_to_find), len(ids) - 1)
    return order[place], ids[place] == ids_to_find


def _check_length(matrix: Matrix, field: str, length: int) -> None:
    if matrix.values.shape[1] != length:
        raise UserError(
            f"config.{field} = {matrix.path}: vectors of length {matrix.values.shape[1]}, the model reads {length}; "
            "give vectors of the encoder that the model was trained with"
        )


def _open(path: Path, where: str) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        import safetensors

        with safetensors.safe_open(path, framework="np") as file:
            names = list(file.keys())
            if len(names) != 1:
                raise UserError(f"{where}: contains {len(names)} tensors; must contain one")
            return file.get_tensor(names[0])
    except UserError:
        raise
    except Exception as error:  # each format raises other classes for a damaged file
        raise UserError(f"{where}: cannot be read ({str(error).splitlines()[0]}); rebuild the file") from None


def _without_suffix(identifier: bytes) -> bytes:
    """Removes `.jpg`: Recipe1M's photo ids are file names, other tools drop the suffix."""
    return identifier.removesuffix(b".jpg")
