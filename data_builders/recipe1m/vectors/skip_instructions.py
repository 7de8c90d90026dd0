"""Sentence vectors as im2recipe's skip-instructions left them: `encs_train_1024.t7`, `encs_val_…`, `encs_test_…`.

Each is a table of Torch7: `encs` (sentences × 1024), and of each recipe of the partition, with photos or without,
`ids`, `rlens` (how many sentences it has) and `rbps` (the row of its first one, counted from 1). The ids are a tensor
of characters with a row for each, or a table of strings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.recipes import PARTITIONS
from data_builders.recipe1m.sentences import MAX_SENTENCES, TOO_MANY, Sentences
from data_builders.recipe1m.vectors import torch7

OUTSIDE = "recipes whose sentences are not all in the matrix"
_FIELDS = ("encs", "ids", "rlens", "rbps")


@dataclass(frozen=True)
class Encodings:
    """What a file holds.

    Attributes:
        vectors: (R, D) floating numbers, mapped and not read.
        ids: of N recipes, unchecked.
        first: (N,) int64 row of a recipe's first sentence, counted from 0; −1 where it is no whole number.
        count: (N,) int64 number of its sentences; −1 where it is no whole number.
    """

    vectors: np.ndarray
    ids: list[str]
    first: np.ndarray
    count: np.ndarray


class EncodingFiles:
    """Files of vectors, as a `sentences.Source`.

    Args:
        files: of each partition that is there, see `encoding_files`; at least one.

    Raises:
        UserError: one is no such file, or their vectors differ in length.
    """

    def __init__(self, files: dict[str, Path]):
        self._encodings = {name: read_encodings(path) for name, path in files.items()}
        lengths = {found.vectors.shape[1]: files[name] for name, found in self._encodings.items()}
        if len(lengths) > 1:
            told = ", ".join(f"of {length} in {path}" for length, path in lengths.items())
            raise UserError(f"the vectors must have one length, and are {told}")
        self.recipes = {name: len(found.ids) for name, found in self._encodings.items()}
        self.rows = sum(int(found.count.clip(0, len(found.vectors)).sum()) for found in self._encodings.values())
        self.length = next(iter(lengths))

    def read(self, partition: str) -> Iterator[Sentences]:
        """Yields the recipes of a partition, in the file's order."""
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
    """Partition -> its file, of those that a folder has."""
    files = {name: source / f"encs_{name}_1024.t7" for name in PARTITIONS}
    return {name: path for name, path in files.items() if path.is_file()}


def read_encodings(path: Path) -> Encodings:
    """Reads a file, but for its vectors.

    Raises:
        UserError: it is no file of Torch7, or lacks a field, or one is of another kind.
    """
    table = torch7.load(path)
    fields = [table.get(name.encode()) if isinstance(table, dict) else None for name in _FIELDS]
    if missing := [name for name, value in zip(_FIELDS, fields, strict=True) if value is None]:
        raise UserError(f"{path}: has no {', '.join(missing)}; takes a table of {', '.join(_FIELDS)}")
    vectors, ids, count, first = fields
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.size:
        kind = f"{vectors.dtype} of shape {vectors.shape}" if isinstance(vectors, np.ndarray) else "no tensor"
        raise UserError(f"{path}: encs is {kind}; takes floating numbers (sentences, length)")
    try:
        found = Encodings(vectors, _ids(ids), _numbers(first, "rbps", start=1), _numbers(count, "rlens"))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if not len(found.ids) == len(found.first) == len(found.count):
        lengths = f"{len(found.ids)} ids, {len(found.count)} rlens and {len(found.first)} rbps"
        raise UserError(f"{path}: {lengths}; takes one of each for a recipe")
    return found


def _ids(value: Any) -> list[str]:
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "iu" and value.shape[1]:
        rows = np.ascontiguousarray(value.astype(np.uint8)).view(f"S{value.shape[1]}")[:, 0].tolist()
    elif isinstance(value, dict):
        rows = [value.get(number) for number in range(1, len(value) + 1)]
    else:
        raise ValueError("ids is neither a table of strings nor a tensor of characters (recipes, 10)")
    # What is no text is no id either, and told of as such.
    return [row.decode("latin-1").strip() if isinstance(row, bytes) else "" for row in rows]


def _numbers(value: Any, name: str, start: int = 0) -> np.ndarray:
    """(N,) int64 of a tensor, or of a table of numbers, counted from `start`; −1 for what is no whole number."""
    if isinstance(value, dict):
        listed = [value.get(number) for number in range(1, len(value) + 1)]
        value = np.array([number if isinstance(number, float) else np.nan for number in listed], np.float64)
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise ValueError(f"{name} is neither a tensor (recipes,) nor a table of numbers")
    if value.dtype.kind == "f":
        whole = (value == np.floor(value)) & (np.abs(value) < 2**53)
        value = np.where(whole, value, start - 1)
    return value.astype(np.int64) - start
