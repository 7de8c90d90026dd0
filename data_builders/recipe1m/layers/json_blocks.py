"""Divides a JSON list of records into blocks that several processes can read independently.

The end of a block is guessed: a place where the text looks as it does between the first two records. A complete JSON
parser that builds no values then verifies the block: as the block starts with a record, it is a list of whole values
only if the guess is right. If it is wrong, the end is found from all quotes, braces and brackets of the block, which
takes several times as long. Other errors in a block are detected when it is read.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec
import numpy as np

from adamine_jax.base.json_array import MAX_RECORD_CHARS, Element, read_array, read_rest

BLOCK_BYTES = 1 << 20
BYTE_ORDER_MARK = "\ufeff".encode()

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
BAD_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Exceptions that `msgspec` raises for malformed JSON or a value of another type."""

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_OPENING, _CLOSING, _QUOTE = 1, 2, 3
_KIND_OF = {"{": _OPENING, "[": _OPENING, "}": _CLOSING, "]": _CLOSING, '"': _QUOTE}
_KINDS = bytes(_KIND_OF.get(chr(byte), 0) for byte in range(256))
_SPACE = b" \t\r\n"
_TAIL, _HEAD = 2, 8
"""Number of bytes at the end and at the start of a record that identify the boundary between two records."""


class Block(NamedTuple):
    """Consecutive records of a JSON list.

    Attributes:
        offset: Byte offset of the first record in the file.
        length: Length in bytes, from the start of the first record to the end of the last.
        number: Number of the first record in the list, from 1, provided that the preceding text is valid JSON.
        records: Number of records; approximate if the block is not valid JSON.
        is_whole: False for the rest of a file that cannot be divided, most likely because it is malformed.
    """

    offset: int
    length: int
    number: int
    records: int
    is_whole: bool = True


def read_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yields the blocks of a file that contains one JSON list.

    Raises:
        UserError: The file does not start with a list, or contains more text after it. `read_block` detects all other
            errors.
    """
    with path.open("rb") as file:
        window = file.read(max(block_bytes, len(BYTE_ORDER_MARK)))
        offset = 0  # byte offset of the window, which will start after the [ or with a record
        if window.startswith(BYTE_ORDER_MARK):
            window, offset = window[len(BYTE_ORDER_MARK) :], len(BYTE_ORDER_MARK)
        while not window.lstrip(_SPACE) and (chunk := file.read(block_bytes)):
            window, offset = chunk, offset + len(window)
        skipped = len(window) - len(window.lstrip(_SPACE))
        if window[skipped : skipped + 1] != b"[":
            _raise_error(path)
        window, offset, number, boundary = window[skipped + 1 :], offset + skipped + 1, 1, None
        while True:
            if boundary and (found := boundary.find(window)):
                end, start, records = found
                yield Block(offset, end, number, records)
                window, offset, number = window[start:] + file.read(block_bytes), offset + start, number + records
                continue
            starts, ends, end = _record_bounds(window)
            if end is not None:
                break
            if len(starts) > 1:
                last = int(starts[-1])
                text = window[:last].rstrip(_SPACE)
                if not text.endswith(b","):
                    yield Block(offset, last + 1, number, len(starts), is_whole=False)
                    return
                records = _count_elements(text[:-1]) or len(starts) - 1
                yield Block(offset, len(text) - 1, number, records)
                boundary = _Boundary.between(window, int(ends[0]), int(starts[1]))
                window, offset, number = window[last:], offset + last, number + records
            # The chunk is at least as long as the window, so that a long record is examined only a few times.
            chunk = file.read(max(block_bytes, len(window)))
            if not chunk or len(window) > 4 * MAX_RECORD_CHARS:
                yield Block(offset, len(window), number, 1, is_whole=False)
                return
            window += chunk
        if window[:end].strip(_SPACE):
            yield Block(offset, end, number, _count_elements(window[:end]) or len(starts))
        rest = itertools.chain([window[end + 1 :]], iter(lambda: file.read(1 << 20), b""))
        if any(chunk.strip(_SPACE) for chunk in rest):
            _raise_error(path)


class _Boundary(NamedTuple):
    """The text between two records: the last bytes of one, the comma, and the first bytes of the other.

    Attributes:
        text: Bytes to search for.
        tail: Number of these bytes that belong to the first record.
        gap: Number of bytes between the two records.
    """

    text: bytes
    tail: int
    gap: int

    @classmethod
    def between(cls, window: bytes, end: int, start: int) -> "_Boundary | None":
        """Returns the boundary between two records; None if `end` and `start` have other values between them."""
        if window[end:start].strip(_SPACE) != b",":
            return None
        first = end - _TAIL
        return cls(window[first : start + _HEAD], end - first, start - end)

    def find(self, window: bytes) -> tuple[int, int, int] | None:
        """Finds a boundary in the second half of a window that starts with a record.

        Returns:
            The end of the record before the boundary, the start of the one after it, and the number of records before
            it; None if there is no boundary.
        """
        place = window.rfind(self.text, len(window) // 2)
        if place < 0:
            return None
        end = place + self.tail
        records = _count_elements(window[:end])
        return (end, end + self.gap, records) if records else None


def _count_elements(text: bytes) -> int:
    """Returns the number of elements of a list without its brackets; 0 if it is malformed."""
    try:
        return len(_ELEMENTS.decode(as_list(text)))
    except BAD_JSON:
        return 0


def _record_bounds(window: bytes) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Returns the starts and ends of the objects and lists in a part of a list, and the end of the list or None."""
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


def _raise_error(path: Path) -> NoReturn:
    for _ in read_array(path):
        pass
    raise AssertionError(f"{path}: the list was divided in a wrong place")


def read_block(path: Path, block: Block) -> list[Element]:
    """Returns the records of a block.

    Raises:
        UserError: The block is not valid JSON; the message names the file, the byte and the error.
    """
    with path.open("rb") as file:
        file.seek(block.offset)
        records = read_rest(file, path, BLOCK_BYTES, offset=block.offset, number=block.number)
        end = block.offset + block.length
        return list(itertools.takewhile(lambda record: not block.is_whole or record.offset < end, records))


def read_text(path: Path, block: Block) -> bytes | None:
    """Returns a block as a JSON list, unchecked except for UTF-8, or None if only `read_block` can report the error."""
    if not block.is_whole:
        return None
    with path.open("rb") as file:
        file.seek(block.offset)
        text = as_list(file.read(block.length))
    with contextlib.suppress(UnicodeDecodeError):
        # `msgspec` does not check the encoding of fields that it skips.
        return text if text.isascii() or text.decode() else None
    return None


def element_spans(text: bytes) -> list[tuple[int, int]]:
    """Returns the start and the length of each element of a JSON list.

    Raises:
        BAD_JSON: The text is not a list.
    """
    spans, end = [], 1
    for element in _ELEMENTS.decode(text):
        # Only white space and a comma precede the element, and it starts with neither.
        start, length = text.find(element, end), len(memoryview(element))
        spans.append((start, length))
        end = start + length
    return spans


def as_list(text: bytes) -> bytes:
    """Adds the brackets of a list."""
    return b"[" + text + b"]"
