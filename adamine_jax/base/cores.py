"""Work on all cores, by one thread a core: more of them would only take the interpreter's lock from each other."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

LARGEST_CHUNK = 16
"""Items that a thread takes at a time, or fewer, so that all cores have some."""


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_chunks(function: Callable[[range], T], count: int) -> list[T]:
    """Calls a function with ranges that cover 0 to `count`; its results in order. It is called from any thread."""
    chunk = min(max(count // available_cores(), 1), LARGEST_CHUNK)
    chunks = [range(first, min(first + chunk, count)) for first in range(0, count, chunk)]
    return list(_pool().map(function, chunks) if len(chunks) > 1 else map(function, chunks))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="cores")
