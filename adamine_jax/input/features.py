"""Vectors that another encoder made: of photos (CLIP, DINO, SigLIP …), or of the sentences of instructions.

A file holds a matrix, `.npy` or `.safetensors` (with one tensor), and beside it lies a text file of the same name
ending in `.txt`, with one id a row: the photo's, or the recipe's whose next sentence the row is.
"""

import dataclasses
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.input.records import RecordIndex
from adamine_jax.models import registry

SUFFIXES = (".npy", ".safetensors")
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A file of vectors.

    Attributes:
        path: of the matrix.
        values: (R, F), any floating dtype, not read before it is used.
        ids: (R,) bytes, of the rows.
    """

    path: Path
    values: np.ndarray
    ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class PhotoFeatures:
    """The vectors of a split's photos.

    Attributes:
        values: (R, F).
        rows: (P, K) rows of each photo of the split, one for each of K crops.
        source: what an error names.
        has_gaps: whether a row of NaN stands for a photo that could not be read; else it is an error.
    """

    values: np.ndarray
    rows: np.ndarray
    source: str
    has_gaps: bool = False

    def __call__(self, photos: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """(B,) photo numbers and (B,) draws from [0, 1), which crop, to (B, F) float32; a gap stays a row of NaN.

        Raises:
            UserError: a vector is not finite.
        """
        crops = (draws * self.rows.shape[1]).astype(np.int64)
        rows = self.rows[photos, crops]
        features = np.asarray(self.values[rows], np.float32)
        is_fine = np.isfinite(features).all(axis=1)
        if self.has_gaps:
            is_fine |= np.isnan(features).all(axis=1)
        if not is_fine.all():
            row = rows[np.argmin(is_fine)]
            raise UserError(f"{self.source}: row {row} (counted from 0) has values that are not finite; make it again")
        return features


@dataclasses.dataclass(frozen=True)
class SentenceVectors:
    """The vectors of a split's sentences.

    Attributes:
        values: (R, F).
        first: (N,) each recipe's first row.
        count: (N,) its number of rows.
    """

    values: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def __call__(self, record: int) -> np.ndarray:
        """The (n, F) vectors of a record's sentences."""
        return self.values[self.first[record] : self.first[record] + self.count[record]]


@dataclasses.dataclass(frozen=True)
class Vectors:
    """What other encoders made of a split, in place of photos and of words.

    Attributes:
        photos: features in place of photos, which are then not read.
        sentences: vectors of the sentences, for recipe towers that read them.
    """

    photos: PhotoFeatures | None = None
    sentences: SentenceVectors | None = None


def open_vectors(config, index: RecordIndex) -> Vectors:
    """Opens the files that a configuration names, for one split.

    Args:
        config: of the run; reads `data.image_features`, `data.sentence_vectors` ('' = none), and what of the two the
            model reads.
        index: of the split.

    Raises:
        UserError: a file is not named or cannot be used, or does not cover the split.
    """
    data = config.data
    photos = sentences = None
    if not registry.image_tower(config.model).reads_photos:
        if not data.image_features:
            raise UserError("the model reads features of photos: give --image-features FILE")
        matrix = read_matrix("data.image_features", data.image_features)
        _check_length(matrix, "data.image_features", config.model.image.feature_dim)
        photos = photo_features(matrix, index)
    if registry.recipe_tower(config.model).reads_sentence_vectors(config.model.recipe) and not data.sentence_vectors:
        raise UserError("the model reads sentence vectors: give --sentence-vectors FILE")
    if data.sentence_vectors:
        matrix = read_matrix("data.sentence_vectors", data.sentence_vectors)
        _check_length(matrix, "data.sentence_vectors", config.model.recipe.sentence_dim)
        sentences = sentence_vectors(matrix, index)
    return Vectors(photos, sentences)


