"""One LMDB environment of pickles, as `data_lmdb` has them: pickled number -> pickled value."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import how_to_get
from data_builders.recipe1m.legacy import vocabulary as legacy
from data_builders.recipe1m.lmdb import pickles as lmdb_pickles
from data_builders.recipe1m.lmdb.pages import check_pages


class BadValueError(Exception):
    """A record is missing, or is not what it should be; the message says why."""


def environment_file(folder: Path, name: str) -> Path:
    """The file with the records of an environment, which is that file or a folder around it.

    Raises:
        UserError: it is not there.
    """
    path = folder / f"{name}.lmdb"
    file = path / "data.mdb" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file} is missing")
    return file


class Environment:
    """One database: number -> pickle. It is read where it lies, and only what is asked for.

    Args:
        folder: of the partition.
        name: without `.lmdb`.

    Raises:
        UserError: it is missing, cut off or damaged, is no such database, or the package `lmdb` is not installed.
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
        """The pickle of a record.

        Raises:
            BadValueError: there is none.
            UserError: the database is damaged.
        """
        # Of a damaged number more digits may come than a key can have.
        value = self._at(number, self._protocol) if number.bit_length() < 64 else None
        if value is None:
            raise BadValueError(f"{self._name}: a record is missing")
        return value

    def value(self, number: int) -> Any:
        """What a record holds; see `lmdb_pickles.loads`.

        Raises:
            BadValueError: there is none, or it cannot be read.
        """
        data = self.pickled(number)
        try:
            return lmdb_pickles.loads(data)
        except UserError as error:
            raise BadValueError(f"{self._name}: {error}") from None

    def whole(self, number: int, least: int) -> int:
        """The same as one whole number, not less than `least`."""
        found = self._converted(lmdb_pickles.whole, number)
        if found < least:
            raise BadValueError(f"{self._name}: a number below {least}")
        return found

    def wholes(self, number: int) -> list[int]:
        """The same as whole numbers."""
        return self._converted(lmdb_pickles.wholes, number)

    def text(self, number: int) -> str:
        """The same as text, that can be stored as UTF-8."""
        return self._converted(legacy.text, number)

    def close(self) -> None:
        """Closes it."""
        self._environment.close()

    def _converted(self, convert: Callable, number: int) -> Any:
        value = self.value(number)
        try:
            return convert(value)
        except (TypeError, ValueError) as error:
            raise BadValueError(f"{self._name}: {error}") from None

    def _find_protocol(self) -> int:
        """The pickle protocol of the keys, which depends on the Python that wrote them."""
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            if self._at(0, protocol) is not None:
                return protocol
        raise UserError(f"{self._path}: has no record under the pickled number 0; is it of data_lmdb?")

    def _at(self, number: int, protocol: int) -> bytes | None:
        try:
            return self._transaction.get(pickle.dumps(number, protocol))
        except self._failure as error:
            raise UserError(f"{self._path}: is damaged ({error})") from None
