"""The files of a gallery. The folder appears only when it is complete.

gallery/
  gallery.json      the model and source of the gallery, its modalities, and the type of its embeddings
  gallery.sqlite    the items, their words, and the row numbers of the embeddings; see `database`
  image.npy         unit rows of the photos; absent from a gallery of recipes. Later ones are in image-*.npy
  recipe.npy        unit rows of the recipes; absent from a gallery of photos. Later ones are in recipe-*.npy
  photos/           the photos that the items name
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.files import check_regular
from adamine_jax.gallery.items import DTYPES, KINDS, REBUILD

MAX_PHOTO_BYTES = 2**24
"""Maximum size of a photo file; the galleries that this project writes contain smaller ones."""
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "model": lambda value: isinstance(value, str),
    "dim": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40,
    "sides": lambda value: isinstance(value, list) and tuple(value) in KINDS,
    "dtype": lambda value: value in DTYPES,
}
"""Fields of `gallery.json`, and whether a value is valid."""


@contextlib.contextmanager
def reading(where: Path | str) -> Generator[None]:
    """Turns the errors of reading a damaged or irregular file into a `UserError` that says where it is damaged."""
    try:
        if isinstance(where, Path):
            check_regular(where)
        yield
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, sqlite3.Error) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{where}: cannot be read ({reason}); {REBUILD}") from None


def read_photo(path: Path) -> bytes:
    """Reads a photo of a gallery, or raises an `OSError`, also if it is a pipe, a device or too large."""
    try:
        storage.fetch(path)
    except storage.StoreError as error:
        raise OSError(str(error)) from None
    if not path.is_file():
        raise OSError("missing, or not a regular file")
    if path.stat().st_size > MAX_PHOTO_BYTES:
        raise OSError(f"larger than {MAX_PHOTO_BYTES:,} bytes")
    return path.read_bytes()


def read_about(folder: Path) -> dict[str, Any]:
    """Reads `gallery.json`, or raises a `UserError` if it is missing or malformed."""
    path = folder / "gallery.json"
    storage.fetch(folder, depth=1)
    if not path.exists():
        problem = "gallery.json is missing" if folder.is_dir() else "no such folder"
        raise UserError(
            f"{folder}: {problem}; build the gallery with "
            f"`python -m adamine_jax.embed --workdir RUN --split test --out {folder}`"
        )
    if (folder / "items.jsonl").exists():
        raise UserError(f"{folder}: a gallery of an earlier version; {REBUILD}")
    with reading(path):
        about = dict(json.loads(path.read_text(encoding="utf-8")))
        if missing := _FIELDS.keys() - about.keys():
            raise ValueError(f"missing fields: {', '.join(sorted(missing))}")
        if wrong := [name for name, is_valid in _FIELDS.items() if not is_valid(about[name])]:
            raise ValueError(f"malformed fields: {', '.join(wrong)}")
    return about
