"""A folder that one process at a time works in, and from which what it made goes to its place whole."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from adamine_jax.base.errors import UserError

_REPLACED = "replaced"


@contextlib.contextmanager
def workplace(folder: Path, place: Path, *, out: Path, busy: str) -> Generator[Path]:
    """Gives a folder that is empty at first, that nobody else has meanwhile, and that is gone afterwards.

    What a killed process left there is deleted; had it come as far as taking away what it was to replace, that is
    put back.

    Args:
        folder: to work in, on the file system of `place`.
        place: where `move_into_place` is to put what is made.
        out: what the user named, for messages.
        busy: what to say where another process has the folder.

    Raises:
        UserError: the folder cannot be made, or another process has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(busy) from None
        if (folder / _REPLACED).exists() and not place.exists():
            (folder / _REPLACED).rename(place)
        for left in folder.iterdir():
            shutil.rmtree(left)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def move_into_place(new: Path, place: Path, folder: Path) -> None:
    """Renames a folder made in the workplace `folder`; what was at `place` goes only once the new one is there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(folder / _REPLACED)
    try:
        new.rename(place)
    except OSError:
        if (folder / _REPLACED).exists():
            (folder / _REPLACED).rename(place)
        raise
