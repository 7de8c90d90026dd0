"""Finds the records of a long JSON list by their id."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from adamine_jax.errors import UserError
from adamine_jax.files import save_array
from data_builders.recipe1m.json_array import loads
from data_builders.recipe1m.json_blocks import Block, read_block, read_blocks

_NO_KEY = 2**64 - 1


class ArrayIndex:
    """Where each record of a JSON list stands, by its id: 24 bytes a record, whatever its length.

    Args:
        path: the file.
        keys: gives the integer key of a record's value, below 2⁶⁴ − 1, or None for one that cannot be found by any id.
        store: a file to keep the index in, which is then mapped and not held in memory; processes that are handed
            the index share it.
        run: does the reading: `map`, or a parallel one that keeps the order.

    Attributes:
        unusable: records without a key.
        repeated: records whose key an earlier record has; the earliest is the one that is found.

    Raises:
        UserError: the file is not a JSON list.
    """

    def __init__(
        self,
        path: Path,
        keys: Callable[[Any], int | None],
        store: Path | None = None,
        run: Callable[[Callable, Iterable[Block]], Iterator] = map,
    ):
        self._path, self._file = path, None
        pieces = list(run(functools.partial(_index_block, path, keys), read_blocks(path)))
        self.unusable = sum(unusable for _, unusable in pieces)
        rows = np.concatenate([np.empty((0, 3), np.uint64), *(rows for rows, _ in pieces)])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        self.repeated = int(np.sum(rows[1:, 0] == rows[:-1, 0]))
        self._rows = np.ascontiguousarray(rows.T)
        if store:
            save_array(store, self._rows)
            self._rows = np.load(store, mmap_mode="r")
        self._store = store

    def find(self, key: int) -> Any | None:
        """The value of the first record with this key, read from the file; None where there is none."""
        return self.find_all([key])[0]

    def find_all(self, keys: Sequence[int | None]) -> list[Any | None]:
        """`find` of several keys, or of no key, which no record has."""
        known, offsets, lengths = np.asarray(self._rows)
        wanted = np.array([_NO_KEY if key is None else key for key in keys], np.uint64)
        rows = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
        found: list[Any | None] = [None] * len(keys)
        (places,) = np.nonzero(known[rows] == wanted) if len(known) else ([],)
        rows = rows[places]
        for place, offset, length in zip(list(places), offsets[rows].tolist(), lengths[rows].tolist(), strict=True):
            found[place] = self._read(offset, length)
        return found

    def _read(self, offset: int, length: int) -> Any:
        if self._file is None:
            self._file = self._path.open("rb")
        text = os.pread(self._file.fileno(), length, offset)
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
        try:
            return loads(text)
        except ValueError:
            raise UserError(f"{self._path} was changed while it was being read; run again") from None

    def close(self) -> None:
        """Closes the file; it is opened again when it is needed."""
        if self._file:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_rows": None if self._store else self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._store:
            self._rows = np.load(self._store, mmap_mode="r")


def _index_block(path: Path, keys: Callable[[Any], int | None], block: Block) -> tuple[np.ndarray, int]:
    """(records, 3) uint64, key, offset and length of each record that has a key; and how many have none."""
    placed = read_block(path, block)
    rows = [(key, offset, length) for offset, length, value in placed if (key := keys(value)) is not None]
    return np.array(rows, np.uint64).reshape(-1, 3), len(placed) - len(rows)
