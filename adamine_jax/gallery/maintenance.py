"""What a gallery contains, whether it is undamaged, and its export."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adamine_jax.base.extras import require
from adamine_jax.base.files import atomic_write
from adamine_jax.base.progress import track
from adamine_jax.gallery.items import MissingItem
from adamine_jax.gallery.store import Store

_BLOCK = 1024


def stats(gallery: Store) -> dict[str, Any]:
    """Returns the numbers of items, languages, tags and classes, and the size of the gallery."""
    return {
        "items": len(gallery),
        **gallery.stats(),
        "modalities": list(gallery.modalities),
        "dtype": gallery.about["dtype"],
        "dimensions": gallery.about["dim"],
        "indexed": [modality for modality in gallery.modalities if gallery.has_index(modality)],
        "classes": gallery.class_counts(),
        "languages": {language or "unknown": count for language, count in gallery.language_counts().items()},
    }


def export(gallery: Store, path: Path) -> int:
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
        count = 0
        for block in _blocks(gallery):
            writer.write_table(pyarrow.Table.from_pylist(block, schema))
            count += len(block)
    return count


def _blocks(gallery: Store) -> Iterator[list[dict[str, Any]]]:
    rows = gallery.rows
    for start in track(range(0, len(rows), _BLOCK), "exporting", unit="block"):
        block = []
        for row in rows[start : start + _BLOCK].tolist():
            with contextlib.suppress(MissingItem):  # removed meanwhile
                block.append(_record(gallery, row))
        yield block


def _record(gallery: Store, row: int) -> dict[str, Any]:
    item = gallery.item(row)
    photo = f"{item.photo.parent.name}/{item.photo.name}" if isinstance(item.photo, Path) else None
    record = {"id": item.id, "title": item.title, "class": item.class_name, "language": item.language, "photo": photo}
    record |= {"ingredients": item.ingredients, "instructions": item.instructions, "tags": list(item.tags)}
    return record | {side: gallery.embedding(side, row) for side in gallery.modalities}


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
