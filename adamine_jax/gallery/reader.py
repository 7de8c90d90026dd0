"""Reads a gallery in several threads while other processes change it."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.gallery import database, exact, words
from adamine_jax.gallery.files import REBUILD, Item, reading
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.snapshot import Snapshot

# A snapshot that takes longer than this many seconds to read is kept for several times as long, so that a quickly
# changing gallery spends little of its time on them.
_QUICK, _KEPT = 0.02, 4
_LONGEST = 0.5  # seconds


class Reader:
    """The database of a gallery and its last snapshot.

    Args:
        folder: Folder of the gallery.
        about: Content of its `gallery.json`.
    """

    def __init__(self, folder: Path, about: dict[str, Any]):
        self._folder, self._about, self._path = folder, about, folder / database.NAME
        self._lock, self._refreshing = threading.Lock(), threading.Lock()
        self._connection, self._watched = database.connect(self._path), database.connect(self._path)
        self._version, self._next = -1, 0.0
        self._snapshot = self._read_snapshot(None)

    def snapshot(self) -> Snapshot:
        """Returns the state after the last committed change, or for half a second the one before it."""
        if self._refreshing.acquire(blocking=False):  # otherwise another thread is at it
            try:
                with reading(self._path):
                    version = self._watched.execute("PRAGMA data_version").fetchone()[0]
                if version != self._version and time.monotonic() >= self._next:
                    self._snapshot = self._read_snapshot(self._snapshot)
                    self._version = version
            finally:
                self._refreshing.release()
        return self._snapshot

    def read(self, query: str, *arguments: Any) -> list[tuple]:
        """Returns the rows of a query."""
        with self._lock, reading(self._path):
            return self._connection.execute(query, arguments).fetchall()

    def item(self, row: int) -> Item:
        """Returns the item of a row; see `database.item_of`."""
        with self._lock:
            return database.item_of(self._connection, int(row), self._folder)

    def mask(self, snapshot: Snapshot, where: Filter) -> Any:
        """Returns which rows pass a filter; see `Snapshot.mask`."""
        with self._lock, reading(self._path):
            return snapshot.mask(self._connection, where)

    def words(self, text: str, top: int, is_allowed: Any) -> tuple[list[int], list[int]]:
        """Returns the rows that a text describes, best first, and those whose title is the text."""
        with self._lock, reading(self._path):
            found = words.find(self._connection, text, top, is_allowed)
            return found, words.titled(self._connection, text, is_allowed)

    def _read_snapshot(self, previous: Snapshot | None) -> Snapshot:
        start = time.monotonic()
        with reading(self._path):
            self._watched.execute("BEGIN")  # one state of the database for all that is read
            try:
                snapshot = Snapshot(self._folder, self._about, self._watched, previous)
            finally:
                self._watched.execute("ROLLBACK")
        seconds = time.monotonic() - start
        self._next = time.monotonic() + (min(_KEPT * seconds, _LONGEST) if seconds > _QUICK else 0)
        return snapshot


def check(folder: Path, reader: Reader) -> None:
    """Reads all items and embeddings, and checks the database.

    Raises:
        UserError: An item or the database is damaged, or an embedding is not a unit row.
    """
    snapshot = reader.snapshot()
    rows = snapshot.rows if snapshot.alive is None else snapshot.rows[snapshot.alive]
    problems = reader.read("PRAGMA integrity_check")
    if problems != [("ok",)]:
        raise UserError(f"{folder / database.NAME}: damaged ({problems[0][0]}); {REBUILD}")
    if [row for (row,) in reader.read("SELECT row FROM items ORDER BY row")] != rows.tolist():
        raise UserError(f"{folder}: the items and the embeddings do not belong together; {REBUILD}")
    with Progress(f"checking {folder.name}", len(rows), "item") as progress:
        for row in rows:
            reader.item(row)
            progress.update()
    for modality, vectors in snapshot.vectors.items():
        for start, block in vectors.blocks(exact.BLOCK):
            is_unit = np.abs(np.linalg.norm(block, axis=1) - 1) < 1e-2
            if not is_unit.all():
                row = snapshot.rows[start + int(np.argmin(is_unit))]
                raise UserError(f"{folder}: the {modality} embedding of row {row} is not a unit vector; {REBUILD}")
