"""Reads and searches a gallery: the embeddings of a collection and the items that they belong to."""

import contextlib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder import checks, conditions, database, exact, index
from adamine_jax.gallery.folder.editing import Editor, changes
from adamine_jax.gallery.folder.files import read_about, read_photo
from adamine_jax.gallery.folder.reader import Reader
from adamine_jax.gallery.folder.snapshot import Snapshot
from adamine_jax.gallery.fusion import DEPTH, Fused, fused
from adamine_jax.gallery.items import Item, MissingItem, check_unchanged
from adamine_jax.gallery.store import Store


class Gallery(Store):
    """Reads a gallery, whatever its size: embeddings are memory-mapped and items are read on demand.

    Searches see the changes of all processes, within half a second. Several threads may use the same object.

    Args:
        folder: Folder written by `python -m adamine_jax.embed`.
        shared: Whether several processes search the gallery, which then share its index.

    Attributes:
        folder: Folder of the gallery.
        about: Content of `gallery.json`: `model` (digest), `step`, `source`, `dim`, `sides` (the modalities) and
            `dtype`.

    Raises:
        UserError: A file is missing, damaged or inconsistent with the others.
    """

    def __init__(self, folder: Path, *, shared: bool = False):
        # Where a link leads now, also when it leads to another gallery later.
        self.folder, self.name = folder.resolve() if folder.is_symlink() else folder, str(folder)
        self.about: dict[str, Any] = read_about(self.folder)
        self._reader = Reader(self.folder, self.about)
        self._indices, self._shared = dict[str, index.Index](), shared

    def __len__(self) -> int:
        return self.snapshot().count

    @property
    def rows(self) -> np.ndarray:
        snapshot = self.snapshot()
        return snapshot.rows if snapshot.alive is None else snapshot.rows[snapshot.alive]

    @property
    def ids(self) -> np.ndarray:
        """(N,) ids of the items, in the order of `rows`."""
        return np.array([identity for (identity,) in self._reader.read("SELECT id FROM items ORDER BY row")], np.str_)

    def snapshot(self) -> Snapshot:
        """Returns the state after the last change; see `Reader.snapshot`."""
        return self._reader.snapshot()

    def refresh(self) -> None:
        self._reader.refresh()

    def embeddings(self, modality: str) -> np.ndarray:
        """Returns the (N, D) float32 unit rows of a modality in the order of `rows`, memory-mapped if possible.

        Raises:
            UserError: The gallery does not have this modality.
        """
        snapshot = self.snapshot()
        self._check_modality(modality)
        vectors = snapshot.vectors[modality]
        return np.asarray(vectors) if snapshot.alive is None else vectors[np.flatnonzero(snapshot.alive)]

    def embeddings_of(self, modality: str, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        self._check_modality(modality)
        for latest in (self.snapshot, self._reader.refresh):
            snapshot = latest()
            positions = np.minimum(snapshot.positions(rows), len(snapshot.rows) - 1)
            is_present = snapshot.rows[positions] == rows
            if is_present.all() and (snapshot.alive is None or snapshot.alive[positions].all()):
                return snapshot.vectors[modality][positions]
        raise MissingItem(f"{self.folder}: no item has one of the rows {list(rows)[:5]}")

    def nearest(
        self,
        queries: np.ndarray,
        among: str,
        top: int,
        class_name: str | None = None,
        where: Filter | None = None,
        approximate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        queries, modality = self._checked(queries, among, top)
        snapshot = self.snapshot()
        mask = self.mask(where, class_name, snapshot)
        if approximate:
            found = self._index(modality)
            if mask is None or np.count_nonzero(mask) > index.EXACT:
                return found.search(snapshot, queries, top, mask)
        candidates = None if mask is None else np.flatnonzero(mask)
        similarities, positions = exact.search(snapshot.vectors[modality], queries, top, candidates)
        return similarities, snapshot.rows[positions]

    def search_words(
        self, text: str, queries: np.ndarray | None = None, among: str = "recipes", top: int = 5, **options: Any
    ) -> list[Fused]:
        snapshot = self.snapshot()
        mask = self.mask(options.get("where"), options.get("class_name"), snapshot)

        def are_allowed(rows: np.ndarray) -> np.ndarray:
            positions = np.minimum(snapshot.positions(rows), len(snapshot.rows) - 1)
            return (snapshot.rows[positions] == rows) & (True if mask is None else mask[positions])

        depth, searches = max(top, DEPTH), {}
        searches["words"], titles = self._reader.words(text, depth, are_allowed)
        if queries is not None:
            rows = self.nearest(queries, among, depth, **options)[1][0]
            searches["embedding"] = [int(row) for row in rows if row >= 0]
        return fused(searches, titles, top)

    def mask(
        self, where: Filter | None, class_name: str | None = None, snapshot: Snapshot | None = None
    ) -> np.ndarray | None:
        """Returns which stored rows pass a filter; None if all do. See `Snapshot.mask`."""
        return self._reader.mask(snapshot or self.snapshot(), self._resolved(where, class_name))

    def check_filter(self, where: Filter) -> None:
        self.mask(where)

    def count(self, where: Filter) -> int:
        return len(self) if (mask := self.mask(where)) is None else int(np.count_nonzero(mask))

    def unmatched(self, where: Filter) -> list[str]:
        # `stems` also has the items that were removed since the last `compact`.
        query, names = f"{conditions.STEMS} AND rowid IN (SELECT row FROM items) LIMIT 1", dict.fromkeys(where.exclude)
        return [name for name in names if not self._reader.read(query, conditions.in_lines(name))]

    def items(self, rows: Iterable[int]) -> dict[int, Item]:
        found = {}
        for row in map(int, rows):
            with contextlib.suppress(MissingItem):
                found[row] = self._reader.item(row)
        return found

    def photo(self, row: int) -> bytes | None:
        path = self.item(row).photo
        if not isinstance(path, Path):
            return None
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise OSError(f"{path}: not in the gallery")
        return read_photo(path)

    def check(self) -> None:
        checks.check(self.folder, self._reader)

    def verify(self) -> None:
        checks.verify(self.folder, self._reader)

    def stats(self) -> dict[str, Any]:
        return checks.stats(self.folder, self._reader)

    def row_of(self, identifier: str) -> int:
        if found := self._reader.read("SELECT row FROM items WHERE id = ?", database.text(identifier)):
            return found[0][0]
        raise MissingItem(f"{self.folder}: no item has the id {identifier!r}")

    def rows_of_class(self, name: str) -> np.ndarray:
        """Returns the (n,) int64 rows of a class in ascending order, or raises a `UserError` if there is no such class.

        Case is ignored unless it distinguishes classes.
        """
        found = self._reader.read("SELECT row FROM items WHERE class = ? ORDER BY row", self._class(name))
        return np.array([row for (row,) in found], np.int64)

    def class_counts(self) -> dict[str, int]:
        return dict(
            self._reader.read("SELECT class, count(*) AS n FROM items GROUP BY class ORDER BY n DESC, min(row)")
        )

    def language_counts(self) -> dict[str, int]:
        return dict(
            self._reader.read("SELECT language, count(*) AS n FROM items GROUP BY language ORDER BY n DESC, language")
        )

    def _index(self, modality: str) -> index.Index:
        if modality not in self._indices:
            self._indices[modality] = index.Index(self.folder, self.about, modality, shared=self._shared)
        return self._indices[modality]

    def has_index(self, modality: str) -> bool:
        return index.exists(self, modality)

    def build_index(self, modality: str) -> None:
        index.build(self, modality)

    def editor(self) -> Editor:
        editor = Editor(self.folder)
        try:
            check_unchanged(self.name, self.about, editor.about)
        except BaseException:
            editor.__exit__()
            raise
        return editor

    def accepting_changes(self) -> contextlib.AbstractContextManager[None]:
        return changes(self.folder)

    def state(self) -> Hashable:
        return self.snapshot()
