"""Index of this process among those of a run. Process 0 alone prints and writes to the workdir.

Nothing here starts JAX; `distributed.processes` sets the index.
"""

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Callable

_index, _count = 0, 1
_announce: Callable[[str], None] | None = None
_is_leaving = False
_cleanups: list[Callable[[], None]] = []


def set_index(index: int, count: int, announce: Callable[[str], None]) -> None:
    """Records that this is process `index` of `count`, and how it tells the others why it ends."""
    global _index, _count, _announce
    _index, _count, _announce = index, count, announce


def at_exit(function: Callable[[], None]) -> None:
    """Calls a function when this process ends, also by Ctrl-C or because of another process, but not when killed."""
    if not _cleanups:
        atexit.register(clean_up)
    _cleanups.append(function)


def clean_up() -> None:
    """Calls the functions of `at_exit`."""
    while _cleanups:
        _cleanups.pop()()


def is_leaving() -> bool:
    """Whether this process is ending because of an error that it has reported."""
    return _is_leaving


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    return _index == 0


def are_several() -> bool:
    """Whether the run has several processes."""
    return _count > 1


def prefix() -> str:
    """Prefix of error messages: the index of this process if there are several, '' otherwise."""
    return f"process {_index} of {_count}: " if are_several() else ""


def leave(status: int, reason: str) -> None:
    """Exits at once if there are several processes, and tells the others the reason, so that they end too.

    An ordinary exit would wait for processes that wait for this one.
    """
    global _is_leaving
    if are_several():
        _is_leaving = True
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(Exception):  # another process was faster, or process 0 has ended
            assert _announce is not None, "`set_index` was called"
            _announce(f"process {_index} ended: {reason}")
            if is_first():
                time.sleep(2)  # the others ask process 0
        clean_up()
        os._exit(status)
