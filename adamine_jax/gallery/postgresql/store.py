"""Searches a gallery in PostgreSQL, whose embeddings pgvector compares.

Nothing of the gallery is kept in memory, so any number of servers may search it, and each search sees the last change.
The approximate search visits a graph (HNSW: Malkov and Yashunin, *Efficient and Robust Approximate Nearest Neighbor
Search Using Hierarchical Navigable Small World Graphs*, 2018) of half-precision embeddings and re-ranks what it finds
by the stored ones.
"""

import contextlib
import time
import weakref
from collections.abc import Generator, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.fusion import DEPTH, Fused, fused
from adamine_jax.gallery.items import REBUILD, Item, MissingItem, check_unchanged
from adamine_jax.gallery.postgresql import checks, conditions, connections, index, schema, words
from adamine_jax.gallery.postgresql.connections import Address
from adamine_jax.gallery.postgresql.editing import PostgresEditor
from adamine_jax.gallery.store import Store

if TYPE_CHECKING:
    import psycopg

EXACT = 5_000
"""Number of items up to which a filtered search compares all of them."""


class PostgresStore(Store):
    """A gallery in PostgreSQL.

    Args:
        address: Where it is.

    Raises:
        UserError: The database cannot be reached or contains no such gallery.
    """

    def __init__(self, address: Address):
        self.address, self.name = address, address.name
        self._items = address.items
        self._pool = connections.pool(address)
        weakref.finalize(self, self._pool.close)
        with self.connection() as connection:
            self.about = read_about(connection, address)

    @contextlib.contextmanager
    def connection(self) -> Generator["psycopg.Connection"]:
        """Borrows a connection within the block, whose errors become `UserError`s."""
        with connections.errors(self.address), self._pool.connection() as connection:
            yield connection

    def __len__(self) -> int:
        return self._read(f"SELECT count(*) FROM {self._items}")[0][0]

    @property
    def rows(self) -> np.ndarray:
        return np.array([row for (row,) in self._read(f"SELECT row FROM {self._items} ORDER BY row")], np.int64)

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
        chosen = self._resolved(where, class_name)
        condition, arguments = conditions.condition(chosen)
        found = []
        with self.connection() as connection, connection.transaction():
            self._check_unchanged(connection)
            kept = index.built(connection, self.address).get(modality, 0) if approximate else 0
            is_approximate = kept > 0 and (not chosen or self._exceeds(connection, condition, arguments, EXACT))
            search = index.Search(self.address, self.about, modality, top, condition, arguments)
            for query in queries:
                near = index.approximate(connection, search, query, kept) if is_approximate else []
                # The graph may hold fewer neighbours that pass the filter than there are.
                if len(near) < top and (not near or self._exceeds(connection, condition, arguments, len(near))):
                    near = index.exact(connection, search, query)
                found.append(near)
        count = max(map(len, found), default=0)
        similarities = np.full((len(queries), count), -np.inf, np.float32)
        rows = np.full((len(queries), count), -1, np.int64)
        for number, near in enumerate(found):
            rows[number, : len(near)] = [row for row, _ in near]
            similarities[number, : len(near)] = [similarity for _, similarity in near]
        return similarities, rows

    def search_words(
        self, text: str, queries: np.ndarray | None = None, among: str = "recipes", top: int = 5, **options: Any
    ) -> list[Fused]:
        depth, searches = max(top, DEPTH), {}
        chosen = self._resolved(options.get("where"), options.get("class_name"))
        condition = conditions.condition(chosen)
        with self.connection() as connection:
            self._check_unchanged(connection)
            searches["words"] = words.find(connection, self._items, self.about["words"], text, depth, *condition)
            titles = words.titled(connection, self._items, text, *condition)
        if queries is not None:
            rows = self.nearest(queries, among, depth, **options)[1][0]
            searches["embedding"] = [int(row) for row in rows if row >= 0]
        return fused(searches, titles, top)

    def check_filter(self, where: Filter) -> None:
        conditions.condition(self._resolved(where))

    def count(self, where: Filter) -> int:
        condition, arguments = conditions.condition(self._resolved(where))
        return self._read(f"SELECT count(*) FROM {self._items} WHERE {condition}", *arguments)[0][0]

    def unmatched(self, where: Filter) -> list[str]:
        found = {name: conditions.containing("lines", name) for name in where.exclude}
        query = f"SELECT 1 FROM {self._items} WHERE"
        return [name for name, (sql, values) in found.items() if not self._read(f"{query} {sql} LIMIT 1", *values)]

    def items(self, rows: Iterable[int]) -> dict[int, Item]:
        query = f"SELECT row, {schema.COLUMNS} FROM {self._items} WHERE row = ANY(%s)"
        return {row: schema.item_of(found) for row, *found in self._read(query, list(map(int, rows)))}

    def photo(self, row: int) -> bytes | None:
        if found := self._read(f"SELECT photo FROM {self._items} WHERE row = %s", int(row)):
            return found[0][0]
        raise MissingItem(f"{self.name}: no item has row {row}")

    def sample(self, count: int) -> np.ndarray:
        ((first, last),) = self._read(f"SELECT coalesce(min(row), 0), coalesce(max(row), -1) FROM {self._items}")
        places = np.linspace(first, last, count).astype(np.int64).tolist()
        following = f"SELECT row FROM {self._items} WHERE row >= place ORDER BY row LIMIT 1"
        found = self._read(f"SELECT DISTINCT ({following}) FROM unnest(%s::bigint[]) AS place", places)
        return np.sort(np.array([row for (row,) in found if row is not None], np.int64))

    def embeddings_of(self, modality: str, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        self._check_modality(modality)
        wanted = [int(row) for row in rows]
        query = f"SELECT row, {modality}::vector FROM {self._items} WHERE row = ANY(%s)"
        found = {row: vector.to_numpy() for row, vector in self._read(query, wanted)}
        if missing := [row for row in wanted if row not in found]:
            raise MissingItem(f"{self.name}: no item has row {missing[0]}")
        return np.array([found[row] for row in wanted], np.float32).reshape(len(wanted), self.about["dim"])

    def row_of(self, identifier: str) -> int:
        if found := self._read(f"SELECT row FROM {self._items} WHERE md5(id) = md5(%s)", schema.text(identifier)):
            return found[0][0]
        raise MissingItem(f"{self.name}: no item has the id {identifier!r}")

    def _class(self, name: str) -> str:
        if self._read(f"SELECT 1 FROM {self._items} WHERE class = %s LIMIT 1", schema.text(name)):
            return name  # as written; comparing with all names reads all items
        return super()._class(name)

    def class_counts(self) -> dict[str, int]:
        query = f"SELECT class, count(*) AS n FROM {self._items} GROUP BY class ORDER BY n DESC, min(row)"
        return dict(self._read(query))

    def language_counts(self) -> dict[str, int]:
        query = f"SELECT language, count(*) AS n FROM {self._items} GROUP BY language ORDER BY n DESC, language"
        return dict(self._read(query))

    def stats(self) -> dict[str, Any]:
        with self.connection() as connection:
            return checks.stats(connection, self._items)

    def has_index(self, modality: str) -> bool:
        with self.connection() as connection:
            return modality in index.built(connection, self.address)

    def build_index(self, modality: str) -> None:
        index.build(self.address, self.about, modality)

    def check(self) -> None:
        """Reads the description again; PostgreSQL checks what it reads."""
        self.refresh()

    def refresh(self) -> None:
        with self.connection() as connection:
            self._check_unchanged(connection)

    def verify(self) -> None:
        with self.connection() as connection:
            checks.verify(connection, self.address, self.about)

    def editor(self) -> PostgresEditor:
        return PostgresEditor(self.address, self.about)

    def state(self) -> Hashable:
        return int(time.monotonic())  # what depends on it is read again once a second at most

    def _read(self, query: str, *arguments: Any) -> list[tuple]:
        with self.connection() as connection:
            return connections.run(connection, query, arguments)

    def _exceeds(self, connection: "psycopg.Connection", condition: str, arguments: list[Any], count: int) -> bool:
        """Whether more items than `count` pass a filter."""
        query = f"SELECT count(*) FROM (SELECT FROM {self._items} WHERE {condition} LIMIT %s) AS first"
        return connections.run(connection, query, [*arguments, count + 1])[0][0] > count

    def _check_unchanged(self, connection: "psycopg.Connection") -> None:
        """Reads the description; raises a `BusyGallery` if the gallery was replaced by one of another model."""
        now = read_about(connection, self.address)
        check_unchanged(self.name, self.about, now)
        self.about = now


def read_about(connection: "psycopg.Connection", address: Address) -> dict[str, Any]:
    """Reads the description of a gallery."""
    found = connections.run(connection, f"SELECT about FROM {address.about}")
    if not found:
        raise UserError(f"{address.name}: incomplete; {REBUILD}")
    return found[0][0]
