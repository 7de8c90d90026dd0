"""What goes wrong without a fault of the program, told to the person at the keyboard in one line."""

import errno
import functools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from adamine_jax.base import extras, processes

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of an `OSError` that says that the disk, the quota or what a file may hold is used up."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where (file, record, field) and what to do instead.

    Attributes:
        status: exit status of a command that ends with it.
    """

    status = 2


class DiskFull(UserError):
    """A file cannot be written for want of room, which is no mistake in what the user gave.

    Args:
        error: one of `NO_ROOM`.
        folder: that was written to, where the error names no file.
        remedy: what to do about it.
    """

    status = 1

    def __init__(self, error: OSError, folder: Path | None = None, remedy: str = "make room and run this again"):
        where = error.filename or folder
        said = f"{os.strerror(error.errno or errno.ENOSPC).lower()}{f' ({room(Path(where))})' if where else ''}"
        super().__init__(f"{f'{where}: ' if where else ''}{said}; {remedy}")


def room(path: Path) -> str:
    """How much room is left where a file is, or would be."""
    there = next((place for place in (path, *path.absolute().parents) if place.is_dir()), Path("/"))
    return f"{shutil.disk_usage(there).free / 2**20:,.1f} MiB are free"


def one_line_errors(main: Callable[..., int | None]) -> Callable[..., int]:
    """Wraps a command's `main`: a `UserError`, a full disk or a missing extra becomes `error: …` on stderr.

    Args:
        main: the command; what it returns is its exit status, `None` counting as 0.

    Returns:
        A function of the same arguments that returns the exit status.
    """

    @functools.wraps(main)
    def wrapped(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            return _told(error)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return _told(DiskFull(error))
        except ImportError as error:
            if not (lacks := extras.missing(error)):
                raise
            return _told(UserError(lacks))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr, flush=True)
            sys.stdout.flush()
            # Ends as a program without a handler would. An ordinary exit would tear down what other threads still
            # use: a compilation that goes on crashes it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
            return 130

    return wrapped


def _told(error: UserError) -> int:
    print(f"error: {processes.prefix()}{' '.join(str(error).split())}", file=sys.stderr, flush=True)
    processes.leave(error.status)
    return error.status
