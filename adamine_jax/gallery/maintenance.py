"""What a gallery contains, whether it is undamaged, and its export."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import require
from adamine_jax.base.files import atomic_write
from adamine_jax.base.progress import track
from adamine_jax.gallery import database, index
from adamine_jax.gallery.files import REBUILD, MissingItem, read_photo
from adamine_jax.gallery.store import AMONG, Gallery

SIMILAR = 0.99
"""Cosine similarity from which two items are near duplicates."""
_NEIGHBOURS = 10
_BLOCK = 1024


def stats(gallery: Gallery) -> dict[str, Any]:
    """Returns the numbers of items, languages, tags and classes, and the sizes of the files."""
    with contextlib.closing(database.connect(gallery.folder / database.NAME)) as connection:
        counts = {
            "items": len(gallery),
            "removed rows": _count(connection, "removed"),
            "rows in the database": _count(connection, "pending"),
            "segments": _count(connection, "segments"),
        }
        tags = dict(connection.execute("SELECT name, count(DISTINCT value) FROM tags GROUP BY name ORDER BY 2 DESC"))
    size = sum(path.stat().st_size for path in gallery.folder.rglob("*") if path.is_file())
    return counts | {
        "modalities": list(gallery.modalities),
        "dtype": gallery.about["dtype"],
        "dimensions": gallery.about["dim"],
        "indexed": [modality for modality in gallery.modalities if index.exists(gallery, modality)],
        "classes": gallery.class_counts(),
        "languages": {language or "unknown": count for language, count in gallery.language_counts().items()},
        "tags": tags,
        "MiB": round(size / 2**20, 1),
    }


def verify(gallery: Gallery) -> None:
    """Reads everything in a gallery.

    Raises:
        UserError: Something is damaged or missing.
    """
    gallery.check()
    with contextlib.closing(database.connect(gallery.folder / database.NAME)) as connection:
        for table in ("words", "stems"):
            try:
                connection.execute(f"INSERT INTO {table}({table}) VALUES ('integrity-check')")
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:  # only a writer can check them
                    break
                raise UserError(f"{gallery.folder / database.NAME}: {table}: damaged ({error}); {REBUILD}") from None
    for row in gallery.rows:
        item = gallery.item(row)
        if isinstance(item.photo, Path):
            try:
                read_photo(item.photo)
            except OSError as error:
                raise UserError(f"{item.photo}: cannot be read ({error}); {REBUILD}") from None


def duplicates(gallery: Gallery) -> list[list[str]]:
    """Returns the ids of groups of near duplicates, whose embeddings are similar in all modalities, largest first."""
    rows = gallery.rows
    parent = {int(row): int(row) for row in rows}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    among = next(name for name, modality in AMONG.items() if modality == gallery.modalities[-1])
    is_indexed = len(gallery) >= index.SMALLEST and index.exists(gallery, AMONG[among])
    for start in track(range(0, len(rows), _BLOCK), "comparing", unit="block"):
        block = rows[start : start + _BLOCK]
        queries = np.stack([gallery.embedding(AMONG[among], int(row)) for row in block])
        similarities, found = gallery.nearest(queries, among, _NEIGHBOURS, approximate=is_indexed)
        for row, others in zip(block.tolist(), np.where(similarities >= SIMILAR, found, -1).tolist(), strict=True):
            for other in others:
                if other in parent and other != row and _are_similar(gallery, row, other):
                    one, two = sorted((root(row), root(other)))
                    parent[two] = one
    groups: dict[int, list[str]] = {}
    for row in rows.tolist():
        with contextlib.suppress(MissingItem):  # removed meanwhile
            groups.setdefault(root(row), []).append(gallery.item(row).id)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda group: (-len(group), group))


def export(gallery: Gallery, path: Path) -> int:
    """Writes the items as Parquet, with embeddings as lists of fixed size and photos as paths; returns their number."""
    require("pyarrow")
    import pyarrow
    from pyarrow import parquet

    vectors = {side: pyarrow.list_(pyarrow.float32(), gallery.about["dim"]) for side in gallery.modalities}
    texts = {name: pyarrow.string() for name in ("id", "title", "class", "language", "photo")}
    lists = {name: pyarrow.list_(pyarrow.string()) for name in ("ingredients", "instructions")}
    tags = {"tags": pyarrow.map_(pyarrow.string(), pyarrow.string())}
    schema = pyarrow.schema(list((texts | lists | tags | vectors).items()))
    with atomic_write(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for block in _blocks(gallery):
            writer.write_table(pyarrow.Table.from_pylist(block, schema))
    return len(gallery)


def _blocks(gallery: Gallery) -> Iterator[list[dict[str, Any]]]:
    rows = gallery.rows
    for start in track(range(0, len(rows), _BLOCK), "exporting", unit="block"):
        block = []
        for row in rows[start : start + _BLOCK].tolist():
            item = gallery.item(row)
            photo = str(item.photo.relative_to(gallery.folder)) if isinstance(item.photo, Path) else None
            record = {"id": item.id, "title": item.title, "class": item.class_name, "language": item.language}
            record |= {"photo": photo, "ingredients": item.ingredients, "instructions": item.instructions}
            embeddings = {side: gallery.embedding(side, row) for side in gallery.modalities}
            block.append(record | {"tags": list(item.tags)} | embeddings)
        yield block


def _are_similar(gallery: Gallery, one: int, other: int) -> bool:
    pairs = ((gallery.embedding(side, one), gallery.embedding(side, other)) for side in gallery.modalities)
    return all(float(a @ b) >= SIMILAR for a, b in pairs)


def _count(connection: sqlite3.Connection, table: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def text_of(found: dict[str, Any]) -> str:
    """Returns statistics as text for a terminal."""
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            first = ", ".join(f"{key} ({count:,})" for key, count in list(value.items())[:8])
            more = f", … ({len(value)})" if len(value) > 8 else ""
            lines.append(f"{name}: {first or 'none'}{more}")
        elif isinstance(value, list):
            lines.append(f"{name}: {', '.join(value) or 'none'}")
        else:
            lines.append(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")
    return "\n".join(lines)


def as_json(found: Any) -> str:
    return json.dumps(found, ensure_ascii=False, indent=2)
