"""Work on the pieces of a long text by several processes, its results in order."""

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
"""Pieces for each process that are handed out before the first result is taken."""


class Workers(contextlib.AbstractContextManager):
    """Processes that are started at once and ended with the context.

    Args:
        processes: how many; 1: this one does the work itself.
        folder: for files that hand the work over.
    """

    def __init__(self, processes: int, folder: Path):
        self._processes, self._folder = processes, folder
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            # Spawned, not forked: the caller may run threads (TensorFlow), which do not survive a fork.
            self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
            others = multiprocessing.active_children()
            for _ in range(processes):
                self._pool.submit(os.getpid)  # they start now, beside whatever the caller does before there is work
            self._started = [child for child in multiprocessing.active_children() if child not in others]
        self._tasks = 0

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Gives function(item) for each item, in order; `function` is pickled once, an item each time.

        The first items are worked on before the first result is asked for.

        Raises:
            UserError: a process ended early; and whatever `function` raises.
        """
        if self._pool is None:
            return map(function, items)
        self._tasks += 1
        task = self._folder / f"task{self._tasks}.pickle"
        task.write_bytes(pickle.dumps(function))
        work = (self._pool.submit(_run, task, item) for item in items)
        with _told():
            ahead = collections.deque(itertools.islice(work, AHEAD * self._processes))
        return self._results(task, ahead, work)

    def _results(self, task: Path, ahead: collections.deque[Future], work: Iterator[Future]) -> Iterator[Any]:
        """What `ahead` and then `work` give, which is begun as results are taken."""
        try:
            while ahead:
                with _told():
                    result = ahead.popleft().result()
                    ahead.extend(itertools.islice(work, 1))
                yield result
        finally:
            for future in ahead:
                future.cancel()
            task.unlink(missing_ok=True)

    def __exit__(self, failure: type[BaseException] | None, *_) -> None:
        if self._pool:
            if failure:  # nobody wants what they are about to do
                for process in self._started:
                    process.terminate()
            self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise UserError("a process that reads the text was ended from outside; is there too little memory?") from None


def _begin() -> None:
    begin_worker()
    gc.disable()  # records hold no cycles, and there are many to look through


def _run(task: Path, item: Any) -> Any:
    return _load(task)(item)


@functools.lru_cache(1)
def _load(task: Path) -> Callable:
    return pickle.loads(task.read_bytes())
