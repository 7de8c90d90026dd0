"""Reads the sentence vectors of im2recipe's skip-instructions, `encs_{train,val,test}_1024.t7`.

Each file is a Torch7 table of `encs` (sentences × 1024) and, for each recipe of the partition, `ids`, `rlens` (number
of sentences) and `rbps` (row of the first sentence, counted from 1). The ids are a tensor of characters with a row per
recipe, or a table of strings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.recipes import PARTITIONS
from data_builders.recipe1m.sentence_vectors import torch7
from data_builders.recipe1m.sentences import MAX_SENTENCES, TOO_MANY, Sentences

OUTSIDE = "recipes whose sentences are not all in the matrix"
_FIELDS = ("encs", "ids", "rlens", "rbps")


@dataclass(frozen=True)
class Encodings:
    """The contents of a file.

    Attributes:
        vectors: (R, D) memory-mapped floating-point numbers.
        ids: N recipe ids, unchecked.
        first: (N,) int64 row of the recipe's first sentence, counted from 0; −1 if it is not an integer.
        count: (N,) int64 number of the recipe's sentences; −1 if it is not an integer.
    """

    vectors: np.ndarray
    ids: list[str]
    first: np.ndarray
    count: np.ndarray


class EncodingFiles:
    """Files of sentence vectors, by partition, as a `sentences.Source`; see `encoding_files`."""

    def __init__(self, files: dict[str, Path]):
        self._encodings = {name: read_encodings(path) for name, path in files.items()}
        lengths = {found.vectors.shape[1]: files[name] for name, found in self._encodings.items()}
        if len(lengths) > 1:
            listed = ", ".join(f"{length} in {path}" for length, path in lengths.items())
            raise UserError(f"the vectors must have the same length in all files; it is {listed}")
        self.recipes = {name: len(found.ids) for name, found in self._encodings.items()}
        self.rows = sum(int(found.count.clip(0, len(found.vectors)).sum()) for found in self._encodings.values())
        self.length = next(iter(lengths))

    def read(self, partition: str) -> Iterator[Sentences]:
        """Yields the recipes of a partition in the order of the file."""
        found = self._encodings[partition]
        rows = len(found.vectors)
        for name, first, count in zip(found.ids, found.first.tolist(), found.count.tolist(), strict=True):
            if first < 0 or count < 0 or first > rows - count:
                yield Sentences(name, None, OUTSIDE)
            elif count > MAX_SENTENCES:
                yield Sentences(name, None, TOO_MANY)
            else:
                yield Sentences(name, found.vectors[first : first + count])


def encoding_files(source: Path) -> dict[str, Path]:
    """Returns the file of each partition that a folder contains."""
    files = {name: source / f"encs_{name}_1024.t7" for name in PARTITIONS}
    return {name: path for name, path in files.items() if path.is_file()}


def read_encodings(path: Path) -> Encodings:
    """Reads a file except for its vectors, which are memory-mapped; raises a `UserError` if a field is malformed."""
    table = torch7.load(path)
    fields = [table.get(name.encode()) if isinstance(table, dict) else None for name in _FIELDS]
    if missing := [name for name, value in zip(_FIELDS, fields, strict=True) if value is None]:
        raise UserError(f"{path}: missing {', '.join(missing)}; expected a table of {', '.join(_FIELDS)}")
    vectors, ids, count, first = fields
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.size:
        kind = f"{vectors.dtype} of shape {vectors.shape}" if isinstance(vectors, np.ndarray) else "not a tensor"
        raise UserError(f"{path}: encs is {kind}; expected floating-point numbers (sentences, length)")
    try:
        found = Encodings(vectors, _ids(ids), _numbers(first, "rbps", start=1), _numbers(count, "rlens"))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if not len(found.ids) == len(found.first) == len(found.count):
        lengths = f"{len(found.ids)} ids, {len(found.count)} rlens and {len(found.first)} rbps"
        raise UserError(f"{path}: {lengths}; expected one of each per recipe")
    return found


def _ids(value: Any) -> list[str]:
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "iu" and value.shape[1]:
        rows = np.ascontiguousarray(value.astype(np.uint8)).view(f"S{value.shape[1]}")[:, 0].tolist()
    elif isinstance(value, dict):
        rows = _listed(value)
    else:
        raise ValueError("ids is neither a table of strings nor a tensor of characters (recipes, 10)")
    # A value that is not a string becomes an empty id, which is reported as malformed.
    return [row.decode("latin-1").strip() if isinstance(row, bytes) else "" for row in rows]


def _numbers(value: Any, name: str, start: int = 0) -> np.ndarray:
    """Returns a tensor or table of numbers as (N,) int64 minus `start`; −1 if a number is not an integer."""
    if isinstance(value, dict):
        value = np.array([number if isinstance(number, float) else np.nan for number in _listed(value)], np.float64)
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise ValueError(f"{name} is neither a tensor (recipes,) nor a table of numbers")
    if value.dtype.kind == "f":
        is_integer = (value == np.floor(value)) & (np.abs(value) < 2**53)
        value = np.where(is_integer, value, start - 1)
    return value.astype(np.int64) - start


def _listed(table: dict) -> list[Any]:
    """Returns the values of a table with the keys 1, 2, ..., with None for missing keys."""
    return [table.get(number) for number in range(1, len(table) + 1)]
