"""Concurrent queries, computed together."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any


class Batcher:
    """Calls a function, in a thread of its own, on all items that came while the last call ran.

    Nothing waits for others to come: the first item of an idle batcher is computed at once, alone.

    Args:
        work: gives one result for each item of a list.
        most: items of one call.
        name: of the thread.
    """

    def __init__(self, work: Callable[[list], Sequence[Any]], most: int, name: str):
        self._work, self._most = work, most
        self._waiting: queue.SimpleQueue[tuple[Any, Future] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def __call__(self, item: Any) -> Any:
        """The result of one item."""
        future: Future = Future()
        self._waiting.put((item, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Computes what waits, then ends the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        closed = False
        while not closed:
            batch = [self._waiting.get()]
            while len(batch) < self._most and batch[-1] is not None:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            closed = batch[-1] is None
            # Who has given up waiting is passed over.
            self._compute([entry for entry in batch if entry and entry[1].set_running_or_notify_cancel()])

    def _compute(self, batch: list[tuple[Any, Future]]) -> None:
        if not batch:
            return
        try:
            results = self._work([item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # one of them is at fault, and the others should not suffer from it
                for entry in batch:
                    self._compute([entry])
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
