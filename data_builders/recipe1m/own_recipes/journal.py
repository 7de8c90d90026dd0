"""Reads many files on all cores, and remembers the slow results so that an interrupted import continues."""

import contextlib
import itertools
import os
import pickle
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import adamine_jax
from adamine_jax.base.errors import UserError
from data_builders.recipe1m.workers import Workers

R = TypeVar("R")

# Number of files from which starting processes is worthwhile: each takes a second to import what it needs.
_MANY = 100
# Everything else is read faster than it is looked up, or has photos that are unpacked again.
_REMEMBERED = (".html", ".htm", ".xhtml")


def parallel_map(processes: int, folder: Path) -> Callable[[Callable[[Path], R], Iterable[Path]], Iterator[R]]:
    """Returns a map over files that starts up to `processes` processes if there are many; see `Workers`."""

    def mapped(function: Callable[[Path], R], files: Iterable[Path]) -> Iterator[R]:
        files = iter(files)
        first = list(itertools.islice(files, _MANY))
        with Workers(processes if len(first) == _MANY else 1, folder) as workers:
            yield from workers.map(function, itertools.chain(first, files))

    return mapped


class Journal:
    """Results for files, kept on disk until the import ends; a result counts as long as its file is unchanged.

    Args:
        path: File of the journal. What a killed process has not written completely is ignored.
        format_name: Format of the files, of which the results are.

    Raises:
        UserError: The file is that of another user, who might have put code into it.
    """

    def __init__(self, path: Path, format_name: str):
        self._lock, self._format = threading.Lock(), format_name
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "a+b")
        if os.fstat(descriptor).st_uid != os.getuid():
            self._file.close()
            raise UserError(f"{path}: belongs to another user; delete it, or choose another --out")
        self._file.seek(0)
        self._known: dict[tuple, Any] = {}
        end = 0
        with contextlib.suppress(Exception):  # pickle raises almost anything for an incomplete record
            while True:
                key, result = pickle.load(self._file)
                self._known[key], end = result, self._file.tell()
        self._file.truncate(end)

    def call(self, function: Callable[[str], R], file: str) -> R:
        """Returns function(file), or its remembered result."""
        key = self._key(file)
        return self._known[key] if key in self._known else self._added(key, function(file))

    def map(self, mapped: Callable, function: Callable[[Path], R], files: Iterable[Path]) -> Iterator[R]:
        """Yields function(file) for each file in order; `mapped` computes the results that are not remembered."""
        keys = {file: self._page_key(file) if file.suffix.lower() in _REMEMBERED else None for file in files}
        computed = iter(mapped(function, (file for file, key in keys.items() if key not in self._known)))
        for key in keys.values():
            if key in self._known:
                yield self._known[key]
            else:
                result = next(computed)
                yield self._added(key, result) if key else result

    def _added(self, key: tuple, result: R) -> R:
        with self._lock:
            self._known[key] = result
            pickle.dump((key, result), self._file)
            self._file.flush()
        return result

    def close(self) -> None:
        self._file.close()

    def _key(self, file: str | Path) -> tuple:
        state = os.stat(file)
        return adamine_jax.__version__, self._format, os.path.abspath(file), state.st_size, state.st_mtime_ns

    def _page_key(self, page: Path) -> tuple:
        return *self._key(page), page.parent.stat().st_mtime_ns  # photos of a page are looked up in its folder


@contextlib.contextmanager
def open_journal(path: Path, format_name: str) -> Generator[Journal]:
    """Opens a journal that is deleted at the end of the block, unless the user interrupts it."""
    journal = Journal(path, format_name)
    try:
        yield journal
    except KeyboardInterrupt:
        print("the next import to the same --out continues", file=sys.stderr)
        raise
    except BaseException:
        path.unlink()
        raise
    else:
        path.unlink()
    finally:
        journal.close()
