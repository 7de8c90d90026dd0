"""Finds the records of a long JSON list by their id."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.files import save_array
from data_builders.recipe1m.layers.json_array import loads
from data_builders.recipe1m.layers.json_blocks import NO_JSON, Block, places, read_block, read_blocks, read_text
from data_builders.recipe1m.recipes import NO_ID, id_numbers


class _Head(msgspec.Struct, gc=False):
    """What an index needs of a record."""

    id: Any = None


_HEADS = msgspec.json.Decoder(list[_Head])


class ArrayIndex:
    """Where each record of a JSON list stands, by its id: 24 bytes a record, whatever its length.

    Args:
        path: the file.
        store: a file to keep the index in, which is then mapped and not held in memory; processes that are handed
            the index share it.
        run: does the reading: `map`, or a parallel one that keeps the order.

    Attributes:
        unusable: records without an id of 10 hex digits.
        repeated: records whose id an earlier record has; the earliest is the one that is found.

    Raises:
        UserError: the file is not a JSON list.
    """

    def __init__(
        self,
        path: Path,
        store: Path | None = None,
        run: Callable[[Callable, Iterable[Block]], Iterator] = map,
    ):
        self._path = path
        self._file: BinaryIO | None = None
        pieces = list(run(functools.partial(_index_block, path), read_blocks(path)))
        rows = np.concatenate([np.empty((0, 3), np.uint64), *pieces])
        usable = rows[:, 0] != NO_ID
        self.unusable = int(np.sum(~usable))
        rows = rows[usable]
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        self.repeated = int(np.sum(rows[1:, 0] == rows[:-1, 0]))
        self._rows = np.ascontiguousarray(rows.T)
        if store:
            save_array(store, self._rows)
            self._rows = np.load(store, mmap_mode="r")
        self._store = store

    def find(self, number: int) -> Any | None:
        """The value of the first record with an id, given as a number, read from the file; None where there is none."""
        (text,) = self.find_all(np.array([number], np.uint64))
        return None if text is None else self.value(text)

    def find_all(self, numbers: np.ndarray) -> list[bytes | None]:
        """The texts of the first records with these ids, (ids,) uint64; None where there is none."""
        known, offsets, lengths = np.asarray(self._rows)
        rows = np.minimum(np.searchsorted(known, numbers), max(len(known) - 1, 0))
        found: list[bytes | None] = [None] * len(numbers)
        (at,) = np.nonzero(known[rows] == numbers) if len(known) else (np.empty(0, np.int64),)
        rows = rows[at]
        for place, offset, length in zip(at.tolist(), offsets[rows].tolist(), lengths[rows].tolist(), strict=True):
            found[place] = self._read(offset, length)
        return found

    def value(self, text: bytes) -> Any:
        """The value of a record's text.

        Raises:
            UserError: it is no JSON, though it was when the index was made.
        """
        try:
            return loads(text)
        except (ValueError, RecursionError):
            raise UserError(f"{self._path} was changed while it was being read; run again") from None

    def _read(self, offset: int, length: int) -> bytes:
        if self._file is None:
            self._file = self._path.open("rb")
        return os.pread(self._file.fileno(), length, offset)

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


def _index_block(path: Path, block: Block) -> np.ndarray:
    """(records, 3) uint64: id as a number, offset and length of each record."""
    if text := read_text(path, block):
        with contextlib.suppress(*NO_JSON):
            ids = id_numbers([head.id for head in _HEADS.decode(text)])
            at = np.array(places(text), np.uint64).reshape(-1, 2)
            return np.column_stack([ids, at[:, 0] + np.uint64(block.offset - 1), at[:, 1]])
    placed = read_block(path, block)
    ids = id_numbers([record.value.get("id") if isinstance(record.value, dict) else None for record in placed])
    at = np.array([(record.offset, record.length) for record in placed], np.uint64).reshape(-1, 2)
    return np.column_stack([ids, at])
