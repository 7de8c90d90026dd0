"""Cuts a JSON list of records into blocks that can be read on their own, by several processes.

The end of a block is guessed: a place that looks as the first one between two records did. A parser that knows all of
JSON's rules, but makes nothing of what it reads, then goes through the block. Since the block begins with a record, it
is a list of whole values only if its last record ends with it, so that no wrong guess goes unnoticed. After one,
quotes, braces and brackets are followed in whole arrays of bytes, which takes several times as long. Whatever else is
wrong with a block is found by who reads it.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

import msgspec
import numpy as np

from data_builders.recipe1m.layers.json_array import MAX_RECORD_CHARS, Placed, read_array, read_list

BLOCK_BYTES = 1 << 20
BYTE_ORDER_MARK = "\ufeff".encode()

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What `msgspec` raises for a text that is no JSON, or not of the type that was asked for."""

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_OPENING, _CLOSING, _QUOTE = 1, 2, 3
_KINDS = bytearray(256)
for _byte, _kind in zip(b'{[}]"', (_OPENING, _OPENING, _CLOSING, _CLOSING, _QUOTE), strict=True):
    _KINDS[_byte] = _kind
_KINDS = bytes(_KINDS)
_SPACE = b" \t\r\n"
_TAIL, _HEAD = 2, 8
"""So many bytes of a record show where one ends, and where the next one begins."""


class Block(NamedTuple):
    """Some records of a JSON list, one after the other.

    Attributes:
        offset: the first one's first byte in the file.
        length: bytes, up to the last one's last.
        number: the first one's place in the list, from 1, if what stands before is JSON.
        records: how many there are, if the block is JSON; else about how many.
        is_whole: False: all the rest of the file, in which nothing can be cut; most likely it is no JSON.
    """

    offset: int
    length: int
    number: int
    records: int
    is_whole: bool = True


def read_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yields the blocks of the JSON list that is the file's content, in order.

    Raises:
        UserError: the file is no list, or has more text behind it. What is wrong within is found by `read_block`.
    """
    with path.open("rb") as file:
        yield from _cut(file, path, block_bytes)


def _cut(file, path: Path, block_bytes: int) -> Iterator[Block]:
    window = file.read(max(block_bytes, len(BYTE_ORDER_MARK)))
    offset = 0  # of the window in the file; below it starts behind the [ or with a record
    if window.startswith(BYTE_ORDER_MARK):
        window, offset = window[len(BYTE_ORDER_MARK) :], len(BYTE_ORDER_MARK)
    while not window.lstrip(_SPACE) and (chunk := file.read(block_bytes)):
        window, offset = chunk, offset + len(window)
    skipped = len(window) - len(window.lstrip(_SPACE))
    if window[skipped : skipped + 1] != b"[":
        _say_what_is_wrong(path)
    window, offset, number, seam = window[skipped + 1 :], offset + skipped + 1, 1, None
    while True:
        if seam and (found := seam.find(window)):
            end, start, records = found
            yield Block(offset, end, number, records)
            window, offset, number = window[start:] + file.read(block_bytes), offset + start, number + records
            continue
        starts, ends, end = _records(window)
        if end is not None:
            break
        if len(starts) > 1:
            last = int(starts[-1])
            text = window[:last].rstrip(_SPACE)
            if not text.endswith(b","):
                yield Block(offset, last + 1, number, len(starts), is_whole=False)
                return
            records = _elements(text[:-1]) or len(starts) - 1
            yield Block(offset, len(text) - 1, number, records)
            seam = _Seam.between(window, int(ends[0]), int(starts[1]))
            window, offset, number = window[last:], offset + last, number + records
        # At least as much is read as is waiting, so that a long record is looked at again only a few times.
        chunk = file.read(max(block_bytes, len(window)))
        if not chunk or len(window) > 4 * MAX_RECORD_CHARS:
            yield Block(offset, len(window), number, 1, is_whole=False)
            return
        window += chunk
    if window[:end].strip(_SPACE):
        yield Block(offset, end, number, _elements(window[:end]) or len(starts))
    if window[end + 1 :].strip(_SPACE) or any(chunk.strip(_SPACE) for chunk in iter(lambda: file.read(1 << 20), b"")):
        _say_what_is_wrong(path)


class _Seam(NamedTuple):
    """What a place between two records looks like: the last bytes of one, the comma, the first bytes of the other."""

    text: bytes
    tail: int
    gap: int

    @classmethod
    def between(cls, window: bytes, end: int, start: int) -> "_Seam | None":
        """That between a record that ends before `end` and one that begins at `start`; None: other values are there."""
        if window[end:start].strip(_SPACE) != b",":
            return None
        first = end - _TAIL
        return cls(window[first : start + _HEAD], end - first, start - end)

    def find(self, window: bytes) -> tuple[int, int, int] | None:
        """Where to cut a window that begins with a record.

        Returns:
            Where the last record before the cut ends, where the next one begins, and the number of records before it;
            None: there is no such place in the second half of the window.
        """
        place = window.rfind(self.text, len(window) // 2)
        if place < 0:
            return None
        end = place + self.tail
        records = _elements(window[:end])
        return (end, end + self.gap, records) if records else None


def _elements(text: bytes) -> int:
    """How many values stand between the brackets of a list; 0, too, where something else does."""
    try:
        return len(_ELEMENTS.decode(as_list(text)))
    except NO_JSON:
        return 0


def _records(window: bytes) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Of a piece of a list: where its objects and lists start and end, and where the list itself ends, if it does."""
    if b"\\" in window:
        window = _ESCAPE.sub(b"__", window)
    kinds = np.frombuffer(window.translate(_KINDS), np.uint8)
    places = np.flatnonzero(kinds)
    kinds = kinds[places]
    is_text = np.cumsum(kinds == _QUOTE, dtype=np.int32) & 1 == 1
    places, kinds = places[~is_text], kinds[~is_text]
    places, kinds = places[kinds != _QUOTE], kinds[kinds != _QUOTE]
    depths = np.cumsum(np.where(kinds == _OPENING, 1, -1))
    (beyond,) = np.nonzero(depths < 0)
    end = int(places[beyond[0]]) if len(beyond) else None
    if len(beyond):
        places, kinds, depths = places[: beyond[0]], kinds[: beyond[0]], depths[: beyond[0]]
    starts, ends = (kinds == _OPENING) & (depths == 1), (kinds == _CLOSING) & (depths == 0)
    return places[starts], places[ends] + 1, end


