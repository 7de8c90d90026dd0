"""Measurement of the time waiting for input, and traces."""

import jax.numpy as jnp
import pytest

from adamine_jax.training import monitoring


class Work:
    """Output of a step that is finished or not."""

    def __init__(self, is_ready):
        self._is_ready = is_ready

    def is_ready(self):
        return self._is_ready


@pytest.fixture
def clock(monkeypatch):
    """Replaces the clock by a list whose only item the test advances."""
    now = [0.0]
    monkeypatch.setattr(monitoring.time, "monotonic", lambda: now[0])
    return now


def test_waiting_counts_only_while_no_step_is_running(clock):
    def batches():
        for seconds in (1, 2, 4, 8):
            clock[0] += seconds
            yield {"seconds": seconds}

    waiting = monitoring.InputClock(batches())
    seen = []
    for batch, is_ready in zip(waiting, (True, False, True, True), strict=False):
        seen.append(batch["seconds"])
        waiting.pending = Work(is_ready)
        clock[0] += 100  # the step is dispatched
    assert seen == [1, 2, 4, 8]
    # The first batch precedes all steps; the second and the fourth follow a step that had finished.
    assert waiting.seconds() == {"epoch_seconds": 415.0, "input_wait_seconds": 1.0 + 2.0 + 8.0}


@pytest.mark.parametrize(("steps", "traced"), [(5, 0), (7, 2), (20, 5)])
def test_a_trace_covers_the_steps_after_the_first(tmp_path, capsys, steps, traced):
    with monitoring.Trace(tmp_path / "profile") as trace:
        state = jnp.zeros(2)
        for _ in range(steps):
            trace.before_step(state)
            state = state + 1
    files = list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert len(files) == (traced > 0)
    assert (f"trace of {traced} steps" in capsys.readouterr().out) == (traced > 0)


def test_without_a_folder_there_is_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with monitoring.Trace(None) as trace:
        for _ in range(20):
            trace.before_step(jnp.zeros(2))
    assert not list(tmp_path.iterdir())
