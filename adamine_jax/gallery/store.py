"""A gallery, to be read and searched: the embeddings of a collection with what people see of its items."""

import difflib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import WRITE_AGAIN, Item, item_of, map_array, read_about, read_table

AMONG = {"recipes": "recipe", "photos": "image"}
"""What can be searched, and the side that has its embeddings."""


class Hit(NamedTuple):
    """What a search has found.

    Attributes:
        place: from 1, the best.
        similarity: cosine of the two embeddings.
        row: of the gallery.
        item: of that row.
    """

    place: int
    similarity: float
    row: int
    item: Item


class Gallery:
    """Reads a gallery; embeddings are mapped and items read when they are asked for, whatever its size.

    Args:
        folder: that `python -m adamine_jax.embed` wrote.

    Attributes:
        folder: of the gallery.
        about: `gallery.json`: `model` (digest), `step`, `source`, `items`, `dim`, `sides` and `class_names`.

    Raises:
        UserError: there is no gallery, its files do not belong together, or one cannot be read.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.about: dict[str, Any] = read_about(folder)
        try:
            self._lines = np.memmap(folder / "items.jsonl", np.uint8, "r")
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}/items.jsonl: cannot be read ({error}); {WRITE_AGAIN}") from None
        table = read_table(folder)
        self._starts, self._classes = table["starts"], table["class_id"]
        self.ids: np.ndarray = table["ids"]
        self._embeddings = {side: map_array(folder / f"{side}.npy") for side in self.sides}
        self._indices: dict[str, Any] = {}
        expected = (len(self), self.about["dim"])
        for side, rows in self._embeddings.items():
            if rows.shape != expected or rows.dtype != np.float32:
                raise UserError(f"{folder}/{side}.npy: {rows.dtype} {rows.shape}, not {expected}; {WRITE_AGAIN}")
        if (
            len(self._starts) != len(self) + 1
            or self._starts[-1] != len(self._lines)
            or len(self._classes) != len(self)
        ):
            raise UserError(f"{folder}: items.jsonl is not the one that items.npz belongs to; {WRITE_AGAIN}")

    def __len__(self) -> int:
        return self.about["items"]

    @property
    def sides(self) -> tuple[str, ...]:
        """Of `SIDES`, those it has."""
        return tuple(self.about["sides"])

    def embeddings(self, side: str) -> np.ndarray:
        """(N, D) float32 unit rows, mapped from the disk.

        Raises:
            UserError: the gallery has no such side.
        """
        if side not in self._embeddings:
            there = {"image": "photos", "recipe": "recipes"}
            raise UserError(
                f"{self.folder}: holds {there[self.sides[0]]} alone, no {there[side]}; search in it with "
                f"--in {there[self.sides[0]]}, or take another gallery"
            )
        return self._embeddings[side]

    def search(
        self,
        queries: np.ndarray,
        among: str = "recipes",
        top: int = 5,
        class_name: str | None = None,
        approximate: bool = False,
    ) -> list[list[Hit]]:
        """Finds the items that are most similar to each query.

        Args:
            queries: (Q, D) float32 unit rows, of the model that made the gallery.
            among: what is searched: 'recipes' or 'photos'.
            top: how many; fewer where there are not as many.
            class_name: only items of this class.
            approximate: with the FAISS index, which must be there; a class is searched exactly all the same.

        Returns:
            For each query its hits, the best first.

        Raises:
            UserError: the gallery has no such side or class, or no index; or the queries have another length.
        """
        similarities, rows = self.nearest(queries, among, top, class_name, approximate)
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
        among: str = "recipes",
        top: int = 5,
        class_name: str | None = None,
        approximate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, without reading the items.

        Returns:
            (similarities (Q, K) float32, rows (Q, K) int64), best first; a row of −1 is none.
        """
        from adamine_jax.gallery import exact

        if among not in AMONG:
            raise UserError(f"among = {among!r}: takes {' or '.join(map(repr, AMONG))}")
        side = AMONG[among]
        embeddings, rows_among = self.embeddings(side), self.rows_of_class(class_name) if class_name else None
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != embeddings.shape[1]:
            raise UserError(f"queries have shape {queries.shape}, the gallery's embeddings {embeddings.shape}")
        if top < 1:
            raise UserError(f"top = {top}: takes 1 or more")
        if approximate and rows_among is None:
            return self._index(side).search(queries, top)
        return exact.search(embeddings, queries, top, rows_among)

    def item(self, row: int) -> Item:
        """What people see of the item of a row.

        Raises:
            UserError: its line is damaged.
        """
        start, end = int(self._starts[row]), int(self._starts[row + 1])
        return item_of(self._lines[start:end].tobytes(), self.folder, f"{self.folder}/items.jsonl, line {row + 1}")

    def row_of(self, identifier: str) -> int:
        """The row of an id.

        Raises:
            UserError: no item has it.
        """
        found = np.flatnonzero(self.ids == identifier)
        if not len(found):
            raise UserError(f"{self.folder}: has no item {identifier!r}; items.jsonl lists the ids")
        return int(found[0])

    def rows_of_class(self, name: str) -> np.ndarray:
        """(n,) int64 rows of a class, in order; letters may be large or small where that leaves one.

        Raises:
            UserError: there is no such class.
        """
        names = self.about["class_names"]
        if name not in names:
            written = {other.lower(): other for other in names}
            if name.lower() in written and len(written) == len(names):
                return self.rows_of_class(written[name.lower()])
            if alike := difflib.get_close_matches(name.lower(), written, n=3):
                meant = " or ".join(written[other] for other in alike)
                raise UserError(f"no class {name!r} in {self.folder}; is it {meant}?")
            most = list(self.class_counts())[:8]
            raise UserError(f"no class {name!r} in {self.folder}; the largest of {len(names)} are: {', '.join(most)}")
        return np.flatnonzero(self._classes == names.index(name))

    def class_counts(self) -> dict[str, int]:
        """Items of each class that has some, the largest first."""
        names = self.about["class_names"]
        counts = np.bincount(self._classes, minlength=len(names))
        return {names[number]: int(counts[number]) for number in np.argsort(-counts, kind="stable") if counts[number]}

    def check_model(self, digest: str) -> None:
        """Makes sure that a model made this gallery.

        Raises:
            UserError: another one did, or it cannot be told.
        """
        if self.about["model"] != digest:
            made = f"step {self.about['step']} of " if self.about.get("step") is not None else ""
            raise UserError(
                f"{self.folder}: made by another model ({made}{self.about['model'][:12]}, this one is {digest[:12]}); "
                "their embeddings cannot be compared: write it again with `python -m adamine_jax.embed`"
            )

    def _index(self, side: str):
        from adamine_jax.gallery.index import Index

        if side not in self._indices:
            self._indices[side] = Index(self, side)
        return self._indices[side]


def open_gallery(folder: str | Path, digest: str) -> Gallery:
    """Opens a gallery to search in it with a model.

    Args:
        folder: that `python -m adamine_jax.embed` wrote.
        digest: of the model that embeds the queries.

    Raises:
        UserError: it cannot be read, or another model made it.
    """
    gallery = Gallery(Path(folder))
    gallery.check_model(digest)
    return gallery
