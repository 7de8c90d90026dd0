"""Bounds the memory that reading a pickle can take by the size of the pickle.

A pickle of a few bytes can request gigabytes. Its instructions are checked before it is read: no length may exceed the
remaining bytes, and no memo index may exceed the number of preceding bytes, because the unpickler allocates a table of
that length. The values built from its content are counted, because the same bytes can be converted to an array many
times.
"""

import contextlib
import contextvars
import re
from collections.abc import Generator
from typing import Any

# Limit of the values built from a pickle, as a multiple of its size: a reference to a number takes two bytes in the
# pickle and eight bytes both in a list and in an array.
_FACTOR = 16
_MINIMUM = 1 << 20
_remaining: contextvars.ContextVar[list[int]] = contextvars.ContextVar("remaining")

# Instructions of the protocols 0 to 5 (see `pickletools`) with neither a length nor a memo index to be checked.
_HARMLESS = re.compile(
    rb"(?:[(012NQR)\]}abdeltuos\x81\x85-\x89\x8f-\x94\x97\x98]"  # without an argument
    rb"|[Khq\x80\x82].|[M\x83]..|[Jj\x84]....|[G\x95].{8}"  # followed by numbers
    rb"|[FILPSVg][^\n]*\n|[ci][^\n]*\n[^\n]*\n)*+",  # followed by lines
    re.DOTALL,
)
# Instructions followed by a length, which has this many bytes, and by a string of that length.
_LENGTHS = {**dict.fromkeys(b"UC\x8a\x8c", 1), **dict.fromkeys(b"BTX\x8b", 4), **dict.fromkeys(b"\x8d\x8e\x96", 8)}
_STOP, _PUT, _LONG_PUT = b".pr"


def check_instructions(data: bytes, start: int = 0) -> None:
    """Raises a `ValueError` if the pickle in `data[start:]` is truncated or requests more than it can contain."""
    position = start
    while True:
        position = harmless.end() if (harmless := _HARMLESS.match(data, position)) else position
        code = data[position] if position < len(data) else None
        if code == _STOP:
            return
        if code == _LONG_PUT:
            end = position + 5
            _check_index(int.from_bytes(data[position + 1 : end], "little"), position - start)
        elif code == _PUT:
            end = data.find(b"\n", position) + 1
            if not end:
                raise ValueError("truncated")
            _check_index(int(data[position + 1 : min(end, position + 20)]), position - start)
        elif code in _LENGTHS:
            content = position + 1 + _LENGTHS[code]
            end = content + int.from_bytes(data[position + 1 : content], "little")
        else:
            raise ValueError("truncated" if code is None else f"unknown instruction at byte {position:,}")
        if end > len(data):
            raise ValueError("truncated")
        position = end


def _check_index(index: int, preceding: int) -> None:
    if not 0 <= index <= preceding:
        raise ValueError(f"memo index {index:,} after only {preceding:,} bytes")


@contextlib.contextmanager
def budget(size: int) -> Generator[None]:
    """Limits what `spend` accepts within the block to what suits a pickle of `size` bytes."""
    token = _remaining.set([_FACTOR * size + _MINIMUM])
    try:
        yield
    finally:
        _remaining.reset(token)


def spend(size: int) -> None:
    """Counts `size` bytes built from a pickle; raises a `ValueError` if they exceed the budget."""
    remaining = _remaining.get()
    remaining[0] -= size
    if remaining[0] < 0:
        raise ValueError("its content is much larger than the pickle")


def numbers_in(values: Any) -> int:
    """Returns the size of the array that NumPy makes of nested lists of equal lengths."""
    number = 1
    while isinstance(values, (list, tuple)) and number:
        number *= len(values)
        values = values[0] if values else None
    return number