def _say_what_is_wrong(path: Path) -> NoReturn:
    for _ in read_array(path):
        pass
    raise AssertionError(f"{path}: the list was cut in a wrong place")


def read_block(path: Path, block: Block) -> list[Placed]:
    """The records of a block, and where each stands in the file.

    Raises:
        UserError: it is not JSON; the message gives file, byte and what is wrong there.
    """
    with path.open("rb") as file:
        file.seek(block.offset)
        rest = read_list(_List(file), path, BLOCK_BYTES, byte=block.offset - 1, number=block.number)
        end = block.offset + block.length
        return list(itertools.takewhile(lambda placed: not block.is_whole or placed.offset < end, rest))


def read_text(path: Path, block: Block) -> bytes | None:
    """A block as a list of its own in UTF-8, which may be no JSON; None: `read_block` says what is wrong with it."""
    if not block.is_whole:
        return None
    with path.open("rb") as file:
        file.seek(block.offset)
        text = as_list(file.read(block.length))
    with contextlib.suppress(UnicodeDecodeError):
        # `msgspec` does not look at what it passes over.
        return text if text.isascii() or text.decode() else None
    return None


def places(text: bytes) -> list[tuple[int, int]]:
    """Where the elements of a list begin, and their lengths.

    Raises:
        NO_JSON: it is no list.
    """
    found, end = [], 1
    for element in _ELEMENTS.decode(text):
        # Between the last one's end and this one are white space and a comma, neither of which it begins with.
        start, length = text.find(element, end), len(memoryview(element))
        found.append((start, length))
        end = start + length
    return found


def as_list(text: bytes) -> bytes:
    """What stands between the brackets of a list, with them."""
    return b"[" + text + b"]"


class _List:
    """The rest of a file, to be read as a list of its own."""

    def __init__(self, file: BinaryIO):
        self._file, self._opening = file, b"["

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, the opening bracket first."""
        opening, self._opening = self._opening, b""
        return opening or self._file.read(size)