def read_matrix(field: str, path: str | Path) -> Matrix:
    """Opens a file of vectors and the ids beside it.

    Args:
        field: of the configuration, for errors.
        path: of the matrix.

    Raises:
        UserError: one of the two is missing, damaged, or does not fit the other.
    """
    path = Path(path)
    where = f"config.{field} = {path}"
    if path.suffix not in SUFFIXES:
        raise UserError(f"{where}: takes a {' or '.join(SUFFIXES)} file")
    ids_file = path.with_suffix(".txt")
    for file in (path, ids_file):
        if not file.is_file():
            raise UserError(f"{where}: {file} is missing; the matrix needs its ids, one a row, in {ids_file.name}")
    values = _open(path, where)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating) or not values.size:
        raise UserError(f"{where}: holds {values.dtype} of shape {values.shape}; takes floating numbers (rows, length)")
    ids = np.array([_without_suffix(line) for line in ids_file.read_bytes().split()], np.bytes_)
    if len(ids) != len(values):
        raise UserError(f"{ids_file}: {len(ids)} ids for the {len(values)} rows of {path.name}; takes one a row")
    return Matrix(path, values, ids)


def photo_features(matrix: Matrix, index: RecordIndex) -> PhotoFeatures:
    """Finds the row of each of a split's photos.

    Raises:
        UserError: photos have none, or two.
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
            f"{matrix.path}: has no row for {len(missing)} of {len(photos)} photos ({named}"
            f"{', …' if len(missing) > _NAMED else ''}); add them, or convert the data set without these photos"
        )
    return PhotoFeatures(matrix.values, rows[:, None], str(matrix.path))


def sentence_vectors(matrix: Matrix, index: RecordIndex) -> SentenceVectors:
    """Finds the rows of each of a split's recipes, which must lie together; a recipe without any has no instructions.

    Raises:
        UserError: a recipe's rows are scattered, or no recipe of the split has any.
    """
    starts = np.flatnonzero(np.concatenate([[True], matrix.ids[1:] != matrix.ids[:-1]]))
    counts = np.diff(np.append(starts, len(matrix.ids)))
    runs, found = _rows_of(index.ids, dataclasses.replace(matrix, ids=matrix.ids[starts]))
    if len(index) and not found.any():
        raise UserError(f"{matrix.path.with_suffix('.txt')}: has none of the {len(index)} recipes of the split")
    return SentenceVectors(matrix.values, np.where(found, starts[runs], 0), np.where(found, counts[runs], 0))


def _rows_of(wanted: np.ndarray, matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """The row of each id, and whether there is one.

    Raises:
        UserError: an id has two rows, or two runs of rows.
    """
    order = np.argsort(matrix.ids, kind="stable")
    ids = matrix.ids[order]
    if (twice := ids[1:] == ids[:-1]).any():
        raise UserError(
            f"{matrix.path.with_suffix('.txt')}: {ids[np.argmax(twice)].decode()} is there twice; takes an id once, "
            "and a recipe's sentences one after the other"
        )
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return order[place], ids[place] == wanted


def _check_length(matrix: Matrix, field: str, length: int) -> None:
    if matrix.values.shape[1] != length:
        raise UserError(
            f"config.{field} = {matrix.path}: vectors of {matrix.values.shape[1]} numbers, the model reads {length}; "
            "give those of the encoder that it was trained with"
        )


def _open(path: Path, where: str) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        import safetensors

        with safetensors.safe_open(path, framework="np") as file:
            names = list(file.keys())
            if len(names) != 1:
                raise UserError(f"{where}: holds {len(names)} tensors; takes a file with one")
            return file.get_tensor(names[0])
    except UserError:
        raise
    except Exception as error:  # each format has its own classes for a damaged file
        raise UserError(f"{where}: cannot be read ({str(error).splitlines()[0]}); make it again") from None


def _without_suffix(identifier: bytes) -> bytes:
    """Photo ids are file names in Recipe1M; other tools leave the ending out."""
    return identifier.removesuffix(b".jpg")
