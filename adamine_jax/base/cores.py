"""Parallel work with one thread per core; more threads would only contend for the interpreter's lock."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

LARGEST_CHUNK = 16
"""Maximum number of items per task; smaller chunks are used where not all cores would get one."""


def available_cores() -> int:
    """Returns the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_chunks(function: Callable[[range], T], count: int) -> list[T]:
    """Calls a thread-safe function on ranges that cover 0 to `count` and returns its results in order."""
    chunk = min(max(count // available_cores(), 1), LARGEST_CHUNK)
    chunks = [range(first, min(first + chunk, count)) for first in range(0, count, chunk)]
    return list(_pool().map(function, chunks) if len(chunks) > 1 else map(function, chunks))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="cores")
