"""One-line errors for files that cannot be read or written."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from adamine_jax.base.errors import NO_ROOM, UserError, room


@contextlib.contextmanager
def os_errors_reported(folder: Path) -> Generator[None]:
    """Converts an `OSError` raised within the block to a `UserError`.

    Args:
        folder: Folder that the block writes to, reported when the error does not name a file.
    """
    try:
        yield
    except OSError as error:
        raise UserError(file_problem(error, folder)) from error


def file_problem(error: OSError, folder: Path) -> str:
    """Describes an error, the file that it names (or else `folder`) and, on a full disk, what to do."""
    place = error.filename or folder
    if error.errno not in NO_ROOM:
        return f"{place}: {error.strerror or error}"
    return f"{place}: {str(error.strerror).lower()} ({room(folder)}); no output was kept: make room and rerun"


def file_exists(path: Path) -> bool:
    """Returns whether an optional file exists.

    Raises:
        UserError: Something other than a file has this name, so treating the file as missing would hide a mistake.
    """
    if not path.is_file() and os.path.lexists(path):
        raise UserError(f"{path}: not a file (a folder, a pipe or a broken link); replace or remove it")
    return path.is_file()
