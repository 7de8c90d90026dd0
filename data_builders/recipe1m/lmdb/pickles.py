"""Reads the pickles of `data_lmdb`: texts, numbers, lists, arrays, PyTorch's tensors and Pillow's images.

As in `legacy`, nothing of a pickle is run: names are answered by stand-ins of our own or refused. PyTorch has pickled
tensors in several ways, all of which are read without it: as a list of numbers (until 0.3), as sizes and strides on a
storage that is a list of numbers (until 0.4), and on one that is a small file of its own inside the pickle (since).
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
from data_builders.recipe1m.layers.markup import shown
from data_builders.recipe1m.legacy import strided
from data_builders.recipe1m.legacy import vocabulary as legacy
from data_builders.recipe1m.legacy.pickle_limits import numbers_in, room, spend

_KINDS = {
    "Float": "<f4",
    "Double": "<f8",
    "Half": "<f2",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "i1",
    "Byte": "u1",
}
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F")
_FILE_MODULE, _FILE_CLASS = re.compile(r"PIL\.\w+ImagePlugin"), re.compile(r"\w+ImageFile")
# What a file of torch.save begins with: these two numbers, and a dictionary.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001


class _Sealed(type):
    """A class that a pickle can make instances of and cannot change."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError("a stand-in cannot be changed")


class _Storage(metaclass=_Sealed):
    """Takes the place of a storage of numbers; each kind is a class of its own."""

    __slots__ = ("values",)
    numbers = np.dtype("<f4")

    def __init__(self, values: Any = ()):
        self.values = _listed(values, self.numbers).reshape(-1)


class _Tensor(legacy.Array, metaclass=_Sealed):
    """Takes the place of a tensor from before PyTorch 0.4, when each kind had a class."""

    __slots__ = ()
    numbers = np.dtype("<f4")

    def __new__(cls, values: Any = ()):
        made = super().__new__(cls)
        made.values = _listed(values, cls.numbers)
        return made

    def __init__(self, values: Any = ()):
        pass

    def __setstate__(self, state: tuple) -> None:
        self.values = _on_storage(*state).values


class Picture(metaclass=_Sealed):
    """Takes the place of an image while its pickle is read."""

    __slots__ = ("_state",)

    def __setstate__(self, state: list) -> None:
        self._state = state

    def image(self) -> Image.Image:
        """The image.

        Raises:
            UserError: it is none, of a mode that photos do not have, or too large.
        """
        try:
            _info, mode, size, palette, data = self._state[:5]
            mode, (width, height) = legacy.text(mode), map(operator.index, size)
            if mode not in _MODES:
                raise ValueError(f"its mode is {mode}")
            # Before memory is taken: no mode has more than eight pixels a byte.
            if width * height > min(decoding.MAX_PIXELS, 8 * len(data)) or min(width, height) < 1:
                raise ValueError(f"{width} x {height} pixels do not go with {len(data):,} bytes")
            made = Image.frombytes(mode, (width, height), bytes(data))
            if palette:
                made.putpalette(palette)
                made.load()  # applies it
            return made
        except Exception as error:  # its state may be anything at all
            raise UserError(f"the pickle is no whole image ({shown(str(error), 200)})") from None


def _listed(values: Any, numbers: np.dtype) -> np.ndarray:
    if not isinstance(values, (list, tuple)):
        raise ValueError("a tensor is not made of a list of numbers")
    spend(numbers_in(values) * numbers.itemsize)
    return np.asarray(values, numbers)


def _on_storage(storage: Any, offset: int, sizes: tuple, strides: tuple, *_: Any) -> legacy.Array:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without a storage")
    made = legacy.Array()
    made.values = strided.view(storage.values, offset, sizes, strides)
    return made


class _StorageUnpickler(legacy.Unpickler):
    """Reads the one value of a file of torch.save: a storage, whose numbers follow behind the pickles."""

    def persistent_load(self, identity: Any, /) -> _Storage:
        kind, storage, self.key, _device, self.size, *view = identity
        if legacy.text(kind) != "storage" or storage not in _STORAGES.values() or view not in ([], [None]):
            raise ValueError("a storage is a part of another one")
        return storage()


