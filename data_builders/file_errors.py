"""Files that cannot be read or written, told in one line."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from adamine_jax.base.errors import NO_ROOM, UserError, room


@contextlib.contextmanager
def told_in_one_line(folder: Path) -> Generator[None]:
    """Within the block an `OSError` becomes a `UserError`.

    Args:
        folder: where the block writes.
    """
    try:
        yield
    except OSError as error:
        raise UserError(file_problem(error, folder)) from error


def file_problem(error: OSError, folder: Path) -> str:
    """What an error says of the file it names or else of the folder that was written to, and what to do about it."""
    if error.errno not in NO_ROOM:
        return f"{error.filename or folder}: {error.strerror or error}"
    where = folder if error.filename is None else error.filename
    return f"{where}: {str(error.strerror).lower()} ({room(folder)}); nothing of it was kept: make room and run again"


def is_there(path: Path) -> bool:
    """Whether a file that need not be there is.

    Raises:
        UserError: something else has its name; to go on as if it were absent is not what was meant.
    """
    if not path.is_file() and os.path.lexists(path):
        raise UserError(f"{path}: is no file (a folder, a pipe, or a link that leads nowhere); replace it or remove it")
    return path.is_file()
