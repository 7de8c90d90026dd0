"""Which process of a run this is. Process 0 is the first: it alone prints and writes to the workdir.

Nothing here starts JAX; `distributed.processes` notes what it finds.
"""

import os
import sys

_number, _count = 0, 1


def note(number: int, count: int) -> None:
    """Records that this is process `number` (from 0) of `count`."""
    global _number, _count
    _number, _count = number, count


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    return _number == 0


def are_several() -> bool:
    """Whether there are other processes."""
    return _count > 1


def prefix() -> str:
    """What an error message begins with: which process it comes from, where there are several."""
    return f"process {_number} of {_count}: " if are_several() else ""


def leave(status: int) -> None:
    """Ends this process without waiting for the others, who may be waiting for it; with one process, does nothing."""
    if are_several():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
