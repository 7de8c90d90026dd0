"""Reads and searches a gallery: the embeddings of a collection and the items that they belong to."""

import dataclasses
import difflib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery import database, exact, index, words
from adamine_jax.gallery.files import KINDS, REBUILD, Item, MissingItem, read_about
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.reader import Reader, check
from adamine_jax.gallery.snapshot import Snapshot
from adamine_jax.gallery.vectors import Vectors
from adamine_jax.gallery.words import Fused

AMONG = {"recipes": "recipe", "photos": "image"}
"""What can be searched, and the modality of its embeddings."""


class Hit(NamedTuple):
    """A search result.

    Attributes:
        place: Place among the results, from 1 (the most similar).
        similarity: Cosine similarity of the two embeddings.
        row: Row number in the gallery.
        item: Item of that row.
    """

    place: int
    similarity: float
    row: int
    item: Item


class Gallery:
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
        self.folder = folder
        self.about: dict[str, Any] = read_about(folder)
        self._reader = Reader(folder, self.about)
        self._indices, self._shared = dict[str, index.Index](), shared

    def __len__(self) -> int:
        return self.snapshot().count

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of `MODALITIES` that the gallery has embeddings of."""
        return tuple(self.about["sides"])

    @property
    def rows(self) -> np.ndarray:
        """(N,) int64 row numbers of the items, ascending. An item keeps its row number until it is changed."""
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
        """Lets the following searches see all changes that were committed; otherwise they may be half a second late."""
        self._reader.refresh()

    def embeddings(self, modality: str) -> np.ndarray:
        """Returns the (N, D) float32 unit rows of a modality in the order of `rows`, memory-mapped if possible.

        Raises:
            UserError: The gallery does not have this modality.
        """
        snapshot = self.snapshot()
        vectors = self._vectors(snapshot, modality)
        return np.asarray(vectors) if snapshot.alive is None else vectors[np.flatnonzero(snapshot.alive)]

    def embedding(self, modality: str, row: int) -> np.ndarray:
        """Returns the (D,) float32 embedding of a row, or raises a `MissingItem`."""
        for snapshot in (self.snapshot(), self._reader.refresh()):
            position = int(snapshot.positions([row])[0])
            if position < len(snapshot.rows) and snapshot.rows[position] == row:
                return self._vectors(snapshot, modality)[position]
        raise MissingItem(f"{self.folder}: no item has row {row}")

    def search(self, queries: np.ndarray, among: str = "recipes", top: int = 5, **options: Any) -> list[list[Hit]]:
        """Finds the items that are most similar to each query.

        Args:
            queries: (Q, D) float32 unit rows, embedded by the model that built the gallery.
            among: What to search: 'recipes' or 'photos'.
            top: Maximum number of results.
            **options: `class_name`, `where` and `approximate`; see `nearest`.

        Returns:
            The hits of each query, best first.

        Raises:
            UserError: An argument does not fit the gallery, or its index is missing.
        """
        similarities, rows = self.nearest(queries, among, top, **options)
        return [
            [
                Hit(place, float(similarity), int(row), self.item(row))
                for place, (similarity, row) in enumerate(zip(best, found, strict=True), 1)
                if row >= 0
            ]
            for best, found in zip(similarities, rows, strict=True)
        ]

    def nearest(
        self,
        queries: np.ndarray,
        among: str,
        top: int,
        class_name: str | None = None,
        where: Filter | None = None,
        approximate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Searches like `search`, without reading the items.

        Args:
            queries: (Q, D) float32 unit rows, embedded by the model that built the gallery.
            among: What to search: 'recipes' or 'photos'.
            top: Maximum number of results K.
            class_name: Class to which the search is restricted; short for a filter.
            where: Filter that every result passes.
            approximate: Whether to use the FAISS index, which must exist. A search among few items is always exact.

        Returns:
            (similarities (Q, K) float32, rows (Q, K) int64), best first; missing results have row -1.
        """
        if among not in AMONG:
            raise UserError(f"among = {among!r}: expected {' or '.join(map(repr, AMONG))}")
        snapshot = self.snapshot()
        vectors = self._vectors(snapshot, AMONG[among])
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != vectors.shape[1]:
            raise UserError(f"queries have shape {queries.shape}, the gallery's embeddings {vectors.shape}")
        if top < 1:
            raise UserError(f"top = {top}: expected at least 1")
        mask = self.mask(where or Filter(), class_name, snapshot)
        if approximate:
            found = self._index(AMONG[among])
            if mask is None or np.count_nonzero(mask) > index.EXACT:
                return found.search(snapshot, queries, top, mask)
        similarities, positions = exact.search(vectors, queries, top, None if mask is None else np.flatnonzero(mask))
        return similarities, snapshot.rows[positions]

    def search_words(
        self, text: str, queries: np.ndarray | None = None, among: str = "recipes", top: int = 5, **options: Any
    ) -> list[Fused]:
        """Finds items by the words of their recipe, or by words and a query together.

        Args:
            text: Words.
            queries: (1, D) float32 unit row of a photo or a recipe, or None.
            among: What the query is compared with: 'recipes' or 'photos'.
            top: Maximum number of results.
            **options: See `nearest`.

        Returns:
            The results, best first, with their places in the searches by "words" and by "embedding".
        """
        snapshot = self.snapshot()
        mask = self.mask(options.get("where") or Filter(), options.get("class_name"), snapshot)

        def are_allowed(rows: np.ndarray) -> np.ndarray:
            positions = np.minimum(snapshot.positions(rows), len(snapshot.rows) - 1)
            return (snapshot.rows[positions] == rows) & (True if mask is None else mask[positions])

        depth, searches = max(top, words.DEPTH), {}
        searches["words"], titles = self._reader.words(text, depth, are_allowed)
        if queries is not None:
            rows = self.nearest(queries, among, depth, **options)[1][0]
            searches["embedding"] = [int(row) for row in rows if row >= 0]
        return words.fused(searches, titles, top)

    def mask(self, where: Filter, class_name: str | None = None, snapshot: Snapshot | None = None) -> np.ndarray | None:
        """Returns which stored rows pass a filter; None if all do. See `Snapshot.mask`."""
        snapshot = snapshot or self.snapshot()
        name = where.class_name if class_name is None else class_name
        if name is not None:
            where = dataclasses.replace(where, class_name=self._class(name))
        return self._reader.mask(snapshot, where)

    def count(self, where: Filter) -> int:
        """Returns the number of items that pass a filter."""
        return len(self) if (mask := self.mask(where)) is None else int(np.count_nonzero(mask))

    def item(self, row: int) -> Item:
        """Reads the item of a row."""
        return self._reader.item(row)

    def check(self) -> None:
        """Reads all items and embeddings, and checks the database.

        Raises:
            UserError: An item or the database is damaged, or an embedding is not a unit row.
        """
        check(self.folder, self._reader)

    def row_of(self, identifier: str) -> int:
        """Returns the row of an id, or raises a `UserError` if no item has it."""
        if found := self._reader.read("SELECT row FROM items WHERE id = ?", database.text(identifier)):
            return found[0][0]
        raise UserError(f"{self.folder}: no item has the id {identifier!r}")

    def rows_of_class(self, name: str) -> np.ndarray:
        """Returns the (n,) int64 rows of a class in ascending order, or raises a `UserError` if there is no such class.

        Case is ignored unless it distinguishes classes.
        """
        found = self._reader.read("SELECT row FROM items WHERE class = ? ORDER BY row", self._class(name))
        return np.array([row for (row,) in found], np.int64)

    def class_counts(self) -> dict[str, int]:
        """Returns the number of items of each class, largest first."""
        return dict(
            self._reader.read("SELECT class, count(*) AS n FROM items GROUP BY class ORDER BY n DESC, min(row)")
        )

    def language_counts(self) -> dict[str, int]:
        """Returns the number of items of each language, most frequent first; "" = unknown."""
        return dict(
            self._reader.read("SELECT language, count(*) AS n FROM items GROUP BY language ORDER BY n DESC, language")
        )

    def _class(self, name: str) -> str:
        """Returns the name of a class as written."""
        names = list(self.class_counts())
        if name in names:
            return name
        written = {other.lower(): other for other in names}
        if name.lower() in written and len(written) == len(names):
            return written[name.lower()]
        if similar := difflib.get_close_matches(name.lower(), written, n=3):
            suggestions = " or ".join(written[other] for other in similar)
            raise UserError(f"{self.folder}: no class {name!r}; did you mean {suggestions}?")
        raise UserError(
            f"{self.folder}: no class {name!r}; the largest of {len(names)} classes are: {', '.join(names[:8])}"
        )

    def check_model(self, digest: str) -> None:
        """Raises a `UserError` unless the model with this digest built the gallery."""
        if self.about["model"] != digest:
            step = f"step {self.about['step']} of " if self.about.get("step") is not None else ""
            raise UserError(
                f"{self.folder}: built by another model ({step}{self.about['model'][:12]} instead of {digest[:12]}), "
                f"whose embeddings cannot be compared; {REBUILD}"
            )

    def _vectors(self, snapshot: Snapshot, modality: str) -> Vectors:
        if modality not in snapshot.vectors:
            kind = KINDS[self.modalities]
            raise UserError(
                f"{self.folder}: the gallery contains only {kind}, no {KINDS[modality,]}; search it with --in {kind} "
                "or use another gallery"
            )
        return snapshot.vectors[modality]

    def _index(self, modality: str) -> index.Index:
        if modality not in self._indices:
            self._indices[modality] = index.Index(self.folder, self.about, modality, shared=self._shared)
        return self._indices[modality]


def open_gallery(folder: str | Path, digest: str) -> Gallery:
    """Opens a gallery to search it with a model.

    Args:
        folder: Folder written by `python -m adamine_jax.embed`.
        digest: Digest of the model that embeds the queries.

    Raises:
        UserError: The gallery cannot be read, or another model built it.
    """
    gallery = Gallery(Path(folder))
    gallery.check_model(digest)
    return gallery
