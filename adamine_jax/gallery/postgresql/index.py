"""Exact and approximate search for the nearest embeddings, by pgvector."""

import json
import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.gallery import store
from adamine_jax.gallery.items import KINDS
from adamine_jax.gallery.postgresql import connections, schema
from adamine_jax.gallery.postgresql.connections import Address, run

if TYPE_CHECKING:
    import psycopg

_QUERIES = 128
_FIRST, _MOST = 20, 1000  # elements of the graph that a search keeps; pgvector allows no more
_SCANNED = 100_000  # elements that a filtered search visits at most
_MEMORY = "1GB"  # in which the graph is built, if it has room there
_POLL = 0.5  # seconds
_SEED = 0.5


class Gallery(Protocol):
    """The part of `PostgresStore` that is indexed; `postgresql.store` imports this module."""

    address: Address
    about: dict[str, Any]

    @property
    def modalities(self) -> tuple[str, ...]: ...


def exact(
    connection: "psycopg.Connection",
    items: str,
    about: dict[str, Any],
    modality: str,
    query: np.ndarray,
    top: int,
    condition: str = "true",
    arguments: tuple | list = (),
) -> list[tuple[int, float]]:
    """Returns (row, similarity) of the `top` items with the largest products with a query, best first.

    Args:
        connection: Connection to the database.
        items: Table of the items.
        about: Description of the gallery.
        modality: Modality of the embeddings.
        query: (D,) float32 unit row.
        top: Number of results; fewer are returned if fewer items pass.
        condition: SQL condition on the items.
        arguments: Its arguments.
    """
    column = f"{modality}::vector" if about["dtype"] == "float16" else modality
    found = f"SELECT row, -({column} <#> %s::vector) FROM {items} WHERE {condition} ORDER BY 2 DESC, row LIMIT %s"
    return run(connection, found, [schema.as_vector(query, "float32"), *arguments, top])


def approximate(
    connection: "psycopg.Connection",
    items: str,
    about: dict[str, Any],
    modality: str,
    query: np.ndarray,
    top: int,
    condition: str,
    arguments: tuple | list,
    visited: int,
) -> list[tuple[int, float]]:
    """Searches like `exact` in a transaction, but misses items that the graph does not lead to.

    Args:
        connection: See `exact`, as the other arguments.
        visited: Number of elements that the search keeps.
    """
    kept = min(max(visited, 2 * top), _MOST)
    settings = {
        "hnsw.ef_search": kept,
        "hnsw.iterative_scan": "relaxed_order",  # continues until enough items pass the filter
        "hnsw.max_scan_tuples": _SCANNED,
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_sort": "on",
    }
    values = [str(value) for pair in settings.items() for value in pair]
    run(connection, f"SELECT {', '.join(['set_config(%s, %s, true)'] * len(settings))}", values)
    graph = _graph(about, modality)
    near = f"SELECT row, {modality} FROM {items} WHERE {condition} ORDER BY {graph[0]} <#> %s::{graph[1]} LIMIT %s"
    found = f"SELECT row, -({modality}::vector <#> %s::vector) FROM ({near}) AS near ORDER BY 2 DESC, row LIMIT %s"
    vector, half = schema.as_vector(query, "float32"), schema.as_vector(query, "float16")
    return run(connection, found, [vector, *arguments, half, kept, top])


def visited(connection: "psycopg.Connection", address: Address, modality: str) -> int:
    """Returns how many elements a search must keep, as the build of the index has measured.

    Raises:
        UserError: The modality has no index.
    """
    indices = _read(connection, address)
    if modality not in indices:
        raise UserError(
            f"{address.name}: the {modality} embeddings have no index; build it with `adamine search … --index`"
        )
    return indices[modality]["visited"]


def exists(connection: "psycopg.Connection", address: Address, modality: str) -> bool:
    """Whether a modality has an index."""
    return modality in _read(connection, address)


