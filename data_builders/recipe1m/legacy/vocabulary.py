"""Reads the pickles among the published files without running anything that is in them.

A pickle is a program: it names functions and calls them. Here it gets none of those it names. A short list of names
is answered by stand-ins of our own, which rebuild containers and arrays of numbers; every other name is refused.
`lmdb_pickles` adds stand-ins for tensors and images.
"""

import io
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.layers.fields import storable
from data_builders.recipe1m.layers.markup import shown
from data_builders.recipe1m.legacy.pickle_limits import check_instructions, numbers_in, room, spend


class Array:
    """Takes the place of a NumPy array while its pickle is read."""

    __slots__ = ("values",)

    def __init__(self):
        self.values = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, fortran, data = state
        self.values = _numbers(data, dtype, shape, "F" if fortran else "C")


class _DType:
    """Takes the place of a NumPy type of numbers or texts while its pickle is read."""

    __slots__ = ("numbers",)

    def __init__(self, code: str | bytes):
        text = code.decode("ascii") if isinstance(code, bytes) else code
        self.numbers = np.dtype(text)
        if self.numbers.kind not in "biufSU":
            raise ValueError(f"{text} is no type of numbers or of texts")

    def __setstate__(self, state: tuple) -> None:
        order: Any = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.numbers = self.numbers.newbyteorder(order)


class StandIn:
    """A callable that a pickle can call and cannot change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable):
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a stand-in cannot be changed")


def _numbers(data: Any, dtype: _DType, shape: tuple[int, ...], order: Any) -> np.ndarray:
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError("the data of an array is not bytes")
    if dtype.numbers.kind in "SU":
        raise ValueError("an array is not one of numbers")
    spend(len(data))
    return np.frombuffer(data, dtype.numbers).reshape(shape, order=order).copy()


def _scalar(dtype: _DType, data: Any) -> Any:
    if dtype.numbers.kind in "SU":
        spend(len(data))
        return np.frombuffer(data, dtype.numbers, 1)[0].item()
    return _numbers(data, dtype, (), "C").item()


def _from_buffer(data: Any, dtype: _DType, shape: tuple[int, ...], order: Any) -> Array:
    found = Array()
    found.values = _numbers(data, dtype, shape, order)
    return found


def _refuse_call(*_: Any) -> Any:
    raise ValueError("an array is built in a way that NumPy does not use")


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes are written as {shown(str(encoding))}")
    spend(len(text))
    return text.encode("latin-1")


def _dictionary(items: Any = ()) -> dict:
    spend(8 * len(items))
    return dict(items)


def _either_core(module: str, name: str, call: Callable) -> dict[tuple[str, str], StandIn]:
    """NumPy 2 renamed numpy.core to numpy._core."""
    return {(f"numpy.{core}.{module}", name): StandIn(call) for core in ("core", "_core")}


STAND_INS = {
    **_either_core("multiarray", "_reconstruct", lambda *_: Array()),
    **_either_core("multiarray", "scalar", _scalar),
    **_either_core("numeric", "_frombuffer", _from_buffer),
    ("numpy", "ndarray"): StandIn(_refuse_call),
    ("numpy", "dtype"): StandIn(lambda code, *_: _DType(code)),
    ("_codecs", "encode"): StandIn(_encode),
    ("collections", "OrderedDict"): StandIn(_dictionary),
}


class Unpickler(pickle.Unpickler):
    """Answers names by stand-ins, and refuses the others.

    Args:
        file: holds the pickle from where it stands; `ValueError` if its instructions ask for more than is there.
        **options: of `pickle.Unpickler`.

    Attributes:
        stand_ins: (module, name) -> what takes its place.
    """

    stand_ins: Mapping[tuple[str, str], Any] = STAND_INS

    def __init__(self, file: io.BytesIO, **options: Any):
        check_instructions(file.getvalue(), file.tell())
        super().__init__(file, **options)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.stand_ins:
            raise UserError(f"the pickle asks for {shown(f'{module}.{name}')}, which is refused; nothing of it was run")
        return self.stand_ins[module, name]

    def persistent_load(self, identity: Any, /) -> Any:
        raise UserError("the pickle refers to something outside it, which is refused")


def load_pickles(path: Path, number: int) -> list[Any]:
    """Reads pickles that stand one after the other in a file.

    Strings that Python 2 wrote come as bytes; arrays are to be taken out with `array`.

    Raises:
        UserError: the file is absent, is no such pickle, or asks for anything but containers and numbers.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    data = path.read_bytes()
    file = io.BytesIO(data)
    try:
        with room(len(data)):
            return [Unpickler(file, encoding="bytes").load() for _ in range(number)]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises whatever its instructions lead to, of many types
        what = shown(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{path} is not the pickle it should be ({what})") from None


def array(value: Any, most: int) -> np.ndarray:
    """The array of numbers that a value of a pickle stands for; a list of lists of numbers is one too.

    Raises:
        ValueError: there are more than `most`: lists may hold one another again and again.
    """
    if isinstance(value, Array):
        return value.values
    if (number := numbers_in(value)) > most:
        raise ValueError(f"{number:,} numbers out of {most:,} bytes")
    return np.asarray(value, np.float64)


def load_words(path: Path) -> tuple[list[str], np.ndarray]:
    """Reads a `vocab.pkl`: a pickled (matrix, words).

    Returns:
        V words and (V, D) numbers.
    """
    (content,) = load_pickles(path, 1)
    size = path.stat().st_size
    try:
        matrix, words = content
        texts, vectors = _texts(words, size), array(matrix, size)
    except (TypeError, ValueError):
        raise UserError(f"{path} is not a pickle of (matrix, words)") from None
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise UserError(f"{path}: {len(texts)} words do not go with a matrix of {vectors.shape}")
    return texts, vectors


def load_classes(path: Path) -> tuple[list[str], dict[str, int]]:
    """Reads a `classes1M.pkl`: two pickles in a row, {recipe id: class} and {class: name}.

    Returns:
        The names, index = class, and the class of each recipe, whose id is in small letters.
    """
    class_of, name_of = load_pickles(path, 2)
    try:
        classes = {text(identity).lower(): _whole(class_id) for identity, class_id in class_of.items()}
        numbers = [_whole(class_id) for class_id in name_of]
        names = dict(zip(numbers, _texts(name_of.values(), path.stat().st_size), strict=True))
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{path} is not two pickles, of recipe id -> class and of class -> name") from None
    if sorted(names) != list(range(len(names))) or not names:
        raise UserError(f"{path}: the classes are not numbered 0, 1, 2, ... without gaps")
    if unnamed := set(classes.values()) - set(names):
        raise UserError(f"{path}: {len(unnamed)} classes that recipes have are without a name")
    return [names[class_id] for class_id in range(len(names))], classes


def text(value: Any) -> str:
    """The text that a value of a pickle is, whichever Python wrote it.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{type(value).__name__} is not text")
    return value.decode(errors="replace") if isinstance(value, bytes) else storable(value)


def _texts(values: Iterable[Any], most: int) -> list[str]:
    """The texts that values are; a `ValueError` if they have more characters than the file that they are from."""
    values = list(values)
    if sum(map(len, values)) > most:
        raise ValueError("one text is there many times")
    return [text(value) for value in values]


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{type(value).__name__} is not a whole number")
    return value
