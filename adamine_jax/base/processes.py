"""Index of this process among those of a run. Process 0 alone prints and writes to the workdir.

Nothing here starts JAX; `distributed.processes` sets the index.
"""

import os
import sys

_index, _count = 0, 1


def set_index(index: int, count: int) -> None:
    """Records that this is process `index` of `count`."""
    global _index, _count
    _index, _count = index, count


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    return _index == 0


def are_several() -> bool:
    """Whether the run has several processes."""
    return _count > 1


def prefix() -> str:
    """Prefix of error messages: the index of this process if there are several, '' otherwise."""
    return f"process {_index} of {_count}: " if are_several() else ""


def leave(status: int) -> None:
    """Exits at once if there are several processes: an ordinary exit would wait for processes that wait for this."""
    if are_several():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