def _load_from_bytes(data: Any) -> _Storage:
    """The storage in a file of torch.save, as it was before PyTorch 1.6 and still is inside a pickle."""
    spend(len(data))
    file = io.BytesIO(data)
    magic, version, system = (legacy.Unpickler(file).load() for _ in range(3))
    if magic != _MAGIC or version != _VERSION or system.get("little_endian") is not True:
        raise ValueError("a storage is not as torch.save writes it")
    reader = _StorageUnpickler(file, encoding="bytes")
    storage = reader.load()
    keys = legacy.Unpickler(file).load()
    if not isinstance(storage, _Storage) or keys != [reader.key]:
        raise ValueError("a storage is not alone in its file")
    (size,) = struct.unpack("<q", file.read(8))
    rest = file.read()
    if size != reader.size or len(rest) != size * storage.numbers.itemsize:
        raise ValueError(f"a storage of {reader.size} numbers has {len(rest):,} bytes")
    storage.values = np.frombuffer(rest, storage.numbers)
    return storage


def _kinds(base: type) -> dict[str, type]:
    """A class for each kind of numbers."""
    name = base.__name__.removeprefix("_")
    return {
        f"{kind}{name}": _Sealed(f"{kind}{name}", (base,), {"__slots__": (), "numbers": np.dtype(code)})
        for kind, code in _KINDS.items()
    }


_STORAGES = {("torch", name): kind for name, kind in _kinds(_Storage).items()}
_StorageUnpickler.stand_ins = _STORAGES
_STAND_INS = {
    **legacy.STAND_INS,
    **_STORAGES,
    **{("torch", name): kind for name, kind in _kinds(_Tensor).items()},
    ("torch._utils", "_rebuild_tensor"): legacy.StandIn(_on_storage),
    ("torch._utils", "_rebuild_tensor_v2"): legacy.StandIn(_on_storage),
    ("torch.storage", "_load_from_bytes"): legacy.StandIn(_load_from_bytes),
    ("PIL.Image", "Image"): Picture,
}


class _Unpickler(legacy.Unpickler):
    stand_ins = _STAND_INS

    def find_class(self, module: str, name: str) -> Any:
        if _FILE_MODULE.fullmatch(module) and _FILE_CLASS.fullmatch(name):
            return Picture
        return super().find_class(module, name)


def loads(data: bytes) -> Any:
    """Reads a pickle; arrays and tensors are to be taken out with `legacy.array`, images are a `Picture`.

    Raises:
        UserError: it asks for anything else, or is damaged.
    """
    try:
        with room(len(data)):
            return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its instructions lead to, of many types
        raise UserError(f"the pickle cannot be read ({shown(f'{type(error).__name__}: {error}', 200)})") from None


def picture(data: bytes) -> Image.Image:
    """The image in a pickle.

    Raises:
        UserError: see `loads` and `Picture.image`; or it is something else.
    """
    value = loads(data)
    if not isinstance(value, Picture):
        raise UserError("the pickle is no image")
    return value.image()


def whole(value: Any) -> int:
    """A whole number, as which arrays and tensors of one count.

    Raises:
        ValueError: it is none.
    """
    numbers = wholes([value] if isinstance(value, (int, float)) else value)
    if len(numbers) != 1:
        raise ValueError(f"{len(numbers)} numbers in place of one")
    return numbers[0]


def wholes(value: Any) -> list[int]:
    """Whole numbers: of a list, an array or a tensor.

    Raises:
        ValueError: it is none, or some are not whole.
    """
    numbers = value.values.reshape(-1).tolist() if isinstance(value, legacy.Array) else value
    if not isinstance(numbers, (list, tuple)):
        raise ValueError(f"{type(numbers).__name__} in place of numbers")
    if not all(isinstance(number, (int, float)) and number == number // 1 for number in numbers):
        raise ValueError("something in place of a whole number")
    return [int(number) for number in numbers]
