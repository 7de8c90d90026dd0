"""Progress of long work: a bar on a terminal, plain lines in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm

from adamine_jax.base import processes

T = TypeVar("T")

LINE_SECONDS = 15.0
MIN_REPORTED_SECONDS = 3.0


class Progress:
    """Counts finished units of work and reports their number, rate and remaining time on stderr.

    On a terminal this is a tqdm bar; elsewhere (a pipe, a job's log) a plain line every `LINE_SECONDS`, and one when
    the work ends unless it took less than `MIN_REPORTED_SECONDS`. With several processes, only process 0 reports.

    Args:
        description: Short description of the work.
        total: Total number of units; None if unknown.
        unit: Name of a unit, for the rate ("photo", "step").
        initial: Number of units done before, by an interrupted run.
    """

    def __init__(self, description: str, total: int | None, unit: str = "item", *, initial: int = 0):
        self._description, self._total, self._unit = description, total, unit
        self._done = self._initial = initial
        self._start = self._last_line = time.monotonic()
        self._first: tuple[float, int] | None = None  # time and count of the first update
        self._note = ""
        self._printed: tuple[int, str] | None = None  # count and note of the last plain line
        self._bar = None
        if processes.is_first() and sys.stderr.isatty():
            self._bar = tqdm.tqdm(desc=description, total=total, unit=unit, initial=initial, dynamic_ncols=True)

    def update(self, units: int = 1, note: str = "") -> None:
        """Adds `units` finished units; `note` is shown after the count, such as the current loss."""
        self._done += units
        self._note = note or self._note
        now = time.monotonic()
        self._first = self._first or (now, self._done)
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
        elif now - self._last_line >= LINE_SECONDS:
            self._print_line(now)

    def print(self, line: str) -> None:
        """Prints a line to stdout without breaking the bar."""
        tqdm.tqdm.write(line)
        sys.stdout.flush()

    def close(self) -> None:
        """Closes the bar, or prints the last plain line."""
        now, is_printed = time.monotonic(), self._printed == (self._done, self._note)
        if self._bar is not None:
            self._bar.close()
        elif now - self._start >= MIN_REPORTED_SECONDS and not is_printed:
            self._print_line(now)

    def _print_line(self, now: float) -> None:
        if not processes.is_first():
            return
        self._last_line, self._printed = now, (self._done, self._note)
        seconds = now - self._start
        rate = (self._done - self._initial) / max(seconds, 1e-9)
        of_total = f"/{self._total}" if self._total is not None else ""
        left = ""
        if self._total is not None and self._first and self._first[1] < self._done < self._total:
            # Time before the first update, such as a compilation, is not repeated.
            seconds_per_unit = (now - self._first[0]) / (self._done - self._first[1])
            left = f", {format_seconds((self._total - self._done) * seconds_per_unit)} left"
        note = f", {self._note}" if self._note else ""
        print(
            f"{self._description}: {self._done}{of_total} {self._unit}s, {rate:.1f} {self._unit}s/s, "
            f"{format_seconds(seconds)} so far{left}{note}",
            file=sys.stderr,
            flush=True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def track(items: Iterable[T], description: str, total: int | None = None, unit: str = "item") -> Iterator[T]:
    """Yields `items` and reports how many of them have been consumed."""
    with Progress(description, total, unit) as progress:
        for item in items:
            yield item
            progress.update()


def format_seconds(seconds: float) -> str:
    """Formats a duration as 41s, 3m05s or 2h17m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
