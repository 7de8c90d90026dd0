"""Changes a gallery: adds, replaces and removes items, and compacts its files.

Several processes may change a gallery while others search it; the database lets one of them write at a time. A change
is one transaction of the database, which names the files that belong to the gallery: a process killed at any moment
leaves the state before or after it, and at most files that nothing names, which the next `compact` deletes.
"""

import contextlib
import dataclasses
import secrets
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base import files
from adamine_jax.gallery.folder import database
from adamine_jax.gallery.folder.files import read_about
from adamine_jax.gallery.folder.vectors import open_segment, write_segment
from adamine_jax.gallery.items import Item, TakenId
from adamine_jax.recipes.languages import language_of

SEGMENT = 1 << 13
"""Number of rows of a segment; fewer wait in the database."""


class _Segment(NamedTuple):
    """A segment: its name, its ascending rows, and whether each is kept."""

    name: str
    rows: np.ndarray
    is_kept: np.ndarray


class Editor(contextlib.AbstractContextManager):
    """Changes a gallery. Used as a context manager, it closes the database at the end.

    Args:
        folder: Folder of the gallery.
        about: Content of its `gallery.json`, if that is not written yet.

    Raises:
        UserError: The gallery cannot be changed.
    """

    def __init__(self, folder: Path, about: dict[str, Any] | None = None):
        self.folder = folder
        self.about = about or read_about(folder)
        self._dtype, self._dim = np.dtype(self.about["dtype"]), self.about["dim"]
        self._path = folder / database.NAME
        self.connection = database.connect(self._path)
        self.connection.execute("PRAGMA cache_spill = OFF")  # readers wait for a spilling transaction until its end

    def __exit__(self, *_) -> None:
        self.connection.close()

    def add(
        self,
        items: Sequence[Item],
        embeddings: dict[str, np.ndarray],
        *,
        replace: bool = False,
        taken: int | None = None,
    ) -> list[int]:
        """Adds n items in one transaction.

        Args:
            items: Items, with photos as the content of JPEG files.
            embeddings: Modality → (n, D) float32 unit rows, of every modality of the gallery.
            replace: Whether an item replaces the one that has its id.
            taken: What `counter("taken")` is to become, in the same transaction.

        Returns:
            Row number of each item.

        Raises:
            TakenId: The id of an item is taken, and `replace` is false.
            DiskFull: The disk is full.
        """
        stored = {name: np.ascontiguousarray(embeddings[name], self._dtype) for name in self.about["sides"]}
        statement = f"INSERT INTO pending(row, {', '.join(stored)}) VALUES (?{', ?' * len(stored)})"
        former: list[str | None] = []
        with self._transaction(), contextlib.ExitStack() as undo:
            first = self.counter("next_row")
            for number, item in enumerate(items):
                if replace:
                    former += self._delete([item.id])
                undo.callback(self._delete_photos, [self._insert(first + number, item)])
                vectors = (rows[number].tobytes() for rows in stored.values())
                self.connection.execute(statement, (first + number, *vectors))
            self._set_counter("next_row", first + len(items))
            if taken is not None:
                self._set_counter("taken", taken)
            undo.pop_all()  # the photos stay
        self._delete_photos(former)
        if self._pending() >= SEGMENT:
            self.flush()
        return list(range(first, first + len(items)))

    def remove(self, ids: Iterable[str]) -> int:
        """Removes the items with these ids in one transaction; returns their number. Unknown ids are ignored."""
        with self._transaction():
            photos = self._delete(ids)
        self._delete_photos(photos)
        return len(photos)

    def flush(self) -> None:
        """Moves the rows that wait in the database to a segment."""
        with self._transaction():
            self._flush()
        self.connection.execute("PRAGMA incremental_vacuum").fetchall()

    def compact(self) -> int:
        """Rewrites the segments that have removed rows or are small, and deletes files that nothing names.

        Row numbers do not change, so indices stay valid, and searches continue with the files that they have opened.

        Returns:
            Number of removed rows whose embeddings were deleted.
        """
        with self._transaction():
            self._flush()
            removed = database.rows(self.connection, "SELECT row FROM removed")
            for group in self._groups(removed):
                self._merge(group)
            self.connection.execute("DELETE FROM removed")
            self._set_counter("generation", self.counter("generation") + 1)
            if len(removed) and database.has_words(self.connection):
                database.rebuild_stems(self.connection)
        self.connection.execute("PRAGMA incremental_vacuum").fetchall()
        with self._transaction():  # no other process writes files that it has not named yet
            self._delete_unnamed()
        return len(removed)

    def has(self, identity: str) -> bool:
        """Whether an item has this id."""
        found = self.connection.execute("SELECT 1 FROM items WHERE id = ?", (database.text(identity),))
        return found.fetchone() is not None

    def counter(self, name: str) -> int:
        """Returns "next_row", the row number of the next item, or "taken", the items taken from a source."""
        return self.connection.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()[0]

    def _set_counter(self, name: str, value: int) -> None:
        self.connection.execute("UPDATE counters SET value = ? WHERE name = ?", (value, name))

    def _insert(self, row: int, item: Item) -> str | None:
        """Adds an item within a transaction, and returns its photo."""
        photo = self._write_photo(row, item)
        language = item.language or language_of(item.ingredients, item.instructions)
        item = dataclasses.replace(item, language=language)
        try:
            database.insert(self.connection, row, item, photo)
            return photo
        except sqlite3.IntegrityError:
            self._delete_photos([photo])
            remedy = "update the item, or give another id"
            raise TakenId(f"{self.folder}: the id {item.id!r} is taken; {remedy}") from None

    def _flush(self) -> None:
        """Moves the rows that wait to a segment, within a transaction."""
        rows = database.rows(self.connection, "SELECT row FROM pending")
        if not len(rows):
            return

        def contents(modality: str) -> Iterator[bytes]:
            return (row for (row,) in self.connection.execute(f"SELECT {modality} FROM pending ORDER BY row"))

        # The very first segment has a plain name; no name is used twice.
        self._add_segment(rows, contents, f"-{rows[0]:09d}" if self.counter("generation") else "")
        self.connection.execute("DELETE FROM pending")

    def _add_segment(self, rows: np.ndarray, contents: Callable[[str], Iterable[bytes]], name: str) -> None:
        """Writes a segment with the embeddings of ascending rows, given those of a modality, within a transaction."""
        start, count = int(rows[0]), len(rows)
        for modality in self.about["sides"]:
            path = self.folder / f"{modality}{name}.npy"
            write_segment(path, contents(modality), count, self._dim, self._dtype)
        numbers = None if rows[-1] - start + 1 == count else rows.tobytes()
        self.connection.execute("INSERT INTO segments VALUES (?, ?, ?, ?)", (start, name, count, numbers))
        self._set_counter("generation", self.counter("generation") + 1)

    def _groups(self, removed: np.ndarray) -> list[list[_Segment]]:
        """Returns groups of consecutive segments to rewrite, each as one of at most `SEGMENT` rows."""
        groups: list[list[_Segment]] = [[]]
        size = 0
        for start, name, count, numbers in self.connection.execute("SELECT * FROM segments ORDER BY start").fetchall():
            rows = np.arange(start, start + count) if numbers is None else np.frombuffer(numbers, np.int64)
            segment = _Segment(name, rows, np.isin(rows, removed, assume_unique=True, invert=True))
            kept = int(segment.is_kept.sum())
            if size + kept > SEGMENT:
                groups.append([])
                size = 0
            groups[-1].append(segment)
            size += kept
        return [group for group in groups if len(group) > 1 or not all(segment.is_kept.all() for segment in group)]

    def _merge(self, group: list[_Segment]) -> None:
        """Replaces segments by one without the rows that are not kept, within a transaction."""
        rows = np.concatenate([segment.rows[segment.is_kept] for segment in group])

        def contents(modality: str) -> Iterator[bytes]:
            for segment in group:
                path = self.folder / f"{modality}{segment.name}.npy"
                found = open_segment(path, len(segment.rows), self._dim, self._dtype)
                yield from (found[place].tobytes() for place in np.flatnonzero(segment.is_kept))

        for segment in group:
            self.connection.execute("DELETE FROM segments WHERE name = ?", (segment.name,))
        if len(rows):
            # A new name, because searches read the old file until the transaction ends.
            self._add_segment(rows, contents, f"-{rows[0]:09d}-{secrets.token_hex(4)}")

    def _delete_unnamed(self) -> None:
        """Deletes the segments and photos that the database does not name."""
        names = {name for (name,) in self.connection.execute("SELECT name FROM segments")}
        named = {f"{modality}{name}.npy" for modality in self.about["sides"] for name in names}
        named |= {name for (name,) in self.connection.execute("SELECT photo FROM items WHERE photo IS NOT NULL")}
        for path in [*self.folder.glob("*.npy"), *self.folder.glob("photos/*")]:
            if path.relative_to(self.folder).as_posix() not in named:
                path.unlink()

    def _pending(self) -> int:
        return self.connection.execute("SELECT count(*) FROM pending").fetchone()[0]

    def _transaction(self) -> contextlib.AbstractContextManager[None]:
        return database.transaction(self.connection, self._path)

    def _delete(self, ids: Iterable[str]) -> list[str | None]:
        """Deletes items within a transaction; returns their photos."""
        photos = []
        for identity in ids:
            query = "SELECT row, photo FROM items WHERE id = ?"
            if found := self.connection.execute(query, (database.text(identity),)).fetchone():
                database.delete(self.connection, found[0])
                photos.append(found[1])
        return photos

    def _write_photo(self, row: int, item: Item) -> str | None:
        if item.photo is None:
            return None
        assert isinstance(item.photo, bytes), "photos must be the content of files"
        name = f"photos/{row:08d}.jpg"
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with files.named_errors(path):
            path.write_bytes(item.photo)
        return name

    def _delete_photos(self, names: Iterable[str | None]) -> None:
        for name in filter(None, names):
            (self.folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def changes(folder: Path) -> Generator[None]:
    """Lets searches continue without waiting while a change is written, within the block: SQLite's write-ahead log."""
    with contextlib.closing(database.connect(folder / database.NAME)) as connection:
        with contextlib.suppress(sqlite3.OperationalError):  # searches that wait are slower, no more
            connection.execute("PRAGMA journal_mode = WAL")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.OperationalError):  # another process still uses the log, and removes it
                connection.execute("PRAGMA journal_mode = DELETE")
