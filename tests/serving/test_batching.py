"""What waits is computed together, once, and by nobody else's fault."""

import asyncio
import threading

import pytest

from adamine_jax.serving.batching import Batcher


class Held:
    """Doubles numbers in calls that wait for `go`; notes what they were called with."""

    def __init__(self):
        self.go, self.began, self.calls = threading.Event(), threading.Event(), []

    def __call__(self, items):
        self.calls.append(list(items))
        self.began.set()
        assert self.go.wait(30)
        if "bad" in items:
            raise ValueError("bad item")
        return [2 * item for item in items]


async def begin(batcher, held, items):
    """Tasks of which the first is being computed while the others wait."""
    tasks = [asyncio.create_task(batcher(items[0]))]
    await asyncio.to_thread(held.began.wait, 30)
    tasks += [asyncio.create_task(batcher(item)) for item in items[1:]]
    await asyncio.sleep(0)
    return tasks


def test_what_came_meanwhile_is_computed_together_and_in_order():
    held = Held()
    batcher = Batcher(held, 3, "test")

    async def run():
        tasks = await begin(batcher, held, list(range(8)))
        held.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [2 * number for number in range(8)]
    assert held.calls == [[0], [1, 2, 3], [4, 5, 6], [7]]
    batcher.close()


def test_a_bad_item_fails_alone():
    held = Held()
    batcher = Batcher(held, 8, "test")

    async def run():
        tasks = await begin(batcher, held, [1, 2, "bad", 3])
        held.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, bad, third = asyncio.run(run())
    assert (first, second, third) == (2, 4, 6)
    assert isinstance(bad, ValueError)
    batcher.close()


def test_who_gave_up_is_passed_over():
    held = Held()
    batcher = Batcher(held, 8, "test")

    async def run():
        tasks = await begin(batcher, held, [1, 2, 3])
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        held.go.set()
        return await asyncio.gather(tasks[0], tasks[2])

    assert asyncio.run(run()) == [2, 6]
    assert held.calls == [[1], [3]]
    batcher.close()


def test_closing_computes_what_waits():
    held = Held()
    batcher = Batcher(held, 2, "test")

    async def run():
        tasks = await begin(batcher, held, [1, 2, 3, 4])
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        held.go.set()
        await closing
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [2, 4, 6, 8]
