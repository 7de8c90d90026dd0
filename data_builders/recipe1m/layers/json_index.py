"""Finds the records of a JSON list by id."""

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
from adamine_jax.base.json_array import loads
from data_builders.recipe1m.layers.json_blocks import (
    BAD_JSON,
    Block,
    element_spans,
    read_block,
    read_blocks,
    read_text,
)
from data_builders.recipe1m.recipes import NO_ID, id_numbers


class _Head(msgspec.Struct, gc=False):
    """The id of a record, unchecked."""

    id: Any = None


_HEADS = msgspec.json.Decoder(list[_Head])


class ArrayIndex:
    """Offsets and lengths of the records of a JSON list, by id; 24 bytes per record.

    Args:
        path: JSON file.
        store: File to keep the index in, memory-mapped and shared with processes that receive the index. None keeps it
            in memory.
        run: Function that reads the blocks: `map`, or a parallel one that keeps the order.

    Attributes:
        unusable: Number of records without an id of 10 hex digits.
        repeated: Number of records that repeat an earlier id; the first record with an id is found.

    Raises:
        UserError: The file is not a JSON list.
    """

    def __init__(
        self,
        path: Path,
        store: Path | None = None,
        run: Callable[[Callable, Iterable[Block]], Iterator] = map,
    ):
        self._path, self._store = path, store
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

    def find(self, number: int) -> Any | None:
        """Returns the value of the first record with an id, given as a number, or None."""
        (text,) = self.find_all(np.array([number], np.uint64))
        return None if text is None else self.value(text)

    def find_all(self, numbers: np.ndarray) -> list[bytes | None]:
        """Returns the JSON texts of the first records with the given ids, (ids,) uint64; None for a missing one."""
        ids, offsets, lengths = np.asarray(self._rows)
        texts: list[bytes | None] = [None] * len(numbers)
        if len(ids):
            self._file = self._file or self._path.open("rb")
            rows = np.minimum(np.searchsorted(ids, numbers), len(ids) - 1)
            (found,) = np.nonzero(ids[rows] == numbers)
            spans = zip(offsets[rows[found]].tolist(), lengths[rows[found]].tolist(), strict=True)
            for place, (offset, length) in zip(found.tolist(), spans, strict=True):
                texts[place] = os.pread(self._file.fileno(), length, offset)
        return texts

    def value(self, text: bytes) -> Any:
        """Decodes the text of a record.

        Raises:
            UserError: The text is not valid JSON, although it was when the file was indexed.
        """
        try:
            return loads(text)
        except (ValueError, RecursionError):
            raise UserError(f"{self._path} was changed while it was being read; run again") from None

    def close(self) -> None:
        """Closes the file."""
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
    """Returns (records, 3) uint64: id as a number, byte offset and length of each record."""
    if text := read_text(path, block):
        with contextlib.suppress(*BAD_JSON):
            ids = id_numbers([head.id for head in _HEADS.decode(text)])
            spans = np.array(element_spans(text), np.uint64).reshape(-1, 2)
            return np.column_stack([ids, spans[:, 0] + np.uint64(block.offset - 1), spans[:, 1]])
    records = read_block(path, block)
    ids = id_numbers([record.value.get("id") if isinstance(record.value, dict) else None for record in records])
    spans = np.array([(record.offset, record.length) for record in records], np.uint64).reshape(-1, 2)
    return np.column_stack([ids, spans])
