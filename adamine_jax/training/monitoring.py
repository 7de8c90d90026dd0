"""What a run notes of its own speed and memory."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

FIRST_TRACED, TRACED = 5, 5
"""A trace leaves out the first steps, which compile, and holds the next ones."""


class InputClock:
    """Hands batches on, and counts the time in which the devices were idle because the next one was not there yet.

    Args:
        batches: of an epoch.
    """

    def __init__(self, batches: Iterator[dict[str, jax.Array]]):
        self._batches = batches
        self._start, self._waited = time.monotonic(), 0.0
        self.under_way: Any = None
        """Something that the last step computes."""

    def __iter__(self) -> Iterator[dict[str, jax.Array]]:
        while True:
            start = time.monotonic()
            batch = next(self._batches, None)
            if batch is None:
                return
            # While a step is under way nothing is lost. If it ended meanwhile, nobody knows when: all of it counts.
            if self.under_way is None or self.under_way.is_ready():
                self._waited += time.monotonic() - start
            yield batch

    def seconds(self) -> dict[str, float]:
        """Seconds since the epoch began, or the run if later, and those of them lost to waiting for input, at most."""
        return {"epoch_seconds": time.monotonic() - self._start, "input_wait_seconds": self._waited}


class Trace:
    """A trace of a few steps, for TensorBoard's profiler, XProf or ui.perfetto.dev; a context.

    Args:
        folder: to write; None = no trace.
    """

    def __init__(self, folder: Path | None):
        self._folder, self._steps, self._is_on = folder, 0, False

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before_step(self, state: object) -> None:
        """Starts or stops where it is time to; called before every step, with the state that the last one gave."""
        if self._folder is None:
            return
        self._steps += 1
        if self._steps in (FIRST_TRACED + 1, FIRST_TRACED + TRACED + 1):
            jax.block_until_ready(state)
        if self._steps == FIRST_TRACED + 1:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._is_on = True
        elif self._steps == FIRST_TRACED + TRACED + 1:
            self._stop()

    def _stop(self) -> None:
        if self._is_on:
            self._is_on = False
            jax.profiler.stop_trace()
            steps = min(self._steps - FIRST_TRACED, TRACED)
            print(f"{self._folder}: trace of {steps} steps (tensorboard --logdir, or ui.perfetto.dev)", flush=True)


def peak_memory() -> dict[str, float]:
    """Peak memory in GiB: resident, and on an accelerator on the device as well."""
    kilobyte = 1 if sys.platform == "darwin" else 1024
    peak = {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte / 2**30}
    statistics: dict[str, Any] = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        peak["peak_device_memory_gib"] = statistics["peak_bytes_in_use"] / 2**30
    return peak
