"""Reads and searches a gallery: the embeddings of a collection and the items that they belong to."""

import difflib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.gallery import exact, index
from adamine_jax.gallery.files import KINDS, REBUILD, Item, parse_item, read_about, reading

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
    """Reads a gallery. Embeddings are memory-mapped and items are read on demand, whatever the gallery's size.

    Args:
        folder: Folder written by `python -m adamine_jax.embed`.

    Attributes:
        folder: Folder of the gallery.
        about: Content of `gallery.json`: `model` (digest), `step`, `source`, `items`, `dim`, `sides` (the modalities)
            and `class_names`.
        ids: (N,) array of the items' ids.

    Raises:
        UserError: A file is missing, damaged or inconsistent with the others.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.about: dict[str, Any] = read_about(folder)
        with reading(folder / "items.jsonl"):
            self._lines = np.memmap(folder / "items.jsonl", np.uint8, "r")
        with reading(folder / "items.npz"), np.load(folder / "items.npz") as table:
            self._starts, self._classes = table["starts"], table["class_id"]
            self.ids: np.ndarray = table["ids"]
        self._embeddings: dict[str, np.ndarray] = {}
        self._indices: dict[str, index.Index] = {}
        expected = (len(self), self.about["dim"])
        for modality in self.modalities:
            path = folder / f"{modality}.npy"
            with reading(path):
                rows = self._embeddings[modality] = np.load(path, mmap_mode="r")
            if rows.shape != expected or rows.dtype != np.float32:
                raise UserError(f"{path}: {rows.dtype} {rows.shape} instead of float32 {expected}; {REBUILD}")
        tables = {"starts": (self._starts, len(self) + 1, "i"), "class_id": (self._classes, len(self), "i")}
        tables["ids"] = (self.ids, len(self), "U")
        is_valid = all(table.shape == (length,) and table.dtype.kind == kind for table, length, kind in tables.values())
        if is_valid and len(self):
            is_valid = bool(
                self._starts[0] == 0
                and self._starts[-1] == len(self._lines)
                and (np.diff(self._starts) > 0).all()
                and self._classes.min() >= 0
                and self._classes.max() < len(self.about["class_names"])
            )
        if not is_valid:
            raise UserError(f"{folder}: items.jsonl and items.npz do not belong together; {REBUILD}")

    def __len__(self) -> int:
        return self.about["items"]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of `MODALITIES` that the gallery has embeddings of."""
        return tuple(self.about["sides"])

    def embeddings(self, modality: str) -> np.ndarray:
        """Returns the memory-mapped (N, D) float32 unit rows of a modality, or raises a `UserError`."""
        if modality not in self._embeddings:
            kind = KINDS[self.modalities]
            raise UserError(
                f"{self.folder}: the gallery contains only {kind}, no {KINDS[modality,]}; search it with --in {kind} "
                "or use another gallery"
            )
        return self._embeddings[modality]

    def search(self, queries: np.ndarray, among: str = "recipes", top: int = 5, **options: Any) -> list[list[Hit]]:
        """Finds the items that are most similar to each query.

        Args:
            queries: (Q, D) float32 unit rows, embedded by the model that built the gallery.
            among: What to search: 'recipes' or 'photos'.
            top: Maximum number of results.
            **options: `class_name` and `approximate`; see `nearest`.

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
        self, queries: np.ndarray, among: str, top: int, class_name: str | None = None, approximate: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Searches like `search`, without reading the items.

        Args:
            queries: (Q, D) float32 unit rows, embedded by the model that built the gallery.
            among: What to search: 'recipes' or 'photos'.
            top: Maximum number of results K.
            class_name: Class to which the search is restricted.
            approximate: Whether to use the FAISS index, which must exist. A search within a class is always exact.

        Returns:
            (similarities (Q, K) float32, rows (Q, K) int64), best first; missing results have row -1.
        """
        if among not in AMONG:
            raise UserError(f"among = {among!r}: expected {' or '.join(map(repr, AMONG))}")
        modality = AMONG[among]
        embeddings, candidates = self.embeddings(modality), self.rows_of_class(class_name) if class_name else None
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != embeddings.shape[1]:
            raise UserError(f"queries have shape {queries.shape}, the gallery's embeddings {embeddings.shape}")
        if top < 1:
            raise UserError(f"top = {top}: expected at least 1")
        if approximate and candidates is None:
            if modality not in self._indices:
                self._indices[modality] = index.Index(self, modality)
            return self._indices[modality].search(queries, top)
        return exact.search(embeddings, queries, top, candidates)

    def item(self, row: int) -> Item:
        """Reads the item of a row."""
        start, end = int(self._starts[row]), int(self._starts[row + 1])
        return parse_item(self._lines[start:end].tobytes(), self.folder, f"{self.folder}/items.jsonl, line {row + 1}")

    def check(self) -> None:
        """Reads all items and embeddings.

        Raises:
            UserError: A line of `items.jsonl` is malformed or differs from `items.npz`, or an embedding is not a unit
                row.
        """
        names = self.about["class_names"]
        with Progress(f"checking {self.folder.name}", len(self), "item") as progress:
            for row in range(len(self)):
                item, number = self.item(row), int(self._classes[row])
                if item.id != str(self.ids[row]) or item.class_name != names[number]:
                    raise UserError(
                        f"{self.folder}/items.jsonl, line {row + 1}: the id or class differs from items.npz; {REBUILD}"
                    )
                progress.update()
        for modality, embeddings in self._embeddings.items():
            for start in range(0, len(self), exact.BLOCK):
                norms = np.linalg.norm(embeddings[start : start + exact.BLOCK], axis=1)
                if not (is_unit := np.abs(norms - 1) < 1e-2).all():
                    row = start + int(np.argmin(is_unit))
                    raise UserError(f"{self.folder}/{modality}.npy: row {row} (from 0) is not a unit vector; {REBUILD}")

    def row_of(self, identifier: str) -> int:
        """Returns the row of an id, or raises a `UserError` if no item has it."""
        found = np.flatnonzero(self.ids == identifier)
        if not len(found) or identifier.endswith("\0"):  # NumPy ignores NULs at the end
            raise UserError(f"{self.folder}: no item has the id {identifier!r}; items.jsonl lists the ids")
        return int(found[0])

    def rows_of_class(self, name: str) -> np.ndarray:
        """Returns the (n,) int64 rows of a class in ascending order, or raises a `UserError` if there is no such class.

        Case is ignored unless it distinguishes classes.
        """
        names = self.about["class_names"]
        if name not in names:
            written = {other.lower(): other for other in names}
            if name.lower() in written and len(written) == len(names):
                return self.rows_of_class(written[name.lower()])
            if similar := difflib.get_close_matches(name.lower(), written, n=3):
                suggestions = " or ".join(written[other] for other in similar)
                raise UserError(f"{self.folder}: no class {name!r}; did you mean {suggestions}?")
            largest = ", ".join(list(self.class_counts())[:8])
            raise UserError(f"{self.folder}: no class {name!r}; the largest of {len(names)} classes are: {largest}")
        return np.flatnonzero(self._classes == names.index(name))

    def class_counts(self) -> dict[str, int]:
        """Returns the number of items of each class that is not empty, largest first."""
        names = self.about["class_names"]
        counts = np.bincount(self._classes, minlength=len(names))
        return {names[number]: int(counts[number]) for number in np.argsort(-counts, kind="stable") if counts[number]}

    def check_model(self, digest: str) -> None:
        """Raises a `UserError` unless the model with this digest built the gallery."""
        if self.about["model"] != digest:
            step = f"step {self.about['step']} of " if self.about.get("step") is not None else ""
            raise UserError(
                f"{self.folder}: built by another model ({step}{self.about['model'][:12]} instead of {digest[:12]}), "
                f"whose embeddings cannot be compared; {REBUILD}"
            )


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
