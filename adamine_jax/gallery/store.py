"""What every gallery can do, whether it is a folder (`folder.store.Gallery`) or in PostgreSQL (`postgresql.store`)."""

import abc
import contextlib
import dataclasses
import difflib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.fusion import Fused
from adamine_jax.gallery.items import KINDS, REBUILD, Item, MissingItem

AMONG = {"recipes": "recipe", "photos": "image"}
"""What can be searched, and the modality of its embeddings."""
SMALLEST = 10_000
"""Minimum number of items of an indexed gallery; exact search of fewer takes milliseconds."""
GOAL = 0.98
"""Target recall@10 of a search with an index, on the queries that tune it."""


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


class Editor(Protocol):
    """Changes a gallery. Each call is one change: all of it is visible, or nothing. A context manager."""

    about: dict[str, Any]

    def __enter__(self) -> "Editor": ...

    def __exit__(self, *_: object) -> Any: ...

    def add(self, items: Sequence[Item], embeddings: dict[str, np.ndarray], *, replace: bool = False) -> list[int]:
        """Adds n items.

        Args:
            items: Items, with photos as the content of JPEG files.
            embeddings: Modality → (n, D) float32 unit rows, of every modality of the gallery.
            replace: Whether an item replaces the one that has its id.

        Returns:
            Row number of each item.

        Raises:
            TakenId: The id of an item is taken, and `replace` is false.
        """
        ...

    def remove(self, ids: Iterable[str]) -> int:
        """Removes the items with these ids; returns their number. Unknown ids are ignored."""
        ...

    def has(self, identity: str) -> bool:
        """Whether an item has this id."""
        ...

    def compact(self) -> int:
        """Frees the space of removed items, whose number it returns."""
        ...


