"""Reads a JSON list of any length record by record, and says where in the file each record or mistake stands."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from adamine_jax.base.errors import UserError

if TYPE_CHECKING:
    from _typeshed import SupportsRead

# A record beyond this is no recipe: most likely a quote is missing and the rest of the file reads as one string.
MAX_RECORD_CHARS = 16 << 20
# How far from the end of what was read so far a JSON error may lie and still be no more than a record cut by the
# reading: the longest tokens that can be cut are "-Infinity" and an escaped surrogate pair.
_TOKEN_CHARS = 16

# Numbers mean nothing in these files, and int() refuses some thousand digits with an error of its own.
_DECODER = json.JSONDecoder(parse_int=float)
_SPACE = re.compile(r"[ \t\r\n]*")
_BYTE_ORDER_MARK = "\ufeff"


class Placed(NamedTuple):
    """One record of a JSON list: its first byte in the file, its length in bytes, and its value."""

    offset: int
    length: int
    value: Any


def read_array(path: Path, chunk_bytes: int = 1 << 20) -> Iterator[Placed]:
    """Yields the elements of the JSON list that is the file's content, in order.

    Only the element at hand and one chunk are held in memory.

    Raises:
        UserError: the file is not one JSON list in UTF-8; the message gives file, byte and what is wrong there.
    """
    with path.open("rb") as file:
        yield from read_list(file, path, chunk_bytes)


def read_list(
    file: "SupportsRead[bytes]", path: Path, chunk_bytes: int, *, byte: int = 0, number: int = 1
) -> Iterator[Placed]:
    """`read_array` of a file that is open, or of a piece of one: a list of its own that starts at byte `byte`.

    Args:
        file: to read from.
        path: its name, for messages.
        chunk_bytes: how much is read at a time.
        byte: where in `path` the list starts.
        number: of its first record.
    """
    text = _Text(file, path, chunk_bytes, byte, number)
    if (first := text.next_char()) != "[":
        nothing = "" if first else "the file is empty; "
        raise text.error(f"{nothing}expected a list of records, starting with [")
    text.take_char()
    if text.next_char() == "]":
        text.take_char()
    else:
        while True:
            yield text.next_value()
            separator = text.next_char()
            if separator not in (",", "]"):
                cut = "" if separator else "; is the file cut off?"
                raise text.error(f"expected a comma or the closing ] after a record{cut}")
            text.take_char()
            if separator == "]":
                break
    if text.next_char():
        raise text.error("there is more text after the closing ] of the list")


def loads(text: bytes) -> Any:
    """The value of a JSON text; raises a `ValueError` for what is none."""
    return _DECODER.decode(text.decode())


class _Text:
    """A window on the text of a file, moved on as its records are read."""

    def __init__(self, file: "SupportsRead[bytes]", path: Path, chunk_bytes: int, byte: int, number: int):
        self._file, self._path, self._chunk_bytes = file, path, chunk_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._buffer, self._position = "", 0
        self._byte = byte  # where in the file the character at `_position` starts
        self._read_bytes, self._ended, self._records = byte, False, number - 1

    def next_char(self) -> str:
        """Skips white space; returns the character there without taking it, or "" at the end of the file."""
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

    def next_value(self) -> Placed:
        """Takes one JSON value."""
        self.next_char()
        self._records += 1
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._position)
                # A number near the end of the buffer may have more digits to come ("1." reads as 1 and a dot).
                if end < len(self._buffer) - _TOKEN_CHARS or not self._fill():
                    break
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - _TOKEN_CHARS
                ahead = error.pos - self._position
                if not cut:
                    raise self.error(error.msg, ahead) from None
                if len(self._buffer) - self._position > MAX_RECORD_CHARS:
                    raise self.error(f"a record beyond {MAX_RECORD_CHARS >> 20} MiB; {error.msg}", ahead) from None
                if not self._fill():
                    raise self.error(f"{error.msg}; is the file cut off?", ahead) from None
            except RecursionError:
                raise self.error("a record is nested too deeply") from None
        offset = self._byte
        self._take(end)
        return Placed(offset, self._byte - offset, value)

    def error(self, what: str, ahead: int = 0) -> UserError:
        """The error to raise for what stands `ahead` characters further on."""
        byte = self._byte + _utf8_length(self._buffer[self._position : self._position + ahead])
        return UserError(f"{self._path}: broken JSON at byte {byte} (record {self._records}): {what}")

    def _take(self, end: int) -> None:
        self._byte += _utf8_length(self._buffer[self._position : end])
        self._position = end

    def _fill(self) -> bool:
        """Forgets what was taken and reads more; returns whether there was more.

        At least as much is read as is waiting, so that a long record is parsed again only a few times.
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
