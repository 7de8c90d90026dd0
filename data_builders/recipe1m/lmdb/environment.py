"""Reads an LMDB environment of `data_lmdb`, which maps pickled numbers to pickled values."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import how_to_get
from data_builders.recipe1m.legacy import unpickling
from data_builders.recipe1m.lmdb import pickles as lmdb_pickles
from data_builders.recipe1m.lmdb.pages import check_pages


class BadValueError(Exception):
    """A record is missing or malformed; the message is the reason."""


def environment_file(folder: Path, name: str) -> Path:
    """Returns the data file of an environment, which is that file or a folder with `data.mdb`."""
    path = folder / f"{name}.lmdb"
    file = path / "data.mdb" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file} is missing")
    return file


class Environment:
    """A memory-mapped database of numbers and pickles.

    Args:
        folder: Folder of the partition.
        name: Name of the environment without `.lmdb`.

    Raises:
        UserError: The database is missing or damaged, or the package `lmdb` is not installed.
    """

    def __init__(self, folder: Path, name: str):
        try:
            import lmdb
        except ImportError:
            raise UserError(f"data_lmdb {how_to_get('lmdb')}") from None
        self._path, self._name, self._failure = environment_file(folder, name), name, lmdb.Error
        check_pages(self._path)
        try:
            self._environment = lmdb.open(os.fspath(self._path), subdir=False, readonly=True, lock=False, create=False)
        except lmdb.Error as error:
            raise UserError(f"{self._path}: cannot be opened ({error})") from None
        try:
            self._entries = self._environment.stat()["entries"]
            self._transaction = self._environment.begin()
            self._protocol = self._find_protocol() if self._entries else pickle.DEFAULT_PROTOCOL
        except BaseException:
            self._environment.close()
            raise

    def __len__(self) -> int:
        return self._entries

    def pickled(self, number: int) -> bytes:
        """Returns the pickle of a record; raises a `BadValueError` if it is missing."""
        # The pickle of a damaged number can be longer than LMDB's keys.
        value = self._get(number, self._protocol) if number.bit_length() < 64 else None
        if value is None:
            raise BadValueError(f"{self._name}: a record is missing")
        return value

    def value(self, number: int) -> Any:
        """Returns the value of a record; raises a `BadValueError` if it is missing or cannot be read."""
        data = self.pickled(number)
        try:
            return lmdb_pickles.loads(data)
        except UserError as error:
            raise BadValueError(f"{self._name}: {error}") from None

    def integer(self, number: int, minimum: int) -> int:
        """Returns the value of a record as an integer of at least `minimum`."""
        found = self._converted(lmdb_pickles.integer, number)
        if found < minimum:
            raise BadValueError(f"{self._name}: a number below {minimum}")
        return found

    def integers(self, number: int) -> list[int]:
        """Returns the value of a record as integers."""
        return self._converted(lmdb_pickles.integers, number)

    def text(self, number: int) -> str:
        """Returns the value of a record as a string that can be encoded as UTF-8."""
        return self._converted(unpickling.text, number)

    def close(self) -> None:
        self._environment.close()

    def _converted(self, convert: Callable, number: int) -> Any:
        value = self.value(number)
        try:
            return convert(value)
        except (TypeError, ValueError) as error:
            raise BadValueError(f"{self._name}: {error}") from None

    def _find_protocol(self) -> int:
        """Returns the pickle protocol of the keys, which depends on the Python version that wrote them."""
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            if self._get(0, protocol) is not None:
                return protocol
        raise UserError(
            f"{self._path}: no record has the pickled number 0 as its key; this is not a database of data_lmdb"
        )

    def _get(self, number: int, protocol: int) -> bytes | None:
        try:
            return self._transaction.get(pickle.dumps(number, protocol))
        except self._failure as error:
            raise UserError(f"{self._path} is damaged ({error})") from None
