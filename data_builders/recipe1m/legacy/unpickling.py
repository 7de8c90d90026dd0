"""Reads the published pickles without running their code.

A pickle is a program that calls functions by name. Here, a short list of names is resolved to stand-ins, which rebuild
containers and numeric arrays; every other name is refused. `lmdb.pickles` adds stand-ins for tensors and images.
"""

import io
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.layers.fields import storable
from data_builders.recipe1m.layers.formatting import shown
from data_builders.recipe1m.legacy.pickle_limits import budget, check_instructions, numbers_in, spend


class Array:
    """Stand-in for a NumPy array."""

    __slots__ = ("values",)

    def __init__(self):
        self.values = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, fortran, data = state
        self.values = _numbers(data, dtype, shape, "F" if fortran else "C")


class _DType:
    """Stand-in for a NumPy dtype of numbers or strings."""

    __slots__ = ("numbers",)

    def __init__(self, code: str | bytes):
        text = code.decode("ascii") if isinstance(code, bytes) else code
        self.numbers = np.dtype(text)
        if self.numbers.kind not in "biufSU":
            raise ValueError(f"{text} is not a dtype of numbers or strings")

    def __setstate__(self, state: tuple) -> None:
        order: Any = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.numbers = self.numbers.newbyteorder(order)


class StandIn:
    """A function that a pickle can call but not modify."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable):
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a stand-in cannot be modified")


def _numbers(data: Any, dtype: _DType, shape: tuple[int, ...], order: Any) -> np.ndarray:
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError("the data of an array are not bytes")
    if dtype.numbers.kind in "SU":
        raise ValueError("an array does not contain numbers")
    spend(len(data))
    return np.frombuffer(data, dtype.numbers).reshape(shape, order=order).copy()


def _scalar(dtype: _DType, data: Any) -> Any:
    if dtype.numbers.kind in "SU":
        spend(len(data))
        return np.frombuffer(data, dtype.numbers, 1)[0].item()
    return _numbers(data, dtype, (), "C").item()


def _from_buffer(data: Any, dtype: _DType, shape: tuple[int, ...], order: Any) -> Array:
    array = Array()
    array.values = _numbers(data, dtype, shape, order)
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes are encoded as {shown(str(encoding))}")
    spend(len(text))
    return text.encode("latin-1")


def _dictionary(items: Any = ()) -> dict:
    spend(8 * len(items))
    return dict(items)


def _either_core(module: str, name: str, call: Callable) -> dict[tuple[str, str], StandIn]:
    """Covers both names of a module: NumPy 2 renamed numpy.core to numpy._core."""
    return {(f"numpy.{core}.{module}", name): StandIn(call) for core in ("core", "_core")}


STAND_INS = {
    **_either_core("multiarray", "_reconstruct", lambda *_: Array()),
    **_either_core("multiarray", "scalar", _scalar),
    **_either_core("numeric", "_frombuffer", _from_buffer),
    ("numpy", "ndarray"): None,  # an argument of `_reconstruct`, which ignores it
    ("numpy", "dtype"): StandIn(lambda code, *_: _DType(code)),
    ("_codecs", "encode"): StandIn(_encode),
    ("collections", "OrderedDict"): StandIn(_dictionary),
}


class Unpickler(pickle.Unpickler):
    """Resolves names to `stand_ins`, by (module, name), and refuses all others; see also `check_instructions`."""

    stand_ins: Mapping[tuple[str, str], Any] = STAND_INS

    def __init__(self, file: io.BytesIO, **options: Any):
        check_instructions(file.getvalue(), file.tell())
        super().__init__(file, **options)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.stand_ins:
            raise UserError(f"the pickle calls {shown(f'{module}.{name}')}, which is refused; none of its code was run")
        return self.stand_ins[module, name]

    def persistent_load(self, identity: Any, /) -> Any:
        raise UserError("the pickle refers to an external object, which is refused")


def load_pickles(path: Path, number: int) -> list[Any]:
    """Reads `number` consecutive pickles from a file.

    Strings written by Python 2 are returned as bytes, arrays as `Array`; see `array`.

    Raises:
        UserError: The file is missing or damaged, or calls anything other than the stand-ins.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    data = path.read_bytes()
    file = io.BytesIO(data)
    try:
        with budget(len(data)):
            return [Unpickler(file, encoding="bytes").load() for _ in range(number)]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle can raise errors of any type
        what = shown(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{path} is not a valid pickle ({what})") from None


def array(value: Any, limit: int) -> np.ndarray:
    """Returns the array of an `Array`, or of nested lists with at most `limit` numbers."""
    if isinstance(value, Array):
        return value.values
    if (number := numbers_in(value)) > limit:
        raise ValueError(f"{number:,} numbers in {limit:,} bytes")
    return np.asarray(value, np.float64)


def load_words(path: Path) -> tuple[list[str], np.ndarray]:
    """Reads a `vocab.pkl`, a pickled (matrix, words); returns V words and their (V, D) vectors."""
    (content,) = load_pickles(path, 1)
    size = path.stat().st_size
    try:
        matrix, words = content
        texts, vectors = _texts(words, size), array(matrix, size)
    except (TypeError, ValueError):
        raise UserError(f"{path} is not a pickle of (matrix, words)") from None
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise UserError(f"{path}: {len(texts)} words do not match a matrix of shape {vectors.shape}")
    return texts, vectors


def load_classes(path: Path) -> tuple[list[str], dict[str, int]]:
    """Reads a `classes1M.pkl`, two consecutive pickles {recipe id: class} and {class: name}.

    Returns:
        The name of each class, and the class of each lower-case recipe id.
    """
    class_of, name_of = load_pickles(path, 2)
    try:
        classes = {text(identity).lower(): _integer(class_id) for identity, class_id in class_of.items()}
        numbers = [_integer(class_id) for class_id in name_of]
        names = dict(zip(numbers, _texts(name_of.values(), path.stat().st_size), strict=True))
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{path} is not two pickles {{recipe id: class}} and {{class: name}}") from None
    if sorted(names) != list(range(len(names))) or not names:
        raise UserError(f"{path}: the classes are not numbered 0, 1, 2, ...")
    if unnamed := set(classes.values()) - set(names):
        raise UserError(f"{path}: {len(unnamed)} classes of recipes have no name")
    return [names[class_id] for class_id in range(len(names))], classes


def text(value: Any) -> str:
    """Returns a string of a pickle written by Python 2 or 3; raises a `TypeError` for other values."""
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{type(value).__name__} instead of a string")
    return value.decode(errors="replace") if isinstance(value, bytes) else storable(value)


def _texts(values: Iterable[Any], limit: int) -> list[str]:
    """Returns strings of a pickle; raises a `ValueError` if they have more characters than the file has bytes."""
    values = list(values)
    if sum(map(len, values)) > limit:
        raise ValueError("a string is repeated many times")
    return [text(value) for value in values]


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{type(value).__name__} instead of an integer")
    return value
