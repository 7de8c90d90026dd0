"""A pickle of a few bytes can ask for gigabytes. Here what it may ask for is bounded by its own size.

Its instructions are looked through before it is read: none may announce more bytes than there are, or number what it
remembers higher than there can be things to remember (the unpickler makes a table that long). What is made of its
content is counted: the same bytes can be turned into an array again and again.
"""

import contextlib
import contextvars
import re
from collections.abc import Generator
from typing import Any

# How many times a pickle's own size may be made of its content: a number that is named again takes two bytes, in an
# array eight, and a second time as much as a list.
_TIMES = 16
_ALWAYS = 1 << 20
_room: contextvars.ContextVar[list[int]] = contextvars.ContextVar("room")

# Instructions of the protocols 0 to 5 (`pickletools` documents them) that neither remember anything nor hold a length.
_HARMLESS = re.compile(
    rb"(?:[(012NQR)\]}abdeltuos\x81\x85-\x89\x8f-\x94\x97\x98]"  # alone
    rb"|[Khq\x80\x82].|[M\x83]..|[Jj\x84]....|[G\x95].{8}"  # followed by numbers
    rb"|[FILPSVg][^\n]*\n|[ci][^\n]*\n[^\n]*\n)*+",  # followed by lines
    re.DOTALL,
)
# Followed by a length, of so many bytes, and then by that many bytes.
_LENGTHS = {**dict.fromkeys(b"UC\x8a\x8c", 1), **dict.fromkeys(b"BTX\x8b", 4), **dict.fromkeys(b"\x8d\x8e\x96", 8)}
_STOP, _PUT, _LONG_PUT = b".pr"


def check_instructions(data: bytes, start: int = 0) -> None:
    """Looks through the pickle that starts at a byte of `data`.

    Raises:
        ValueError: an instruction asks for more than the data can hold, or is none, or the pickle is cut off.
    """
    at = start
    while True:
        at = harmless.end() if (harmless := _HARMLESS.match(data, at)) else at
        code = data[at] if at < len(data) else None
        if code == _STOP:
            return
        if code == _LONG_PUT:
            end = at + 5
            _check_index(int.from_bytes(data[at + 1 : end], "little"), at - start)
        elif code == _PUT:
            end = data.find(b"\n", at) + 1
            if not end:
                raise ValueError("cut off")
            _check_index(int(data[at + 1 : min(end, at + 20)]), at - start)
        elif code in _LENGTHS:
            behind = at + 1 + _LENGTHS[code]
            end = behind + int.from_bytes(data[at + 1 : behind], "little")
        else:
            raise ValueError("cut off" if code is None else f"no instruction at byte {at:,}")
        if end > len(data):
            raise ValueError("cut off")
        at = end


def _check_index(index: int, before: int) -> None:
    if not 0 <= index <= before:
        raise ValueError(f"thing number {index:,} cannot come after {before:,} bytes")


@contextlib.contextmanager
def room(size: int) -> Generator[None]:
    """Within the block `spend` allows what suits a pickle of `size` bytes."""
    token = _room.set([_TIMES * size + _ALWAYS])
    try:
        yield
    finally:
        _room.reset(token)


def spend(size: int) -> None:
    """Counts `size` bytes that are made of what a pickle holds.

    Raises:
        ValueError: altogether they are more than such a pickle can be meant to hold.
    """
    left = _room.get()
    left[0] -= size
    if left[0] < 0:
        raise ValueError("it would become much larger than it is")


def numbers_in(values: Any) -> int:
    """How many numbers NumPy makes of lists in lists, all of which are as long as the first of their kind."""
    number = 1
    while isinstance(values, (list, tuple)):
        number *= len(values)
        if not number:
            break
        values = values[0]
    return number
