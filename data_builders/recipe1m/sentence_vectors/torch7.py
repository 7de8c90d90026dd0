"""Reads numbers, strings, tables and tensors of Torch7's binary files (`.t7`) without running any code.

The files are little-endian, as written by 64-bit Linux: an int has 4 bytes, a long and a double have 8. A value is an
int for its type followed by its content. The content of tables and Torch objects starts with a number by which later
values refer to the same object.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.legacy import strided

_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN = range(6)
_FUNCTIONS = (6, 7, 8)
_INT, _LONG, _DOUBLE = struct.Struct("<i"), struct.Struct("<q"), struct.Struct("<d")
_STORAGES = {f"torch.{kind}Storage": kind for kind in strided.KINDS}
_TENSORS = {f"torch.{kind}Tensor": kind for kind in strided.KINDS}
_MAX_DEPTH = 100
_NAME_CHARS = 80


def load(path: Path) -> Any:
    """Reads the value of a file.

    Returns:
        None for nil, floats, bools, bytes for strings, dictionaries for tables (integral keys become ints, so that a
        list has the keys 1, 2, ...), and read-only memory-mapped arrays for tensors and storages.

    Raises:
        UserError: The file is missing, truncated or malformed, or contains a function or an object of another class.
            The message names the byte.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{path} is empty") from None
    return _Reader(path, data).value()


class _Reader:
    """Reads values sequentially. `_objects` has the class name (or "table") and value of each numbered object."""

    def __init__(self, path: Path, data: mmap.mmap):
        self._path, self._data, self._position, self._depth = path, data, 0, 0
        self._objects: dict[int, tuple[str, Any]] = {}

    def value(self) -> Any:
        start = self._position
        kind = self._int()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            return self._one(_DOUBLE)
        if kind == _STRING:
            return self._string()
        if kind == _BOOLEAN:
            return self._int() == 1
        if kind in (_TABLE, _TORCH):
            return self._object(kind, start)[1]
        if kind in _FUNCTIONS:
            raise self._error(start, "a Lua function, which is refused; none of its code was run")
        raise self._error(start, f"a value of type {kind}, which Torch7 does not have; is this a binary .t7 file?")

    def _object(self, kind: int, start: int) -> tuple[str, Any]:
        """Reads a table or a Torch object, or a reference to an earlier one; returns its class name and value."""
        number = self._int()
        if number in self._objects:
            return self._objects[number]
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(start, f"values are nested more than {_MAX_DEPTH} levels deep")
        if kind == _TABLE:
            table: dict[Any, Any] = {}
            self._objects[number] = ("table", table)  # registered first: its content may refer to it
            self._fill(table)
        else:
            name = self._class_name()
            if name in _STORAGES:
                content = self._storage(strided.KINDS[_STORAGES[name]])
            elif name in _TENSORS:
                content = self._tensor(_TENSORS[name], start)
            else:
                raise self._error(start, f"an object of class {name}, which is refused")
            self._objects[number] = (name, content)
        self._depth -= 1
        return self._objects[number]

    def _fill(self, table: dict[Any, Any]) -> None:
        for _ in range(self._length(self._int())):
            start = self._position
            key = self.value()
            if isinstance(key, bool) or not isinstance(key, (float, bytes)):
                raise self._error(start, "a table key that is neither a number nor a string")
            table[int(key) if isinstance(key, float) and key.is_integer() else key] = self.value()

    def _class_name(self) -> str:
        name = self._string()
        if name.startswith(b"V "):  # the oldest files have no version before the name
            name = self._string()
        return "".join(char for char in name[:_NAME_CHARS].decode(errors="replace") if char.isprintable())

    def _storage(self, numbers: np.dtype) -> np.ndarray:
        size = self._length(self._one(_LONG))
        start = self._take(size * numbers.itemsize)
        return np.frombuffer(self._data, numbers, size, start) if size else np.empty(0, numbers)

    def _tensor(self, kind: str, start: int) -> np.ndarray:
        dimensions = self._length(self._int())
        starts = [self._take(_LONG.size * dimensions) for _ in ("sizes", "strides")]
        sizes, strides = (np.frombuffer(self._data, "<i8", dimensions, at).tolist() for at in starts)
        offset = self._one(_LONG) - 1
        storage_start = self._position
        storage_kind = self._int()
        if storage_kind not in (_NIL, _TORCH):
            raise self._error(storage_start, "the storage of a tensor is of another type")
        name, storage = "", np.empty(0, strided.KINDS[kind])
        if storage_kind == _TORCH:
            name, storage = self._object(_TORCH, storage_start)
        if name and _STORAGES.get(name) != kind:
            raise self._error(storage_start, f"the storage of a torch.{kind}Tensor is a {name}")
        if not sizes:
            return np.empty(0, strided.KINDS[kind])
        try:
            return strided.view(storage, offset, sizes, strides)
        except ValueError as error:
            raise self._error(start, str(error)) from None

    def _string(self) -> bytes:
        length = self._length(self._int())
        start = self._take(length)
        return self._data[start : start + length]

    def _length(self, number: int) -> int:
        if number < 0:
            raise self._error(self._position, f"a length of {number}")
        return number

    def _int(self) -> int:
        return self._one(_INT)

    def _one(self, form: struct.Struct) -> Any:
        return form.unpack_from(self._data, self._take(form.size))[0]

    def _take(self, length: int) -> int:
        """Advances by `length` bytes and returns their start."""
        start = self._position
        if length > len(self._data) - start:
            raise self._error(start, f"truncated: expected {length:,} more bytes, found {len(self._data) - start:,}")
        self._position = start + length
        return start

    def _error(self, byte: int, what: str) -> UserError:
        return UserError(f"{self._path}, byte {byte}: {what}")
