"""Reads a JSON list of any length record by record, and reports the byte at which each record or error is."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from adamine_jax.base.errors import UserError

if TYPE_CHECKING:
    from _typeshed import SupportsRead

# A longer record is not a recipe: most likely a quote is missing, and the rest of the file reads as one string.
MAX_RECORD_CHARS = 16 << 20
# A JSON error this close to the end of the buffer may only mean that a token continues in the next chunk: the longest
# such tokens are "-Infinity" and an escaped surrogate pair.
_TOKEN_CHARS = 16

# Numbers are not used, and int() raises an error for thousands of digits.
_DECODER = json.JSONDecoder(parse_int=float)
_SPACE = re.compile(r"[ \t\r\n]*")
_BYTE_ORDER_MARK = "\ufeff"


class Element(NamedTuple):
    """An element of a JSON list: byte offset in the file, length in bytes, and value."""

    offset: int
    length: int
    value: Any


def read_array(path: Path, chunk_bytes: int = 1 << 20) -> Iterator[Element]:
    """Yields the elements of a file that contains one JSON list.

    Only one element and one chunk are held in memory.

    Raises:
        UserError: The file is not one JSON list in UTF-8; the message names the file, the byte and the error.
    """
    with path.open("rb") as file:
        reader = _Reader(file, path, chunk_bytes)
        if (first := reader.next_char()) != "[":
            empty = "" if first else "the file is empty; "
            raise reader.error(f"{empty}expected a list of records, starting with [")
        reader.take_char()
        if reader.next_char() == "]":
            reader.take_char()
        else:
            yield from reader.rest_of_list()
        if reader.next_char():
            raise reader.error("unexpected text after the closing ] of the list")


def read_rest(
    file: "SupportsRead[bytes]", path: Path, chunk_bytes: int, *, offset: int, number: int
) -> Iterator[Element]:
    """Yields the remaining elements of a list from a file positioned at element `number` (from 1), at byte `offset`."""
    return _Reader(file, path, chunk_bytes, offset, number).rest_of_list()


def loads(text: bytes) -> Any:
    """Decodes a JSON text; raises a `ValueError` if it is malformed."""
    return _DECODER.decode(text.decode())


class _Reader:
    """A buffer that moves over the text of a file as its elements are read."""

    def __init__(self, file: "SupportsRead[bytes]", path: Path, chunk_bytes: int, offset: int = 0, number: int = 1):
        self._file, self._path, self._chunk_bytes = file, path, chunk_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._buffer, self._position = "", 0
        self._byte = offset  # byte offset in the file of the character at `_position`
        self._read_bytes, self._ended, self._records = offset, False, number - 1

    def rest_of_list(self) -> Iterator[Element]:
        """Takes elements and separators up to the closing bracket of the list."""
        separator = ","
        while separator == ",":
            yield self._next_value()
            separator = self.next_char()
            if separator not in (",", "]"):
                hint = "" if separator else "; the file may be truncated"
                raise self.error(f"expected a comma or the closing ] after a record{hint}")
            self.take_char()

    def next_char(self) -> str:
        """Skips white space and returns the next character without taking it, or "" at the end of the file."""
        while True:
            if space := _SPACE.match(self._buffer, self._position):
                self._take(space.end())
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._fill():
                return ""

    def take_char(self) -> None:
        """Takes the character that `next_char` returned."""
        self._take(self._position + 1)

    def error(self, what: str, ahead: int = 0) -> UserError:
        """Returns the error to raise for the text `ahead` characters after the current position."""
        byte = self._byte + _utf8_length(self._buffer[self._position : self._position + ahead])
        return UserError(f"{self._path}: broken JSON at byte {byte} (record {self._records}): {what}")

    def _next_value(self) -> Element:
        self.next_char()
        self._records += 1
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._position)
                # A number near the end of the buffer may continue in the next chunk.
                if end < len(self._buffer) - _TOKEN_CHARS or not self._fill():
                    break
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - _TOKEN_CHARS
                ahead = error.pos - self._position
                if not cut:
                    raise self.error(error.msg, ahead) from None
                if len(self._buffer) - self._position > MAX_RECORD_CHARS:
                    raise self.error(
                        f"a record is longer than {MAX_RECORD_CHARS >> 20} MiB; {error.msg}", ahead
                    ) from None
                if not self._fill():
                    raise self.error(f"{error.msg}; the file may be truncated", ahead) from None
            except RecursionError:
                raise self.error("a record is nested too deeply") from None
        offset = self._byte
        self._take(end)
        return Element(offset, self._byte - offset, value)

    def _take(self, end: int) -> None:
        self._byte += _utf8_length(self._buffer[self._position : end])
        self._position = end

    def _fill(self) -> bool:
        """Discards the text that was taken and reads a chunk; returns False at the end of the file.

        The chunk is at least as long as the remaining text, so that a long record is parsed only a few times.
        """
        if self._ended:
            return False
        chunk = self._file.read(max(self._chunk_bytes, len(self._buffer) - self._position))
        held_back = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            byte = self._read_bytes - held_back + error.start
            raise UserError(f"{self._path}: not UTF-8 text at byte {byte} ({error.reason})") from None
        self._ended = not chunk
        if self._ended:
            return False
        self._buffer, self._position = self._buffer[self._position :] + text, 0
        if self._byte == 0 and text.startswith(_BYTE_ORDER_MARK):
            self._take(1)
        self._read_bytes += len(chunk)
        return True


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
