"""Reads the pickles of `data_lmdb`: strings, numbers, lists, arrays, PyTorch's tensors and Pillow's images.

As in `legacy.unpickling`, no code of a pickle is run: names are resolved to stand-ins or refused. All ways in which
PyTorch has pickled tensors are read without PyTorch: a list of numbers (until 0.3), sizes and strides on a storage that
is a list of numbers (until 0.4), or on a storage that is a file of `torch.save` inside the pickle (since 0.4).
"""

import io
import operator
import re
import struct
from typing import Any

import numpy as np
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.recipes import decoding
from data_builders.recipe1m.layers.formatting import shown
from data_builders.recipe1m.legacy import strided, unpickling
from data_builders.recipe1m.legacy.pickle_limits import budget, numbers_in, spend

_KINDS = {**strided.KINDS, "Half": np.dtype("<f2")}
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F")
_FILE_MODULE, _FILE_CLASS = re.compile(r"PIL\.\w+ImagePlugin"), re.compile(r"\w+ImageFile")
# A file of torch.save starts with these two numbers and a dictionary.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001


class _Sealed(type):
    """A class that a pickle can instantiate but not modify."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError("a stand-in cannot be modified")


class _Storage(metaclass=_Sealed):
    """Stand-in for a storage of numbers, subclassed for each kind."""

    __slots__ = ("values",)
    numbers = np.dtype("<f4")

    def __init__(self, values: Any = ()):
        self.values = _from_list(values, self.numbers).reshape(-1)


class _Tensor(unpickling.Array, metaclass=_Sealed):
    """Stand-in for a tensor before PyTorch 0.4, subclassed for each kind."""

    __slots__ = ()
    numbers = np.dtype("<f4")

    def __new__(cls, values: Any = ()):
        made = super().__new__(cls)
        made.values = _from_list(values, cls.numbers)
        return made

    def __init__(self, values: Any = ()):
        pass

    def __setstate__(self, state: tuple) -> None:
        self.values = _on_storage(*state).values


class Picture(metaclass=_Sealed):
    """Stand-in for an image."""

    __slots__ = ("_state",)

    def __setstate__(self, state: list) -> None:
        self._state = state

    def image(self) -> Image.Image:
        """Returns the image; raises a `UserError` if it is damaged, too large, or of an unsupported mode."""
        try:
            _info, mode, size, palette, data = self._state[:5]
            mode, (width, height) = unpickling.text(mode), map(operator.index, size)
            if mode not in _MODES:
                raise ValueError(f"unsupported mode {mode}")
            # Checked before memory is allocated: no mode has more than eight pixels per byte.
            if width * height > min(decoding.MAX_PIXELS, 8 * len(data)) or min(width, height) < 1:
                raise ValueError(f"{width} x {height} pixels do not match {len(data):,} bytes")
            made = Image.frombytes(mode, (width, height), bytes(data))
            if palette:
                made.putpalette(palette)
                made.load()  # applies it
            return made
        except Exception as error:  # the state can be any value
            raise UserError(f"the pickle is not a complete image ({shown(str(error), 200)})") from None


def _from_list(values: Any, numbers: np.dtype) -> np.ndarray:
    if not isinstance(values, (list, tuple)):
        raise ValueError("a tensor is not built from a list of numbers")
    spend(numbers_in(values) * numbers.itemsize)
    return np.asarray(values, numbers)


def _on_storage(storage: Any, offset: int, sizes: tuple, strides: tuple, *_: Any) -> unpickling.Array:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    made = unpickling.Array()
    made.values = strided.view(storage.values, offset, sizes, strides)
    return made


class _StorageUnpickler(unpickling.Unpickler):
    """Reads the storage in a file of torch.save; its numbers follow the pickles."""

    def persistent_load(self, identity: Any, /) -> _Storage:
        kind, storage, self.key, _device, self.size, *view = identity
        if unpickling.text(kind) != "storage" or storage not in _STORAGES.values() or view not in ([], [None]):
            raise ValueError("a storage is a view of another one")
        return storage()


def _load_from_bytes(data: Any) -> _Storage:
    """Reads the storage in a file of torch.save, whose format PyTorch still uses inside pickles."""
    spend(len(data))
    file = io.BytesIO(data)
    magic, version, system = (unpickling.Unpickler(file).load() for _ in range(3))
    if magic != _MAGIC or version != _VERSION or system.get("little_endian") is not True:
        raise ValueError("a storage is not in the format of torch.save")
    reader = _StorageUnpickler(file, encoding="bytes")
    storage = reader.load()
    keys = unpickling.Unpickler(file).load()
    if not isinstance(storage, _Storage) or keys != [reader.key]:
        raise ValueError("a storage is not the only value of its file")
    (size,) = struct.unpack("<q", file.read(8))
    numbers = file.read()
    if size != reader.size or len(numbers) != size * storage.numbers.itemsize:
        raise ValueError(f"a storage of {reader.size} numbers has {len(numbers):,} bytes")
    storage.values = np.frombuffer(numbers, storage.numbers)
    return storage


def _kinds(base: type) -> dict[tuple[str, str], type]:
    """Returns a subclass of a stand-in for each kind of numbers, by its name in PyTorch."""
    names = {kind: f"{kind}{base.__name__.removeprefix('_')}" for kind in _KINDS}
    return {
        ("torch", name): _Sealed(name, (base,), {"__slots__": (), "numbers": _KINDS[kind]})
        for kind, name in names.items()
    }


_STORAGES = _kinds(_Storage)
_StorageUnpickler.stand_ins = _STORAGES
_STAND_INS = {
    **unpickling.STAND_INS,
    **_STORAGES,
    **_kinds(_Tensor),
    ("torch._utils", "_rebuild_tensor"): unpickling.StandIn(_on_storage),
    ("torch._utils", "_rebuild_tensor_v2"): unpickling.StandIn(_on_storage),
    ("torch.storage", "_load_from_bytes"): unpickling.StandIn(_load_from_bytes),
    ("PIL.Image", "Image"): Picture,
}


class _Unpickler(unpickling.Unpickler):
    stand_ins = _STAND_INS

    def find_class(self, module: str, name: str) -> Any:
        if _FILE_MODULE.fullmatch(module) and _FILE_CLASS.fullmatch(name):
            return Picture
        return super().find_class(module, name)


def loads(data: bytes) -> Any:
    """Reads a pickle; returns arrays and tensors as `unpickling.Array`, and images as `Picture`."""
    try:
        with budget(len(data)):
            return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can raise errors of any type
        raise UserError(f"the pickle cannot be read ({shown(f'{type(error).__name__}: {error}', 200)})") from None


def picture(data: bytes) -> Image.Image:
    """Reads the image in a pickle; raises a `UserError` if it is damaged or something else."""
    value = loads(data)
    if not isinstance(value, Picture):
        raise UserError("the pickle is not an image")
    return value.image()


def integer(value: Any) -> int:
    """Returns a number, or the only one of a list, array or tensor; raises a `ValueError` if it is not an integer."""
    numbers = integers([value] if isinstance(value, (int, float)) else value)
    if len(numbers) != 1:
        raise ValueError(f"{len(numbers)} numbers instead of one")
    return numbers[0]


def integers(value: Any) -> list[int]:
    """Returns the numbers of a list, array or tensor; raises a `ValueError` if one is not an integer."""
    numbers = value.values.reshape(-1).tolist() if isinstance(value, unpickling.Array) else value
    if not isinstance(numbers, (list, tuple)):
        raise ValueError(f"{type(numbers).__name__} instead of numbers")
    if not all(isinstance(number, (int, float)) and number == number // 1 for number in numbers):
        raise ValueError("a value is not an integer")
    return [int(number) for number in numbers]
