"""One-line errors for files that cannot be read or written."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from adamine_jax.base.errors import NO_ROOM, UserError, room


@contextlib.contextmanager
def os_errors_reported(folder: Path) -> Generator[None]:
    """Converts an `OSError` to a `UserError`, which names the folder if the error does not name a file."""
    try:
        yield
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror or error}"
        if error.errno in NO_ROOM:
            message = f"{message} ({room(folder)}); no output was kept; free some space and rerun the command"
        raise UserError(message) from error


def file_exists(path: Path) -> bool:
    """Returns whether an optional file exists.

    Raises:
        UserError: Something other than a file has this name, so treating the file as missing would hide a mistake.
    """
    if not path.is_file() and os.path.lexists(path):
        raise UserError(f"{path}: not a file (a folder, a pipe or a broken link); replace or remove it")
    return path.is_file()
