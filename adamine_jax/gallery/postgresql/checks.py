"""Whether the items of a gallery in PostgreSQL are as they must be, and what they take."""

from typing import TYPE_CHECKING, Any

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import REBUILD
from adamine_jax.gallery.postgresql.connections import Address, run

if TYPE_CHECKING:
    import psycopg


def verify(connection: "psycopg.Connection", address: Address, about: dict[str, Any]) -> None:
    """Reads all embeddings and photos.

    Raises:
        UserError: An embedding is not a unit row, or a photo of a gallery of photos is missing.
    """
    items = address.items
    for side in about["sides"]:
        wrong = f"SELECT id FROM {items} WHERE NOT abs(l2_norm({side}::halfvec) - 1) < 1e-2 ORDER BY row LIMIT 1"
        if found := run(connection, wrong):
            raise UserError(f"{address.name}: the {side} embedding of {found[0][0]!r} is not a unit vector; {REBUILD}")
    if "image" in about["sides"]:
        missing = f"SELECT id FROM {items} WHERE photo IS NULL OR md5(photo) = md5('') ORDER BY row LIMIT 1"
        if found := run(connection, missing):
            raise UserError(f"{address.name}: the photo of {found[0][0]!r} is missing; {REBUILD}")


def stats(connection: "psycopg.Connection", items: str) -> dict[str, Any]:
    """Returns the number of values of each tag, and what the tables and indices take."""
    pairs = f"SELECT tags[n] AS name, tags[n + 1] AS value FROM {items}, generate_series(1, cardinality(tags), 2) AS n"
    counts = f"SELECT name, count(DISTINCT value) FROM ({pairs}) AS pairs GROUP BY name ORDER BY 2 DESC"
    tags = dict(run(connection, counts))
    ((size, total),) = run(connection, "SELECT pg_table_size(%s), pg_total_relation_size(%s)", [items, items])
    return {"tags": tags, "MiB of items": round(size / 2**20, 1), "MiB": round(total / 2**20, 1)}
