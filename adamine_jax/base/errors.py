"""Errors that are reported to the user in one line, without a traceback."""

import errno
import functools
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from adamine_jax.base import extras, processes

# What the libraries of collective operations report if they lose a process.
_LOST = re.compile("gloo|nccl|rccl|connection (reset|closed|refused)|heartbeat|coordination", re.IGNORECASE)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""`OSError.errno` of a full disk, an exhausted quota or a file that reached its size limit."""


_names: dict[str, str] = {}


def show_as(path: Path, name: str) -> None:
    """Lets messages call a path, and paths within it, by another name."""
    _names[str(path)] = name


def shown(text: object) -> str:
    """Returns a text for the user, with the names of `show_as`."""
    text = str(text)
    for path, name in _names.items():
        text = text.replace(path, name)
    return text


class UserError(Exception):
    """An input of the user cannot be used.

    The message is one line that says what is wrong, where (file, record, field) and what to do.

    Attributes:
        status: Exit status of the command.
    """

    status = 2


class DiskFull(UserError):
    """A file cannot be written because the disk is full.

    Args:
        error: Error whose `errno` is one of `NO_ROOM`.
        folder: Folder that was written to, for an error without a file name.
        remedy: What to do, for the message.
    """

    status = 1

    def __init__(
        self, error: OSError, folder: Path | None = None, remedy: str = "free some space and rerun the command"
    ):
        where = error.filename or folder
        reason = f"{os.strerror(error.errno or errno.ENOSPC).lower()}{f' ({room(Path(where))})' if where else ''}"
        super().__init__(f"{f'{where}: ' if where else ''}{reason}; {remedy}")


class LostProcess(UserError):
    """Another process of the run ended without a message, so a computation of all processes failed."""

    status = 1

    def __init__(self, reason: str):
        super().__init__(
            f"another process has ended or cannot be reached ({' '.join(reason.split())[:160]}); look at the output of "
            "the others, then rerun the same command in all of them to resume"
        )


def room(path: Path) -> str:
    """Describes the free space on the disk of a path, which need not exist."""
    folder = next((parent for parent in (path, *path.absolute().parents) if parent.is_dir()), Path("/"))
    return f"{shutil.disk_usage(folder).free / 2**20:,.1f} MiB are free"


def one_line_errors(main: Callable[..., int | None]) -> Callable[..., int]:
    """Decorates a command's `main`: a `UserError`, a full disk or a missing extra becomes `error: …` on stderr.

    The decorated function returns the exit status, 0 if `main` returns None.
    """

    @functools.wraps(main)
    def wrapped(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            return _report(error)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return _report(DiskFull(error))
        except ImportError as error:
            if not (message := extras.missing(error)):
                raise
            return _report(UserError(message))
        except Exception as error:
            if not processes.are_several():
                raise
            # By name, because this module must not import JAX.
            if type(error).__name__ == "JaxRuntimeError" and _LOST.search(str(error)):
                return _report(LostProcess(str(error)))
            traceback.print_exc()
            processes.leave(1, f"{type(error).__name__}: {error}")
            raise
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr, flush=True)
            sys.stdout.flush()
            processes.clean_up()
            # An ordinary exit would tear down what other threads still use: a running compilation would crash.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
            return 130

    return wrapped


def _report(error: UserError) -> int:
    message = " ".join(shown(error).split())
    print(f"error: {processes.prefix()}{message}", file=sys.stderr, flush=True)
    processes.leave(error.status, message)
    return error.status
