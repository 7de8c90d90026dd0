"""Parallel map over the blocks of a file, with results in order."""

import collections
import contextlib
import functools
import gc
import itertools
import multiprocessing
import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from adamine_jax.base.errors import UserError
from data_builders.processes import begin_worker

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 3
"""Number of items per process that are submitted before the first result is taken."""


class Workers(contextlib.AbstractContextManager):
    """Worker processes that are started immediately and stopped at the end of the context.

    Args:
        processes: Number of processes. With 1, this process does the work.
        folder: Folder for temporary files.
    """

    def __init__(self, processes: int, folder: Path):
        self._processes, self._folder = processes, folder
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            # Spawned, not forked: the threads of the caller (TensorFlow) do not survive a fork.
            self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
            others = multiprocessing.active_children()
            for _ in range(processes):
                self._pool.submit(os.getpid)  # starts a process now, while the caller prepares the work
            self._started = [child for child in multiprocessing.active_children() if child not in others]
        self._tasks = 0

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yields function(item) for each item, in order; the work starts immediately.

        `function` is pickled once and each item when it is submitted.

        Raises:
            UserError: A process was killed.
        """
        if self._pool is None:
            return map(function, items)
        self._tasks += 1
        task = self._folder / f"task{self._tasks}.pickle"
        task.write_bytes(pickle.dumps(function))
        work = (self._pool.submit(_run, task, item) for item in items)
        with _killed_processes_reported():
            ahead = collections.deque(itertools.islice(work, AHEAD * self._processes))
        return self._results(task, ahead, work)

    def _results(self, task: Path, ahead: collections.deque[Future], work: Iterator[Future]) -> Iterator[Any]:
        try:
            while ahead:
                with _killed_processes_reported():
                    result = ahead.popleft().result()
                    ahead.extend(itertools.islice(work, 1))
                yield result
        finally:
            for future in ahead:
                future.cancel()
            task.unlink(missing_ok=True)

    def __exit__(self, failure: type[BaseException] | None, *_) -> None:
        if self._pool:
            if failure:  # the results are no longer needed
                for process in self._started:
                    process.terminate()
            self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _killed_processes_reported() -> Generator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise UserError("a worker process was killed, perhaps for lack of memory; rerun with fewer --workers") from None


def _begin() -> None:
    begin_worker()
    gc.disable()  # records are acyclic, and there are millions of them


def _run(task: Path, item: Any) -> Any:
    return _load(task)(item)


@functools.lru_cache(1)
def _load(task: Path) -> Callable:
    return pickle.loads(task.read_bytes())
