"""Measures a run's input wait and memory, and traces its first steps."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from adamine_jax.base import storage
from adamine_jax.base.errors import shown

FIRST_TRACED, TRACED = 5, 5
"""Number of steps before the trace, some of which compile, and number of traced steps."""


class InputClock:
    """Passes batches on, and measures the time that the devices were idle while waiting for input.

    Args:
        batches: Batches of an epoch.

    Attributes:
        pending: An output of the last step, or None.
    """

    def __init__(self, batches: Iterator[dict[str, jax.Array]]):
        self._batches = batches
        self._start, self._waited = time.monotonic(), 0.0
        self.pending: Any = None

    def __iter__(self) -> Iterator[dict[str, jax.Array]]:
        while True:
            start = time.monotonic()
            batch = next(self._batches, None)
            if batch is None:
                return
            # No time is lost while a step is running. It is unknown when a finished step ended, so all of it counts.
            if self.pending is None or self.pending.is_ready():
                self._waited += time.monotonic() - start
            yield batch

    def seconds(self) -> dict[str, float]:
        """Returns the seconds since the epoch began or the run resumed, and at most how many were lost to input."""
        return {"epoch_seconds": time.monotonic() - self._start, "input_wait_seconds": self._waited}


class Trace:
    """Context that traces a few steps, for TensorBoard's profiler, XProf or ui.perfetto.dev.

    Args:
        folder: Folder to write; None = no trace.
    """

    def __init__(self, folder: Path | None):
        self._folder, self._steps, self._is_on = folder, 0, False

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before_step(self, state: object) -> None:
        """Starts or stops the trace when due; to be called before every step, with the state it starts from."""
        if self._folder is None:
            return
        self._steps += 1
        if self._steps == FIRST_TRACED + 1:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._is_on = True
        elif self._steps == FIRST_TRACED + TRACED + 1:
            jax.block_until_ready(state)
            self._stop()

    def _stop(self) -> None:
        if self._is_on:
            self._is_on = False
            jax.profiler.stop_trace()
            steps = min(self._steps - FIRST_TRACED, TRACED)
            assert self._folder is not None
            storage.publish(self._folder)
            print(
                f"{shown(self._folder)}: trace of {steps} steps (tensorboard --logdir, or ui.perfetto.dev)", flush=True
            )


def peak_memory() -> dict[str, float]:
    """Returns the peak resident memory in GiB, and that of the first local accelerator."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS reports bytes
    peak = {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}
    statistics: dict[str, Any] = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        peak["peak_device_memory_gib"] = statistics["peak_bytes_in_use"] / 2**30
    return peak
