"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives the name of a temporary file beside `path`, which replaces it when the block ends without an error."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


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
    with Path(path).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
