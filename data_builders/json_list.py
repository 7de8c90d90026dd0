"""Writes JSON lists record by record."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class JsonList(contextlib.AbstractContextManager):
    """A new file that contains a JSON list, one record per line."""

    def __init__(self, path: Path):
        self._path, self._separator = path, "[\n"

    def __enter__(self) -> "JsonList":
        self._file = self._path.open("w", encoding="utf-8", newline="\n")
        return self

    def extend(self, records: Iterable[str]) -> None:
        """Appends records that are already encoded as JSON."""
        for record in records:
            self._file.write(self._separator + record)
            self._separator = ",\n"

    def __exit__(self, *_: Any) -> None:
        self._file.write("[]\n" if self._separator == "[\n" else "\n]\n")
        self._file.close()
