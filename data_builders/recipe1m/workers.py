"""Work on the pieces of a long text by several processes, its results in order."""

import collections
import contextlib
import functools
import gc
import multiprocessing
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from adamine_jax.errors import UserError
from data_builders.processes import begin_worker

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 3
"""Pieces for each process that are handed out before the first result is taken."""


class Workers(contextlib.AbstractContextManager):
    """Processes that are started when there is work and ended with the context.

    Args:
        processes: how many; 1: this one does the work itself.
        folder: for files that hand the work over.
    """

    def __init__(self, processes: int, folder: Path):
        self._processes, self._folder = processes, folder
        self._pool: ProcessPoolExecutor | None = None
        self._tasks = 0

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yields function(item) for each item, in order; `function` is pickled once, an item each time.

        Raises:
            UserError: a process ended early; and whatever `function` raises.
        """
        if self._processes == 1:
            yield from map(function, items)
            return
        if self._pool is None:
            # Spawned, not forked: the caller may run threads (TensorFlow), which do not survive a fork.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, _begin)
        self._tasks += 1
        task = self._folder / f"task{self._tasks}.pickle"
        task.write_bytes(pickle.dumps(function))
        ahead: collections.deque[Future] = collections.deque()
        try:
            for item in items:
                ahead.append(self._pool.submit(_run, task, item))
                if len(ahead) >= AHEAD * self._processes:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "a process that reads the text was ended from outside; is there too little memory?"
            ) from None
        finally:
            for future in ahead:
                future.cancel()
            task.unlink(missing_ok=True)

    def __exit__(self, *_) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def _begin() -> None:
    begin_worker()
    gc.disable()  # records hold no cycles, and there are many to look through


def _run(task: Path, item: Any) -> Any:
    return _load(task)(item)


@functools.lru_cache(1)
def _load(task: Path) -> Callable:
    return pickle.loads(task.read_bytes())
