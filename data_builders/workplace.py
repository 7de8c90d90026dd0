"""A locked temporary folder whose result is moved to its destination in one step."""

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
    """Yields an empty folder, locked against other processes and deleted at the end of the block.

    Files left by a killed process are deleted first. If it was killed within `move_into_place`, the folder that it was
    replacing is restored.

    Args:
        folder: Folder to create, on the file system of `place`.
        place: Destination of `move_into_place`.
        out: Value of `--out`, for messages.
        busy: Message of the error that is raised when another process has locked the folder.

    Raises:
        UserError: The folder cannot be created, or another process has locked it.
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
    """Renames `new` to `place`, replacing what is there; `folder` is the `workplace` that contains `new`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(folder / _REPLACED)
    try:
        new.rename(place)
    except OSError:
        if (folder / _REPLACED).exists():
            (folder / _REPLACED).rename(place)
        raise
