"""What a search reads of a gallery: the state after a change, which later changes do not affect."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder.conditions import matching
from adamine_jax.gallery.folder.database import rows
from adamine_jax.gallery.folder.vectors import Vectors, open_segment
from adamine_jax.gallery.items import REBUILD

_MASKS = 64  # filters whose masks are kept


class Snapshot:
    """The rows of a gallery and their embeddings, in the order of the row numbers.

    A position is a place among all stored rows, those of removed items included.

    Args:
        folder: Folder of the gallery.
        about: Content of its `gallery.json`.
        connection: Its database, in a transaction.
        previous: An earlier snapshot, whose open files are used again.

    Attributes:
        rows: (P,) int64 row number of each position, ascending.
        alive: (P,) whether the row has an item; None if all have one.
        count: Number of items.
        vectors: `Vectors` with P rows of each modality.

    Raises:
        UserError: A file is missing, damaged or inconsistent with the others.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], connection: sqlite3.Connection, previous: "Snapshot | None" = None
    ):
        self._masks: dict[Filter, np.ndarray] = {}
        dtype, sides = np.dtype(about["dtype"]), about["sides"]
        (self._generation,) = connection.execute("SELECT value FROM counters WHERE name = 'generation'").fetchone()
        if previous is not None and self._generation == previous._generation:
            self._segments, self._stored, self._pending = previous._segments, previous._stored, previous._pending
        else:
            known = {segment.name: segment for segment in previous._segments} if previous else {}
            segments = connection.execute("SELECT start, name, count, rows FROM segments ORDER BY start").fetchall()
            self._segments = [known.get(each[1]) or _opened(folder, about, *each) for each in segments]
            self._stored = np.concatenate([np.zeros(0, np.int64), *(segment.rows for segment in self._segments)])
            self._pending = _Pending(
                0, {"row": np.zeros(0, np.int64)} | {s: np.zeros((0, about["dim"]), dtype) for s in sides}
            )
        self._pending = _with_new(connection, self._pending)
        pending = {name: buffer[: self._pending.count] for name, buffer in self._pending.buffers.items()}
        self.rows = np.concatenate([self._stored, pending["row"]])
        self.vectors = {
            side: Vectors([*(each.vectors[side] for each in self._segments), pending[side]], about["dim"])
            for side in sides
        }
        removed = rows(connection, "SELECT row FROM removed")
        self.count: int = len(self.rows) - len(removed)
        self.alive = None
        positions = np.searchsorted(self.rows, removed)
        is_consistent = len(removed) == 0 or positions.max() < len(self.rows)
        if is_consistent and len(removed):
            is_consistent = bool((self.rows[positions] == removed).all())
            self.alive = np.ones(len(self.rows), bool)
            self.alive[positions] = False
        if previous is None and is_consistent:
            is_consistent = bool((np.diff(self.rows) > 0).all())
            is_consistent &= self.count == connection.execute("SELECT count(*) FROM items").fetchone()[0]
        if not is_consistent:
            raise UserError(f"{folder}: the items and the embeddings do not belong together; {REBUILD}")

    def positions(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Returns the positions of row numbers that the snapshot has."""
        return np.searchsorted(self.rows, rows)

    def mask(self, connection: sqlite3.Connection, chosen: Filter) -> np.ndarray | None:
        """Returns the (P,) mask of the items that a filter keeps; None if it keeps every row.

        Raises:
            UserError: A condition has no word.
        """
        if not chosen:
            return self.alive
        if chosen not in self._masks:
            if len(self._masks) >= _MASKS:
                self._masks.clear()
            self._masks[chosen] = self._mask(connection, chosen)
        return self._masks[chosen]

    def _mask(self, connection: sqlite3.Connection, chosen: Filter) -> np.ndarray:
        mask = np.ones(len(self.rows), bool) if self.alive is None else self.alive.copy()
        for numbers, is_kept in matching(connection, chosen):
            # The database may be newer than the snapshot.
            positions = np.searchsorted(self.rows, numbers)
            positions = positions[np.isin(numbers, self.rows, assume_unique=True)]
            if is_kept:
                kept = np.zeros(len(self.rows), bool)
                kept[positions] = True
                mask &= kept
            else:
                mask[positions] = False
        return mask


class _Segment(NamedTuple):
    """An open segment."""

    name: str
    rows: np.ndarray
    vectors: dict[str, np.ndarray]


def _opened(folder: Path, about: dict[str, Any], start: int, name: str, count: int, numbers: bytes | None) -> _Segment:
    rows = np.arange(start, start + count) if numbers is None else np.frombuffer(numbers, np.int64)
    dtype = np.dtype(about["dtype"])
    files = {side: open_segment(folder / f"{side}{name}.npy", count, about["dim"], dtype) for side in about["sides"]}
    return _Segment(name, rows, files)


class _Pending(NamedTuple):
    """The rows that wait in the database and their embeddings, at the beginning of buffers with room for more.

    Later snapshots write behind the first `count` rows, which never change.
    """

    count: int
    buffers: dict[str, np.ndarray]


def _with_new(connection: sqlite3.Connection, pending: _Pending) -> _Pending:
    """Returns the rows that wait in the database, given those that were read before."""
    count, buffers = pending
    last = int(buffers["row"][count - 1]) if count else -1
    sides = [name for name in buffers if name != "row"]
    query = f"SELECT row, {', '.join(sides)} FROM pending WHERE row > ? ORDER BY row"
    if not (new := connection.execute(query, (last,)).fetchall()):
        return pending
    end = count + len(new)
    if end > len(buffers["row"]):
        buffers = {name: _larger(buffer[:count], 2 * end) for name, buffer in buffers.items()}
    buffers["row"][count:end] = [row for row, *_ in new]
    for place, side in enumerate(sides, 1):
        added = np.frombuffer(b"".join(each[place] for each in new), buffers[side].dtype)
        buffers[side][count:end] = added.reshape(len(new), -1)
    return _Pending(end, buffers)


def _larger(rows: np.ndarray, size: int) -> np.ndarray:
    larger = np.empty((size, *rows.shape[1:]), rows.dtype)
    larger[: len(rows)] = rows
    return larger
