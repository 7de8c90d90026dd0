"""Reads a gallery in several threads while other processes change it."""

import threading
import time
import weakref
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder import database, words
from adamine_jax.gallery.folder.files import reading
from adamine_jax.gallery.folder.snapshot import Snapshot
from adamine_jax.gallery.items import Item

# A snapshot of a gallery that changes all the time is kept for this many seconds, or for several times as long as it
# takes to read it, so that searches spend little of their time on it.
_KEPT, _KEPT_TIMES, _LONGEST = 0.1, 4, 0.5
_RECENT = 1.0  # seconds
_ATTEMPTS = 3


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
        for connection in (self._connection, self._watched):
            weakref.finalize(self, connection.close)
        self._version = self._watched.execute("PRAGMA data_version").fetchone()[0]
        self._last = self._next = 0.0
        self._snapshot = self._read_snapshot(None)

    def snapshot(self) -> Snapshot:
        """Returns the state after the last committed change, or one up to 0.5 s older if changes are frequent."""
        if self._refreshing.acquire(blocking=False):  # otherwise another thread is refreshing it
            try:
                if time.monotonic() >= self._next:
                    self._refresh()
            finally:
                self._refreshing.release()
        return self._snapshot

    def refresh(self) -> Snapshot:
        """Returns the state after the last committed change."""
        with self._refreshing:
            self._refresh()
        return self._snapshot

    def _refresh(self) -> None:
        with reading(self._path):
            version = self._watched.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        start = time.monotonic()
        self._snapshot, self._version = self._read_snapshot(self._snapshot), version
        now = time.monotonic()
        is_changing = start - self._last < _RECENT
        self._next = now + min(max(_KEPT, _KEPT_TIMES * (now - start)), _LONGEST) if is_changing else 0.0
        self._last = now

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
        if not where:
            return snapshot.alive
        with self._lock, reading(self._path):
            return snapshot.mask(self._connection, where)

    def words(self, text: str, top: int, are_allowed: words.Allowed) -> tuple[list[int], list[int]]:
        """Returns the rows that a text describes, best first, and those whose title is the text."""
        with self._lock, reading(self._path):
            found = words.find(self._connection, text, top, are_allowed)
            return found, words.titled(self._connection, text, are_allowed)

    def _read_snapshot(self, previous: Snapshot | None) -> Snapshot:
        for attempt in range(_ATTEMPTS):
            with reading(self._path):
                self._watched.execute("BEGIN")  # one state of the database for all that is read
                try:
                    return Snapshot(self._folder, self._about, self._watched, previous)
                except UserError:
                    # `compact` may have deleted a file whose name had been read.
                    if attempt == _ATTEMPTS - 1:
                        raise
                finally:
                    self._watched.execute("ROLLBACK")
        raise AssertionError("unreachable")
