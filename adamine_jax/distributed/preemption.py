"""Requests to stop: SIGTERM, which schedulers send before they reclaim a machine, and Ctrl-C."""

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TypeVar

from adamine_jax.base import processes

T = TypeVar("T")

RUN_AGAIN = 75
"""Exit status (EX_TEMPFAIL) of a run that stopped on request after saving its state and can be resumed."""


class Stopped(Exception):
    """The run stopped on request after saving its state.

    Args:
        step: Last training step.
    """

    def __init__(self, step: int):
        super().__init__(f"stopped at step {step}")
        self.step = step


class StopRequest:
    """A context in which SIGTERM requests a stop instead of ending the program.

    With several processes a SIGTERM to any of them reaches all through JAX's preemption service, which chooses a step
    at which all of them stop. With one process Ctrl-C also requests a stop; a second Ctrl-C ends the program at once.
    """

    def __init__(self):
        self._signal: int | None = None
        self._checks = 0
        self._old_handlers = {}

    def __enter__(self) -> "StopRequest":
        if not processes.are_several() and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)

    def made(self) -> bool:
        """Whether to stop now. All processes must call this equally often, at the same points of their work."""
        if not processes.are_several():
            return self._signal is not None
        from jax.experimental import multihost_utils

        self._checks += 1
        return multihost_utils.reached_preemption_sync_point(self._checks)

    def watched(self, batches: Iterable[T], step: int) -> Iterator[T]:
        """Yields the batches of other work than training, after training step `step`.

        Raises:
            Stopped: A stop was requested; it is checked before each batch.
        """
        for batch in batches:
            if self.made():
                raise Stopped(step)
            yield batch

    def leave(self, step: int) -> None:
        """Exits with the status `RUN_AGAIN`, or raises KeyboardInterrupt after Ctrl-C; the state must be saved."""
        print(f"stopped at step {step} and saved a checkpoint; rerun the same command to resume", flush=True)
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(RUN_AGAIN)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._signal == signal.SIGINT:
                raise KeyboardInterrupt
            print("\nstopping after this step; press Ctrl-C again to stop at once", file=sys.stderr, flush=True)
        self._signal = number
