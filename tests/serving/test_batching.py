"""Waiting items are computed once, in batches, and fail independently."""

import asyncio
import threading

import pytest

from adamine_jax.serving.batching import Batcher


class Blocking:
    """Doubles numbers in calls that wait for `go`, and records the calls."""

    def __init__(self):
        self.go, self.started, self.calls = threading.Event(), threading.Event(), []

    def __call__(self, items):
        self.calls.append(list(items))
        self.started.set()
        assert self.go.wait(30)
        if "bad" in items:
            raise ValueError("bad item")
        return [2 * item for item in items]


async def start(batcher, function, items):
    """Starts tasks, of which the first is being computed while the others wait."""
    tasks = [asyncio.create_task(batcher(items[0]))]
    await asyncio.to_thread(function.started.wait, 30)
    tasks += [asyncio.create_task(batcher(item)) for item in items[1:]]
    await asyncio.sleep(0)
    return tasks


def test_waiting_items_are_computed_together_and_in_order():
    function = Blocking()
    batcher = Batcher(function, 3, "test")

    async def run():
        tasks = await start(batcher, function, list(range(8)))
        function.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [2 * number for number in range(8)]
    assert function.calls == [[0], [1, 2, 3], [4, 5, 6], [7]]
    batcher.close()


def test_only_the_faulty_item_fails():
    function = Blocking()
    batcher = Batcher(function, 8, "test")

    async def run():
        tasks = await start(batcher, function, [1, 2, "bad", 3])
        function.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, bad, third = asyncio.run(run())
    assert (first, second, third) == (2, 4, 6)
    assert isinstance(bad, ValueError)
    batcher.close()


def test_cancelled_items_are_skipped():
    function = Blocking()
    batcher = Batcher(function, 8, "test")

    async def run():
        tasks = await start(batcher, function, [1, 2, 3])
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        function.go.set()
        return await asyncio.gather(tasks[0], tasks[2])

    assert asyncio.run(run()) == [2, 6]
    assert function.calls == [[1], [3]]
    batcher.close()


def test_closing_computes_waiting_items():
    function = Blocking()
    batcher = Batcher(function, 2, "test")

    async def run():
        tasks = await start(batcher, function, [1, 2, 3, 4])
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        function.go.set()
        await closing
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [2, 4, 6, 8]
