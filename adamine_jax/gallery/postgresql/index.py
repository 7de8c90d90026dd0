"""Exact and approximate search for the nearest embeddings, by pgvector."""

import contextlib
import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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


class Search(NamedTuple):
    """What is searched for the nearest embeddings.

    Attributes:
        address: Where the gallery is.
        about: Description of the gallery.
        modality: Modality of the embeddings.
        top: Maximum number of results.
        condition: SQL condition on the items.
        arguments: Its arguments.
    """

    address: Address
    about: dict[str, Any]
    modality: str
    top: int
    condition: str = "true"
    arguments: Sequence[Any] = ()


def exact(connection: "psycopg.Connection", search: Search, query: np.ndarray) -> list[tuple[int, float]]:
    """Returns (row, similarity) of the items with the largest products with a query, best first.

    Args:
        connection: Connection to the database.
        search: What is searched.
        query: (D,) float32 unit row.
    """
    similarity = f"-({search.modality}::vector <#> %s::vector)"  # <#> is minus the product
    where = f"{search.address.items} WHERE {search.condition}"
    found = f"SELECT row, {similarity} FROM {where} ORDER BY 2 DESC, row LIMIT %s"
    return run(connection, found, [schema.as_vector(query, "float32"), *search.arguments, search.top])


def approximate(
    connection: "psycopg.Connection", search: Search, query: np.ndarray, visited: int
) -> list[tuple[int, float]]:
    """Searches like `exact` in a transaction, but misses items that the graph does not lead to.

    Args:
        connection: Connection to the database.
        search: What is searched.
        query: (D,) float32 unit row.
        visited: Number of elements that the search keeps.
    """
    kept = max(visited, 2 * search.top)
    settings = {
        "hnsw.ef_search": min(kept, _MOST),
        "hnsw.iterative_scan": "relaxed_order",  # continues until enough items pass the filter
        "hnsw.max_scan_tuples": _SCANNED,
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
    }
    with connection.transaction(force_rollback=True):  # of the settings; nothing else changes
        values = [str(value) for pair in settings.items() for value in pair]
        run(connection, f"SELECT {', '.join(['set_config(%s, %s, true)'] * len(settings))}", values)
        expression, half = _graph(search.about, search.modality)
        where = f"{search.address.items} WHERE {search.condition}"
        near = f"SELECT row, {search.modality} AS v FROM {where} ORDER BY {expression} <#> %s::{half} LIMIT %s"
        found = f"SELECT row, -(v::vector <#> %s::vector) FROM ({near}) AS near ORDER BY 2 DESC, row LIMIT %s"
        vectors = (schema.as_vector(query, dtype) for dtype in ("float32", "float16"))
        values = [next(vectors), *search.arguments, next(vectors), kept, search.top]
        return run(connection, found, values)


def built(connection: "psycopg.Connection", address: Address) -> dict[str, int]:
    """Returns the modalities that have an index, and how many elements a search must keep, as the build measured."""
    found = run(connection, f"SELECT indices FROM {address.about}")[0][0]
    return {modality: values["visited"] for modality, values in found.items()}


def build(address: Address, about: dict[str, Any], modality: str) -> None:
    """Builds the index of a modality, or builds it again, and measures how many elements a search must keep.

    Args:
        address: Where the gallery is.
        about: Its description.
        modality: Modality of the embeddings.

    Raises:
        UserError: The gallery has fewer than `store.SMALLEST` items.
    """
    with connections.errors(address), connections.connect(address) as connection:
        count = run(connection, f"SELECT count(*) FROM {address.items}")[0][0]
        if count < store.SMALLEST:
            raise UserError(
                f"{address.name}: {count:,} items; an index needs {store.SMALLEST:,}, exact search of fewer takes "
                "milliseconds"
            )
        run(connection, f"UPDATE {address.about} SET indices = indices - %s", [modality])
        run(connection, f'DROP INDEX IF EXISTS "{address.schema}".items_{modality}')
        run(connection, "SELECT set_config('maintenance_work_mem', %s, false)", [_MEMORY])
        _create(address, connection, about, modality, count)
        kept, recall, other = _tuned(connection, Search(address, about, modality, 10))
        value = json.dumps({modality: {"visited": kept, "recall": recall}})
        run(connection, f"UPDATE {address.about} SET indices = indices || %s::jsonb", [value])
        size = run(connection, "SELECT pg_relation_size(%s)", [f'"{address.schema}".items_{modality}'])[0][0]
    print(
        f"{address.name}: {size / 2**20:,.0f} MiB; a query keeps {kept} elements, recall@10 {recall:.3f} on {other}",
        flush=True,
    )


