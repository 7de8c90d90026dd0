"""Damaged records: each is reported once, skipped and counted, up to a limit at which the command stops."""

import sys
import threading
from pathlib import Path

import tqdm

from adamine_jax.base.errors import UserError, shown

LIMIT = 100
"""Default limit, for commands without a config."""


class DamagedRecord(UserError):
    """A record cannot be used.

    Args:
        shard: The TFRecord file.
        byte: Offset of the record in the file.
        recipe: Id of the recipe; empty if unknown.
        reason: What is wrong with the record.
    """

    def __init__(self, shard: Path, byte: int, recipe: bytes, reason: str):
        self.place, self.reason = (shard, byte), reason
        of_recipe = f", recipe {recipe.decode(errors='replace')}" if recipe else ""
        self.line = f"{shard}, byte {byte}{of_recipe}: {reason}"
        super().__init__(f"{self.line}; convert the data set again with --overwrite")


class Damage:
    """Counts and reports the damaged records that a command encounters. Thread-safe.

    Args:
        limit: Maximum number of records to skip, `config.data.max_damaged`; 0 stops at the first one.
    """

    def __init__(self, limit: int = LIMIT):
        self._limit = limit
        self._places: set[tuple[Path, int]] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Number of distinct damaged records so far."""
        return len(self._places)

    def report(self, record: DamagedRecord) -> None:
        """Counts a record and prints it to stderr, unless it was reported before.

        Raises:
            UserError: The record exceeds the limit.
        """
        with self._lock:
            if record.place in self._places:
                return
            if not self._limit:
                raise record
            if len(self._places) >= self._limit:
                raise UserError(
                    f"{record.line}; {self._limit} other damaged records were skipped before, the limit of "
                    "config.data.max_damaged; restore the files from a copy, convert the data set again with "
                    "--overwrite, or raise the limit"
                )
            self._places.add(record.place)
            line = f"{record.line}; skipped, damaged record {len(self._places)} of at most {self._limit}"
            tqdm.tqdm.write(shown(line), file=sys.stderr)  # keeps a progress bar intact
            sys.stderr.flush()

    def summary(self) -> str:
        """Returns one line for the end of a command that skipped records."""
        records = "1 damaged record was" if self.count == 1 else f"{self.count} damaged records were"
        return f"{records} skipped (listed above); convert the data set again with --overwrite"
