"""Computes concurrent queries in batches."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any


class Batcher:
    """Calls a function in its own thread, each time on all items that arrived during the previous call.

    It never waits for a batch to fill: an item that arrives while the thread is idle is computed immediately.

    Args:
        function: Returns one result for each item of a list.
        max_size: Maximum number of items per call.
        name: Name of the thread.
    """

    def __init__(self, function: Callable[[list], Sequence[Any]], max_size: int, name: str):
        self._function, self._max_size = function, max_size
        self._waiting: queue.SimpleQueue[tuple[Any, Future] | None] = queue.SimpleQueue()
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def __call__(self, item: Any) -> Any:
        """Returns the result of one item."""
        future: Future = Future()
        self._waiting.put((item, future))
        return await asyncio.wrap_future(future)

    def seconds_busy(self) -> float:
        """Returns how long the current batch has been computed."""
        return 0.0 if (began := self._began) is None else time.monotonic() - began

    def close(self, seconds: float | None = None) -> None:
        """Computes the waiting items, then stops the thread; returns after `seconds` at the latest."""
        self._waiting.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        closed = False
        while not closed:
            batch = [self._waiting.get()]
            while len(batch) < self._max_size and batch[-1] is not None:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            closed = batch[-1] is None
            self._began = time.monotonic()
            # Skips cancelled items.
            self._compute([entry for entry in batch if entry and entry[1].set_running_or_notify_cancel()])
            self._began = None

    def _compute(self, batch: list[tuple[Any, Future]]) -> None:
        if not batch:
            return
        try:
            results = self._function([item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # computes each item alone, so that only the faulty one fails
                for entry in batch:
                    self._compute([entry])
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
