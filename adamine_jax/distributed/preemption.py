"""Being told to stop: SIGTERM, as schedulers send it before they take a machine away, or Ctrl-C."""

import signal
import sys
import threading
from types import FrameType

from adamine_jax.base import processes

RUN_AGAIN = 75
"""Exit status of a run that was told to stop and has lost nothing (EX_TEMPFAIL): the same command goes on with it."""


class Stopped(Exception):
    """The run has stopped as it was told to, its state being saved.

    Args:
        step: that it has reached.
    """

    def __init__(self, step: int):
        super().__init__(f"stopped at step {step}")
        self.step = step


class StopRequest:
    """Whether the run shall stop; a context, within which a signal is a request and does not end the program.

    With several processes a SIGTERM to any of them reaches all, through JAX's preemption service, which names a step at
    which all of them stop. With one process Ctrl-C is such a request too; a second one ends the program at once.
    """

    def __init__(self):
        self._signal: int | None = None
        self._asked = 0
        self._old_handlers = {}

    def __enter__(self) -> "StopRequest":
        if not processes.are_several() and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old_handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)

    def made(self) -> bool:
        """Whether to stop now. All processes must ask equally often, at the same points of their work."""
        if not processes.are_several():
            return self._signal is not None
        from jax.experimental import multihost_utils

        self._asked += 1
        return multihost_utils.reached_preemption_sync_point(self._asked)

    def leave(self, step: int) -> None:
        """Ends the program, everything being saved; it exits with `RUN_AGAIN`, or as interrupted by Ctrl-C."""
        print(f"stopped at step {step}, which is saved: the same command goes on from there", flush=True)
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(RUN_AGAIN)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._signal == signal.SIGINT:
                raise KeyboardInterrupt
            print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)
        self._signal = number
