"""Damaged records: each is named once, skipped and counted, up to a limit beyond which the command stops."""

import sys
import threading
from pathlib import Path

import tqdm

from adamine_jax.base.errors import UserError

LIMIT = 100
"""Of commands that have no configuration."""


class DamagedRecord(UserError):
    """A record cannot be used.

    Args:
        shard: its file.
        byte: where the record begins in it.
        recipe: the recipe's id, empty where nobody knows it.
        reason: what is wrong.
    """

    def __init__(self, shard: Path, byte: int, recipe: bytes, reason: str):
        self.place, self.reason = (shard, byte), reason
        known = f", recipe {recipe.decode(errors='replace')}" if recipe else ""
        self.line = f"{shard}, byte {byte}{known}: {reason}"
        super().__init__(f"{self.line}; convert the data set again with --overwrite")


class Damage:
    """The damaged records that a command has met; safe to use from several threads.

    Args:
        limit: how many are skipped, `config.data.max_damaged`; 0 = the first one stops the command.
    """

    def __init__(self, limit: int = LIMIT):
        self._limit = limit
        self._places: set[tuple[Path, int]] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many there are, each counted once, however often it was met."""
        return len(self._places)

    def report(self, record: DamagedRecord) -> None:
        """Counts a record and names it on stderr, unless it is known.

        Raises:
            UserError: it is one more than the limit allows.
        """
        with self._lock:
            if record.place in self._places:
                return
            if not self._limit:
                raise record
            if len(self._places) >= self._limit:
                raise UserError(
                    f"{record.line}; {self._limit} other damaged records were skipped before (config.data.max_damaged "
                    "= the most): restore the files from a copy, convert the data set again, or allow more"
                )
            self._places.add(record.place)
            line = f"{record.line}; skipped, damaged record {len(self._places)} of at most {self._limit}"
            tqdm.tqdm.write(line, file=sys.stderr)  # without tearing a bar
            sys.stderr.flush()

    def summary(self) -> str:
        """One line for the end of a command that has met some."""
        records = "1 damaged record was" if self.count == 1 else f"{self.count} damaged records were"
        return f"{records} skipped (named above); convert the data set again with --overwrite"
