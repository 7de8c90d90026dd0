"""Files that appear whole or not at all, and whose errors name them."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np


@contextmanager
def written_whole(path: Path) -> Generator[Path]:
    """Gives the name of a temporary file beside `path`, which replaces it when the block ends without an error."""
    path = Path(path)
    aside = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    with named_errors(path, aside):
        try:
            yield aside
            sync(aside)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def named_errors(path: Path, aside: Path | None = None) -> Generator[None]:
    """Within the block an `OSError` that names no file, as of writing to an open one, or `aside` names `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None or (aside is not None and str(error.filename) == str(aside)):
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes a `.npy`, rows first, and raises an `OSError` where that fails.

    `np.save` hands an array to the C library and does not ask it whether all was written: on a full disk it leaves a
    file that is cut off, without a word.
    """
    array = np.ascontiguousarray(array)
    with named_errors(path), Path(path).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def append(file: BinaryIO, content: bytes) -> None:
    """Writes to an unbuffered file, which may take a part at a time, and makes sure that it is on the disk.

    A buffer would keep what a full disk did not take, and try again when the file is closed.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Makes sure that a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
