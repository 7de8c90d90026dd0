"""Atomic and durable writes, whose errors name the file. Completed files in copies of object stores are uploaded; see
`storage`."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from adamine_jax.base import storage


@contextmanager
def atomic_write(path: Path) -> Generator[Path]:
    """Yields the path of a temporary file that replaces `path` when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    with named_errors(path, temporary):
        try:
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            storage.publish(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def named_errors(path: Path, temporary: Path | None = None) -> Generator[None]:
    """Makes an `OSError` of the block name `path` if it names no file (writes to an open one) or `temporary`."""
    try:
        yield
    except OSError as error:
        if error.filename is None or (temporary is not None and str(error.filename) == str(temporary)):
            error.filename = str(path)
        raise


def check_regular(path: Path) -> None:
    """Raises a `ValueError` if a path exists and is no regular file: opening a pipe would wait forever."""
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes a `.npy` file in C order; raises `OSError` on a full disk, where `np.save` may truncate it silently."""
    array = np.ascontiguousarray(array)
    with named_errors(path), Path(path).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def append(file: BinaryIO, content: bytes) -> None:
    """Writes to an unbuffered file and synchronizes it to disk.

    A buffered file would keep what a full disk rejected and write it again when it is closed.
    """
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[file.write(remaining) :]
    os.fsync(file.fileno())


def rename(source: Path, target: Path) -> None:
    """Renames a complete file or folder, durably; the target must not be a folder that has files."""
    os.rename(source, target)
    sync(target.absolute().parent)
    storage.publish(target)


def sync(path: Path) -> None:
    """Synchronizes a file's contents or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