def _create(
    address: Address, connection: "psycopg.Connection", about: dict[str, Any], modality: str, count: int
) -> None:
    """Creates the index, by several processes of the server if it has enough shared memory."""
    import psycopg

    statement = (
        f"CREATE INDEX items_{modality} ON {address.items} USING hnsw ({_graph(about, modality)[0]} halfvec_ip_ops)"
    )
    setting = "SELECT set_config('max_parallel_maintenance_workers', %s, false)"
    run(connection, setting, [str(max(available_cores() - 1, 0))])
    try:
        _watched(address, connection, statement, count)
    except psycopg.errors.DiskFull:  # of /dev/shm, which has 64 MB in containers
        run(connection, setting, ["0"])
        _watched(address, connection, statement, count)


def _graph(about: dict[str, Any], modality: str) -> tuple[str, str]:
    """Returns the indexed expression and the type of its values."""
    half = f"halfvec({about['dim']})"
    return (modality if about["dtype"] == "float16" else f"({modality}::{half})"), half


def _watched(address: Address, connection: "psycopg.Connection", statement: str, count: int) -> None:
    """Runs a statement that creates an index, and shows its progress, which the server reports."""
    import psycopg

    failed: list[Exception] = []

    def create() -> None:
        try:
            run(connection, statement)
        except Exception as error:  # raised again below
            failed.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    try:
        with contextlib.suppress(UserError, psycopg.Error), connections.connect(address) as watching:
            _show_progress(thread, watching, connection.info.backend_pid, count)
        thread.join()  # also if the progress cannot be shown
    finally:
        if thread.is_alive():  # interrupted
            connection.cancel_safe()
            thread.join()
    if failed:
        raise failed[0]


def _show_progress(thread: threading.Thread, watching: "psycopg.Connection", process: int, count: int) -> None:
    with Progress("indexing", count, "item") as progress:
        query, done = "SELECT tuples_done FROM pg_stat_progress_create_index WHERE pid = %s", 0
        while thread.is_alive():
            thread.join(_POLL)
            if found := run(watching, query, [process]):
                progress.update(max(found[0][0] - done, 0))
                done = max(found[0][0], done)
        progress.update(count - done)


def _tuned(connection: "psycopg.Connection", search: Search) -> tuple[int, float, str]:
    """Doubles the number of elements that a search keeps until the recall reaches `store.GOAL`.

    Returns:
        (number of elements, recall@10, description of the queries).
    """
    modality = search.modality
    other = next((name for name in search.about["sides"] if name != modality), modality)
    sample = f"SELECT {other}::vector FROM {search.address.items} ORDER BY random() LIMIT %s"
    with connection.transaction():
        run(connection, "SELECT setseed(%s)", [_SEED])
        found = [np.asarray(each.to_numpy()) for (each,) in run(connection, sample, [2 * _QUERIES])]
    queries, name = found[:_QUERIES], KINDS[other,]
    if other == modality:
        # A search finds an item's own embedding more easily than the neighbours of a query between two items.
        sums = np.add(queries, found[-len(queries) :])
        queries, name = list(sums / np.linalg.norm(sums, axis=1, keepdims=True)), f"sums of two {name}"
    expected = [{row for row, _ in exact(connection, search, each)} for each in queries]
    kept, recall = _FIRST, 0.0
    while True:
        near = [approximate(connection, search, query, kept) for query in queries]
        pairs = zip(expected, near, strict=True)
        recall = float(np.mean([len(rows & {row for row, _ in best}) / len(rows) for rows, best in pairs]))
        if recall >= store.GOAL or kept >= _MOST:
            return kept, recall, f"{len(queries)} {name} of the gallery"
        kept = min(2 * kept, _MOST)
