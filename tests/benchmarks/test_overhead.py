"""Tests that turns of the loop and of the step alone are measured separately and do not affect the training."""

import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax import train
from benchmarks import overhead
from benchmarks.overhead import Cost, Measured, Turns
from tests import tiny


@pytest.fixture
def clock(monkeypatch):
    """Wall and CPU time that only `tick` advances."""

    class Clock:
        now = cpu = 0.0

        def tick(self, seconds, cpu_seconds):
            self.now, self.cpu = self.now + seconds, self.cpu + cpu_seconds

    clock = Clock()
    monkeypatch.setattr(overhead.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(overhead.time, "process_time", lambda: clock.cpu)
    return clock


def test_each_turn_measures_its_own_steps(clock):
    """A step takes 10 s and 20 CPU s; the loop adds 1 s and 3 CPU s."""
    done = []

    def step(state, batch, frozen):
        clock.tick(10, 20)
        done.append((int(state), int(batch), frozen))
        return state + 1

    turns = Turns(step, steps=4, turns=3)
    state = jnp.zeros((), jnp.int32)
    for calls in range(overhead.needed_steps(4, 3) - 1):
        clock.tick(1, 3)
        state = turns(state, jnp.int32(calls), frozen=False)
    clock.tick(1, 3)
    with pytest.raises(Measured):
        turns(state, jnp.int32(0), frozen=False)
    assert turns.empty == Cost(1, 3)
    assert turns.loop == [Cost(11, 23)] * 3
    assert turns.alone == [Cost(10, 20)] * 3
    # The loop's state has passed through the loop's steps and batches only; the step alone uses the first batch.
    first = overhead.EMPTY_STEPS
    assert int(state) == 3 * 5
    loop = [call for call in done if call[1] != first] + [(0, first, False)]
    assert sorted(loop) == [(number, first + number, False) for number in range(15)]
    alone = [call[0] for call in done if call[1] == first]
    assert sorted(alone) == sorted([0, *range(15)])


def test_the_page_reports_the_measurement():
    turns = Turns(None, steps=2, turns=3)
    turns.empty = Cost(0.1, 0.16)
    turns.loop = [Cost(4.4, 8), Cost(4.2, 8), Cost(9, 8)]
    turns.alone = [Cost(4, 7.9), Cost(4.1, 7.9), Cost(3.9, 7.9)]
    text = "\n".join(overhead.page(turns, batch=8, steps=2, load=0.25))
    assert f"**{4.4 / 4:.3f}** times as long as the step alone ({4.2 / 4.1:.3f} to {9 / 3.9:.3f} in" in text
    assert "Goal: less than 1.05, not met." in text
    assert "takes 20.0 ms of a core per pair" in text
    turns.loop = [Cost(4.1, 8)] * 3
    assert "Goal: less than 1.05, met." in "\n".join(overhead.page(turns, batch=8, steps=2, load=0.25))


@pytest.mark.slow
def test_a_training_run_is_measured_and_removed(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(overhead, "EMPTY_STEPS", 3)
    config = tiny.small_config(tiny_data, batch_size=8, unfreeze_epoch=0, model__recipe__instructions="none")
    measured = overhead.measure(config, tmp_path, steps=1, turns=1)
    costs = np.array([measured.empty, *measured.loop, *measured.alone])
    assert costs.shape == (3, 2)
    assert np.all(costs > 0)
    assert list(tmp_path.iterdir()) == []
    assert train.make_train_step.__module__ == "adamine_jax.training.step"
    with pytest.raises(SystemExit, match=r"an epoch has 6 steps, but 13 are needed; use more recipes"):
        overhead.measure(config, tmp_path, steps=2, turns=3)
