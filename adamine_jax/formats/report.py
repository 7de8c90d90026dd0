"""What readers report to: unreadable input and left-out records."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from adamine_jax.base.errors import UserError


class Report(Protocol):
    """Receives what a reader leaves out.

    Attributes:
        unpacked: Folder to write the photos of archives to; None = they are not needed.
    """

    unpacked: Path | None

    def broken(self, where: str, what: str) -> None:
        """Reports unreadable input: a file, line or row. May raise a `UserError`; otherwise the reader goes on."""

    def drop(self, where: str, reason: str, what: str = "") -> None:
        """Reports a record that is left out."""

    def no_recipe(self, name: str) -> None:
        """Reports a file without a recipe."""


class StrictReport:
    """A report for queries: whatever is left out is an error."""

    unpacked: Path | None = None

    def _say(self, text: str) -> object:
        raise UserError(text)

    def broken(self, where: str, what: str) -> None:
        self._say(f"{where}: {what}")

    def drop(self, where: str, reason: str, what: str = "") -> None:
        self._say(f"{where}: {reason}{f' ({what})' if what else ''}")

    def no_recipe(self, name: str) -> None:
        self._say(f"{name}: contains no recipe")


class RecordedReport:
    """A report of another process, to be repeated to the one of this process.

    Attributes:
        calls: Name and arguments of each call.
    """

    def __init__(self, unpacked: Path | None):
        self.unpacked, self.calls = unpacked, []

    def broken(self, where: str, what: str) -> None:
        self.calls.append(("broken", (where, what)))

    def drop(self, where: str, reason: str, what: str = "") -> None:
        self.calls.append(("drop", (where, reason, what)))

    def no_recipe(self, name: str) -> None:
        self.calls.append(("no_recipe", (name,)))

    def repeat(self, report: Report) -> None:
        """Makes the same calls to another report."""
        for name, arguments in self.calls:
            getattr(report, name)(*arguments)


class SkippingReport(StrictReport):
    """A report for folders: `say` receives a line about whatever is skipped."""

    def __init__(self, say: Callable[[str], object]):
        self._say = lambda text: say(f"{text}; skipped")
