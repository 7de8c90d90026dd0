"""What a search reads of a gallery: the state after a change, which later changes do not affect."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        self._segments: dict[tuple[str, str], np.ndarray] = {}
        self._masks: dict[Filter, np.ndarray] = {}
        dtype, dim = np.dtype(about["dtype"]), about["dim"]
        rows, parts = [], {modality: [] for modality in about["sides"]}
        for start, name, count, numbers in connection.execute(
            "SELECT start, name, count, rows FROM segments ORDER BY 1"
        ):
            rows.append(np.arange(start, start + count) if numbers is None else np.frombuffer(numbers, np.int64))
            for modality, found in parts.items():
                key = modality, name
                opened = previous._segments.get(key) if previous else None
                if opened is None:
                    opened = open_segment(folder / f"{modality}{name}.npy", count, dim, dtype)
                self._segments[key] = opened
                found.append(opened)
        pending = connection.execute(f"SELECT row, {', '.join(about['sides'])} FROM pending ORDER BY row").fetchall()
        rows.append(np.array([row for row, *_ in pending], np.int64))
        for place, found in enumerate(parts.values(), 1):
            found.append(np.frombuffer(b"".join(each[place] for each in pending), dtype).reshape(-1, dim))
        self.rows = np.concatenate(rows)
        self.vectors = {modality: Vectors(found, dim) for modality, found in parts.items()}
        self.count: int = connection.execute("SELECT count(*) FROM items").fetchone()[0]
        removed = np.fromiter((row for (row,) in connection.execute("SELECT row FROM removed")), np.int64)
        is_consistent = bool((np.diff(self.rows) > 0).all())
        self.alive = None
        if is_consistent and len(removed):
            positions = np.searchsorted(self.rows, removed)
            is_consistent = positions.max() < len(self.rows) and bool((self.rows[positions] == removed).all())
            self.alive = np.ones(len(self.rows), bool)
            if is_consistent:
                self.alive[positions] = False
        if not is_consistent or self.count != len(self.rows) - len(removed):
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
