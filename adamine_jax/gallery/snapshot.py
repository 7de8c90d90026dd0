"""What a search reads of a gallery: the state after a change, which later changes do not affect."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import REBUILD
from adamine_jax.gallery.filters import Filter, matching
from adamine_jax.gallery.vectors import Vectors, open_segment

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
        segments = connection.execute("SELECT start, name, count, rows FROM segments ORDER BY start").fetchall()
        names = [name for _, name, _, _ in segments]
        if previous is not None and names == [segment.name for segment in previous._segments]:
            self._segments, self._stored, self._pending = previous._segments, previous._stored, previous._pending
        else:
            known = {segment.name: segment for segment in previous._segments} if previous else {}
            self._segments = [known.get(each[1]) or _opened(folder, about, *each) for each in segments]
            self._stored = _joined([segment.rows for segment in self._segments])
            self._pending = np.zeros(0, np.int64), {side: np.zeros((0, about["dim"]), dtype) for side in sides}
        self._pending = _with_new(connection, self._pending, dtype)
        self.rows = np.concatenate([self._stored, self._pending[0]])
        self.vectors = {
            side: Vectors([*(each.vectors[side] for each in self._segments), self._pending[1][side]], about["dim"])
            for side in sides
        }
        removed = np.fromiter((row for (row,) in connection.execute("SELECT row FROM removed")), np.int64)
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


def _with_new(
    connection: sqlite3.Connection, pending: tuple[np.ndarray, dict[str, np.ndarray]], dtype: np.dtype
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the rows that wait in the database, and their embeddings, given those that were read before."""
    rows, vectors = pending
    last = int(rows[-1]) if len(rows) else -1
    query = f"SELECT row, {', '.join(vectors)} FROM pending WHERE row > ? ORDER BY row"
    if not (new := connection.execute(query, (last,)).fetchall()):
        return pending
    joined = {}
    for place, (side, before) in enumerate(vectors.items(), 1):
        added = np.frombuffer(b"".join(each[place] for each in new), dtype)
        joined[side] = np.concatenate([before, added.reshape(-1, before.shape[1])])
    return np.concatenate([rows, np.array([row for row, *_ in new], np.int64)]), joined


def _joined(rows: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *rows])