def build(gallery: Gallery, modality: str) -> None:
    """Builds the index of a modality, or builds it again, and measures how many elements a search must keep.

    Raises:
        UserError: The gallery has fewer than `store.SMALLEST` items.
    """
    address, items = gallery.address, f"{gallery.address.schema}.items"
    with connections.errors(address), connections.connect(address) as connection:
        count = run(connection, f"SELECT count(*) FROM {items}")[0][0]
        if count < store.SMALLEST:
            raise UserError(
                f"{address.name}: {count:,} items; an index needs {store.SMALLEST:,}, exact search of fewer takes "
                "milliseconds"
            )
        run(connection, f"DROP INDEX IF EXISTS {address.schema}.items_{modality}")
        run(connection, "SELECT set_config('maintenance_work_mem', %s, false)", [_MEMORY])
        workers = max(available_cores() - 1, 0)
        run(connection, "SELECT set_config('max_parallel_maintenance_workers', %s, false)", [str(workers)])
        expression, _ = _graph(gallery.about, modality)
        statement = f"CREATE INDEX items_{modality} ON {items} USING hnsw ({expression} halfvec_ip_ops)"
        _watched(address, connection, statement, count)
        kept, recall, other = _tuned(gallery, connection, items, modality)
        value = json.dumps({modality: {"visited": kept, "recall": recall}})
        run(connection, f"UPDATE {address.schema}.about SET indices = indices || %s::jsonb", [value])
        size = run(connection, "SELECT pg_relation_size(%s)", [f"{address.schema}.items_{modality}"])[0][0]
    print(
        f"{address.name}: {size / 2**20:,.0f} MiB; a query keeps {kept} elements, recall@10 {recall:.3f} on {other}",
        flush=True,
    )


def _graph(about: dict[str, Any], modality: str) -> tuple[str, str]:
    """Returns the indexed expression and the type of its values."""
    half = f"halfvec({about['dim']})"
    return (modality if about["dtype"] == "float16" else f"({modality}::{half})"), half


def _watched(address: Address, connection: "psycopg.Connection", statement: str, count: int) -> None:
    """Runs a statement that creates an index, and shows its progress, which the server reports."""
    failed: list[Exception] = []

    def create() -> None:
        try:
            run(connection, statement)
        except Exception as error:  # raised again below
            failed.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    with connections.connect(address) as watching, Progress("indexing", count, "item") as progress:
        query = "SELECT tuples_done FROM pg_stat_progress_create_index WHERE pid = %s"
        done = 0
        while thread.is_alive():
            thread.join(_POLL)
            if found := run(watching, query, [connection.info.backend_pid]):
                progress.update(max(found[0][0] - done, 0))
                done = max(found[0][0], done)
        progress.update(count - done)
    if failed:
        raise failed[0]


def _tuned(gallery: Gallery, connection: "psycopg.Connection", items: str, modality: str) -> tuple[int, float, str]:
    """Doubles the number of elements that a search keeps until the recall reaches `store.GOAL`.

    Returns:
        (number of elements, recall@10, description of the queries).
    """
    other = next((name for name in gallery.modalities if name != modality), modality)
    sample = f"SELECT {other}::vector FROM {items} ORDER BY random() LIMIT %s"
    with connection.transaction():
        run(connection, "SELECT setseed(%s)", [_SEED])
        queries = [np.asarray(each.to_numpy()) for (each,) in run(connection, sample, [_QUERIES])]
    expected = [{row for row, _ in exact(connection, items, gallery.about, modality, each, 10)} for each in queries]
    kept, recall = _FIRST, 0.0
    while True:
        with connection.transaction():
            arguments = (items, gallery.about, modality)
            found = [approximate(connection, *arguments, query, 10, "true", (), kept) for query in queries]
        pairs = zip(expected, found, strict=True)
        recall = float(np.mean([len(rows & {row for row, _ in near}) / len(rows) for rows, near in pairs]))
        if recall >= store.GOAL or kept >= _MOST:
            return kept, recall, f"{len(queries)} {KINDS[other,]} of the gallery"
        kept = min(2 * kept, _MOST)


def _read(connection: "psycopg.Connection", address: Address) -> dict[str, Any]:
    return run(connection, f"SELECT indices FROM {address.schema}.about")[0][0]
