"""Progress of long work: a bar with rate and time left for a person, plain lines for a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm

from adamine_jax.base import processes

T = TypeVar("T")

WORTH_A_LINE = 3.0
"""Seconds below which work that is over is not reported in a log."""


class Progress:
    """Counts finished units of work and says how fast they come and how long the rest takes.

    On a terminal this is a tqdm bar on stderr; elsewhere (a pipe, a job's log) one plain line every
    `line_seconds`, and one when the work ends, unless it was over at once. Of several processes the first one reports.

    Args:
        description: what is being done, in a few words.
        total: units of work in all, or None when nobody knows.
        unit: the name of one unit, for the rate ("photo", "step").
        initial: units that were done before, by an interrupted run.
        line_seconds: seconds between plain lines.
    """

    def __init__(
        self,
        description: str,
        total: int | None,
        unit: str = "item",
        *,
        initial: int = 0,
        line_seconds: float = 15.0,
    ):
        self._description, self._total, self._unit = description, total, unit
        self._done = self._initial = initial
        self._line_seconds = line_seconds
        self._start = self._last_line = time.monotonic()
        self._first: tuple[float, int] | None = None  # when the first update came, and what was done then
        self._note = ""
        self._printed: tuple[int, str] | None = None  # what the last plain line said
        self._bar = None
        if processes.is_first() and sys.stderr.isatty():
            self._bar = tqdm.tqdm(desc=description, total=total, unit=unit, initial=initial, dynamic_ncols=True)

    def update(self, units: int = 1, note: str = "") -> None:
        """Counts `units` more as finished; `note` is shown behind the count (say, the current loss)."""
        self._done += units
        self._note = note or self._note
        now = time.monotonic()
        self._first = self._first or (now, self._done)
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
        elif now - self._last_line >= self._line_seconds:
            self._print_line(now)

    def print(self, line: str) -> None:
        """Prints a line to stdout without tearing the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(line, flush=True)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Ends the bar, or prints the last plain line."""
        if self._bar is not None:
            self._bar.close()
        elif (now := time.monotonic()) - self._start >= WORTH_A_LINE and self._printed != (self._done, self._note):
            self._print_line(now)

    def _print_line(self, now: float) -> None:
        if not processes.is_first():
            return
        self._last_line, self._printed = now, (self._done, self._note)
        seconds = self._last_line - self._start
        rate = (self._done - self._initial) / max(seconds, 1e-9)
        of_total = f"/{self._total}" if self._total is not None else ""
        left = ""
        if self._total is not None and self._first and self._first[1] < self._done < self._total:
            # What came before the first update, a compilation perhaps, does not come again.
            of_one = (self._last_line - self._first[0]) / (self._done - self._first[1])
            left = f", {format_seconds((self._total - self._done) * of_one)} left"
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
    """Yields `items` unchanged and shows the progress of whoever consumes them."""
    with Progress(description, total, unit) as progress:
        for item in items:
            yield item
            progress.update()


def format_seconds(seconds: float) -> str:
    """Seconds as a person reads them: 41s, 3m05s, 2h17m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
