"""Writes Torch7's binary files, as Torch's documentation of `File` describes them."""

import struct

import numpy as np

KINDS = {"u1": "Byte", "i1": "Char", "i2": "Short", "i4": "Int", "i8": "Long", "f4": "Float", "f8": "Double"}


class Storage:
    """A flat row of numbers that several tensors may share."""

    def __init__(self, values):
        self.values = np.ascontiguousarray(values)


class Tensor:
    """A tensor: sizes and strides on a storage, with the first element's place counted from 1."""

    def __init__(self, storage, sizes, strides, first=1, kind=None):
        self.storage, self.sizes, self.strides, self.first = storage, sizes, strides, first
        self.kind = kind or KINDS[storage.values.dtype.str[1:]]


class Raw:
    """Bytes that stand in the file as they are."""

    def __init__(self, data):
        self.data = data


def tensor(values) -> Tensor:
    """A tensor with a storage of its own."""
    values = np.ascontiguousarray(values)
    strides = [stride // values.itemsize for stride in values.strides]
    return Tensor(Storage(values.reshape(-1)), list(values.shape), strides)


def dumps(value) -> bytes:
    """The file: None, bool, int and float (numbers), bytes, list and dict (tables), `Storage`, `Tensor`, `Raw`."""
    return _Writer().value(value)


class _Writer:
    def __init__(self):
        self.numbers = {}
        self.alive = []  # so that no id is used twice

    def value(self, value):
        if isinstance(value, Raw):
            return value.data
        if value is None:
            return _ints(0)
        if isinstance(value, bool):
            return _ints(5, value)
        if isinstance(value, (int, float)):
            return _ints(1) + struct.pack("<d", value)
        if isinstance(value, bytes):
            return _ints(2) + _string(value)
        if isinstance(value, (list, dict)):
            return _ints(3) + self.once(value, self.table)
        kind = KINDS[value.values.dtype.str[1:]] + "Storage" if isinstance(value, Storage) else value.kind + "Tensor"
        head = _string(b"V 1") + _string(b"torch." + kind.encode())
        return _ints(4) + self.once(value, lambda value: head + self.torch(value))

    def once(self, value, write):
        if id(value) in self.numbers:
            return _ints(self.numbers[id(value)])
        self.alive.append(value)
        self.numbers[id(value)] = number = len(self.numbers) + 1
        return _ints(number) + write(value)

    def table(self, value):
        items = list(enumerate(value, start=1)) if isinstance(value, list) else list(value.items())
        return _ints(len(items)) + b"".join(self.value(part) for item in items for part in item)

    def torch(self, value):
        if isinstance(value, Storage):
            return struct.pack("<q", len(value.values)) + value.values.tobytes()
        places = struct.pack(f"<{len(value.sizes) * 2 + 1}q", *value.sizes, *value.strides, value.first)
        return _ints(len(value.sizes)) + places + self.value(value.storage)


def _ints(*values):
    return struct.pack(f"<{len(values)}i", *values)


def _string(data):
    return _ints(len(data)) + data
