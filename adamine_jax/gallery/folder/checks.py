"""Whether the files of a gallery are undamaged, and what they take."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.gallery.folder import database, exact
from adamine_jax.gallery.folder.files import read_photo
from adamine_jax.gallery.folder.reader import Reader
from adamine_jax.gallery.items import REBUILD


def check(folder: Path, reader: Reader) -> None:
    """Reads all items and embeddings, and checks the database.

    Raises:
        UserError: An item or the database is damaged, or an embedding is not a unit row.
    """
    snapshot = reader.snapshot()
    rows = snapshot.rows if snapshot.alive is None else snapshot.rows[snapshot.alive]
    problems = reader.read("PRAGMA integrity_check")
    if problems != [("ok",)]:
        raise UserError(f"{folder / database.NAME}: damaged ({problems[0][0]}); {REBUILD}")
    if [row for (row,) in reader.read("SELECT row FROM items ORDER BY row")] != rows.tolist():
        raise UserError(f"{folder}: the items and the embeddings do not belong together; {REBUILD}")
    with Progress(f"checking {folder.name}", len(rows), "item") as progress:
        for row in rows:
            reader.item(row)
            progress.update()
    for modality, vectors in snapshot.vectors.items():
        for start, block in vectors.blocks(exact.BLOCK):
            is_unit = np.abs(np.linalg.norm(block, axis=1) - 1) < 1e-2
            if not is_unit.all():
                row = snapshot.rows[start + int(np.argmin(is_unit))]
                raise UserError(f"{folder}: the {modality} embedding of row {row} is not a unit vector; {REBUILD}")


def verify(folder: Path, reader: Reader) -> None:
    """Checks the gallery, its words and its photos.

    Raises:
        UserError: Something is damaged or missing.
    """
    check(folder, reader)
    with contextlib.closing(database.connect(folder / database.NAME)) as connection:
        for table in ("words", "stems"):
            try:
                connection.execute(f"INSERT INTO {table}({table}) VALUES ('integrity-check')")
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:  # only a writer can check them
                    break
                raise UserError(f"{folder / database.NAME}: {table}: damaged ({error}); {REBUILD}") from None
    for (row,) in reader.read("SELECT row FROM items WHERE photo IS NOT NULL ORDER BY row"):
        path = reader.item(row).photo
        assert isinstance(path, Path)
        try:
            read_photo(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error}); {REBUILD}") from None


def stats(folder: Path, reader: Reader) -> dict[str, Any]:
    """Returns the number of values of each tag, and what the files take."""
    tables = {"removed rows": "removed", "rows in the database": "pending", "segments": "segments"}
    counts = {name: reader.read(f"SELECT count(*) FROM {table}")[0][0] for name, table in tables.items()}
    tags = reader.read("SELECT name, count(DISTINCT value) FROM tags GROUP BY name ORDER BY 2 DESC")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return counts | {"tags": dict(tags), "MiB": round(size / 2**20, 1)}