class Store(abc.ABC):
    """A gallery: items with unit rows that embed their photo, their recipe or both.

    An item keeps its row number until it is changed. Several threads may use the same object.

    Attributes:
        name: Name of the gallery in messages.
        about: Its `model` (digest), `step`, `source`, `dim`, `sides` (the modalities) and `dtype`.
    """

    name: str
    about: dict[str, Any]

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    @abc.abstractmethod
    def rows(self) -> np.ndarray:
        """(N,) int64 row numbers of the items, ascending."""

    @abc.abstractmethod
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
            approximate: Whether to use the index, which must exist. A search among few items is always exact.

        Returns:
            (similarities (Q, K) float32, rows (Q, K) int64), best first; missing results have row -1.
        """

    @abc.abstractmethod
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

    @abc.abstractmethod
    def check_filter(self, where: Filter) -> None:
        """Raises a `UserError` unless the gallery can be searched with a filter."""

    @abc.abstractmethod
    def count(self, where: Filter) -> int:
        """Returns the number of items that pass a filter."""

    @abc.abstractmethod
    def unmatched(self, where: Filter) -> list[str]:
        """Returns the excluded ingredients of a filter that no item contains."""

    @abc.abstractmethod
    def items(self, rows: Iterable[int]) -> dict[int, Item]:
        """Returns the items of rows, without those that have none."""

    def item(self, row: int) -> Item:
        """Returns the item of a row, or raises a `MissingItem`."""
        if found := self.items([row]):
            return found[int(row)]
        raise MissingItem(f"{self.name}: no item has row {row}")

    def sample(self, count: int) -> np.ndarray:
        """Returns at most `count` rows of items, ascending and evenly spaced."""
        rows = self.rows
        return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), count)).astype(int))]

    @abc.abstractmethod
    def photo(self, row: int) -> bytes | None:
        """Returns the content of a row's photo; None without one.

        Raises:
            MissingItem: No item has this row.
            OSError: The photo cannot be read.
        """

    @abc.abstractmethod
    def embeddings_of(self, modality: str, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Returns the (n, D) float32 embeddings of n rows, or raises a `MissingItem`."""

    def embedding(self, modality: str, row: int) -> np.ndarray:
        """Returns the (D,) float32 embedding of a row, or raises a `MissingItem`."""
        return self.embeddings_of(modality, [row])[0]

    @abc.abstractmethod
    def row_of(self, identifier: str) -> int:
        """Returns the row of an id, or raises a `MissingItem` if no item has it."""

    @abc.abstractmethod
    def class_counts(self) -> dict[str, int]:
        """Returns the number of items of each class, largest first."""

    @abc.abstractmethod
    def language_counts(self) -> dict[str, int]:
        """Returns the number of items of each language, most frequent first; "" = unknown."""

    @abc.abstractmethod
    def stats(self) -> dict[str, Any]:
        """Returns what the gallery takes where it is stored, and the number of values of each tag ("tags")."""

    @abc.abstractmethod
    def has_index(self, modality: str) -> bool:
        """Whether `nearest` can be approximate among the embeddings of a modality."""

    @abc.abstractmethod
    def build_index(self, modality: str) -> None:
        """Builds the index of a modality, and prints the recall that was measured.

        Raises:
            UserError: The gallery has fewer than `SMALLEST` items.
        """

    @abc.abstractmethod
    def check(self) -> None:
        """Checks that what a server needs is complete; raises a `UserError` otherwise."""

    @abc.abstractmethod
    def verify(self) -> None:
        """Reads everything; raises a `UserError` if something is damaged or missing."""

    @abc.abstractmethod
    def editor(self) -> Editor:
        """Returns an editor of the gallery."""

    @abc.abstractmethod
    def state(self) -> Hashable:
        """Returns a value that differs soon after a change; it may also differ without one."""

    @abc.abstractmethod
    def refresh(self) -> None:
        """Lets the following searches see all changes that were committed.

        Raises:
            BusyGallery: The gallery cannot be read now.
        """

    def accepting_changes(self) -> contextlib.AbstractContextManager[None]:
        """Within the block, searches continue while changes are written."""
        return contextlib.nullcontext()

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of `MODALITIES` that the gallery has embeddings of."""
        return tuple(self.about["sides"])

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
        return self.hits(*self.nearest(queries, among, top, **options))

    def hits(self, similarities: np.ndarray, rows: np.ndarray) -> list[list[Hit]]:
        """Returns the results of `nearest` with their items, without those that were removed since."""
        results: list[list[Hit]] = []
        for best, found in zip(similarities, rows, strict=True):
            items = self.items(row for row in found.tolist() if row >= 0)
            pairs = [pair for pair in zip(best.tolist(), found.tolist(), strict=True) if pair[1] in items]
            results.append([Hit(place, *pair, items[pair[1]]) for place, pair in enumerate(pairs, 1)])
        return results

    def check_model(self, digest: str) -> None:
        """Raises a `UserError` unless the model with this digest built the gallery."""
        if self.about["model"] != digest:
            step = f"step {self.about['step']} of " if self.about.get("step") is not None else ""
            raise UserError(
                f"{self.name}: built by another model ({step}{self.about['model'][:12]} instead of {digest[:12]}), "
                f"whose embeddings cannot be compared; {REBUILD}"
            )

    def _checked(self, queries: np.ndarray, among: str, top: int) -> tuple[np.ndarray, str]:
        """Returns the queries as float32, and the modality to search; raises a `UserError` if they do not fit."""
        if among not in AMONG:
            raise UserError(f"among = {among!r}: expected {' or '.join(map(repr, AMONG))}")
        queries, modality = np.asarray(queries, np.float32), AMONG[among]
        self._check_modality(modality)
        if queries.ndim != 2 or queries.shape[1] != self.about["dim"]:
            raise UserError(f"queries have shape {queries.shape}, the gallery's embeddings {self.about['dim']} numbers")
        if top < 1:
            raise UserError(f"top = {top}: expected at least 1")
        return queries, modality

    def _check_modality(self, modality: str) -> None:
        if modality not in self.modalities:
            kind = KINDS[self.modalities]
            raise UserError(
                f"{self.name}: the gallery contains only {kind}, no {KINDS[modality,]}; search it with --in {kind} "
                "or use another gallery"
            )

    def _resolved(self, where: Filter | None, class_name: str | None = None) -> Filter:
        """Returns a filter with the name of its class as written."""
        where = where or Filter()
        name = where.class_name if class_name is None else class_name
        return where if name is None else dataclasses.replace(where, class_name=self._class(name))

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
            raise UserError(f"{self.name}: no class {name!r}; did you mean {suggestions}?")
        raise UserError(
            f"{self.name}: no class {name!r}; the largest of {len(names)} classes are: {', '.join(names[:8])}"
        )
