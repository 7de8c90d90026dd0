"""Pickles as PyTorch, of several ages, writes them; without PyTorch."""

import io
import pickle
import struct
from typing import ClassVar

import numpy as np

KINDS = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char"}
KINDS["u1"] = "Byte"
# How a tensor is pickled: as a list, by its state, or on a storage that is a list or a file of torch.save.
FORMS = ("list", "state", "rebuild", "rebuild_v2", "bytes")


class Name:
    """A name that the pickle asks for."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("it only stands for the name")


class Call:
    """The value of calling a name."""

    def __init__(self, module, name, *args):
        self.reduced = Name(module, name), args

    def __reduce__(self):
        return self.reduced


class New:
    """An object made without a call, and its state."""

    def __init__(self, module, name, state):
        self.of, self.state = Name(module, name), state


class Outside:
    """Something the pickle refers to by a name of its own."""

    def __init__(self, identity):
        self.identity = identity


class _Pickler(pickle._Pickler):
    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_name(self, value):
        if self.proto >= 4:
            self.save(value.module)
            self.save(value.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())

    def save_new(self, value):
        self.save(value.of)
        self.write(pickle.EMPTY_TUPLE + pickle.NEWOBJ)
        self.save(value.state)
        self.write(pickle.BUILD)

    dispatch[Name] = save_name
    dispatch[New] = save_new

    def persistent_id(self, value):
        return value.identity if isinstance(value, Outside) else None


def dumps(value, protocol=3) -> bytes:
    """A pickle of values that may hold `Name`, `Call`, `New` and `Outside`."""
    file = io.BytesIO()
    _Pickler(file, protocol).dump(value)
    return file.getvalue()


def tensor(values, form):
    """A tensor in one of `FORMS`."""
    values = np.ascontiguousarray(values)
    kind = KINDS[values.dtype.str[1:]]
    if form == "list":
        return Call("torch", f"{kind}Tensor", values.tolist())
    flat, strides = values.reshape(-1), tuple(stride // values.itemsize for stride in values.strides)
    file = form == "bytes"
    storage = saved(flat) if file else Call("torch", f"{kind}Storage", flat.tolist())
    place = (storage, 0, values.shape, strides)
    if form == "state":
        return New("torch", f"{kind}Tensor", place)
    if form == "rebuild":
        return Call("torch._utils", "_rebuild_tensor", *place)
    return Call("torch._utils", "_rebuild_tensor_v2", *place, False, Call("collections", "OrderedDict"))


def saved(flat, **changes):
    """A storage as a file of torch.save inside the pickle; `changes` damage the file."""
    return Call("torch.storage", "_load_from_bytes", save_file(flat, **changes))


def save_file(flat, **changes):
    """What torch.save wrote before it wrote zip files: five pickles, the number of numbers, and they."""
    size = changes.get("size", len(flat))
    kind = changes.get("kind", Name("torch", f"{KINDS[flat.dtype.str[1:]]}Storage"))
    version = changes.get("version", 1001)
    pickles = [
        changes.get("magic", 0x1950A86A20F9469CFC6C),
        version,
        {"protocol_version": version, "little_endian": changes.get("little", True)},
        changes.get("value", Outside(("storage", kind, "94", "cpu", size, *changes.get("view", (None,))))),
        changes.get("keys", ["94"]),
    ]
    numbers = struct.pack("<q", changes.get("stored", size)) + flat.tobytes() + changes.get("more", b"")
    return b"".join(dumps(part, 2) for part in pickles) + numbers
