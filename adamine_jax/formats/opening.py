"""Opens text files in any supported encoding, compressed or not."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from charset_normalizer import from_bytes

MAX_BYTES = 1 << 30
"""Maximum size of a document that is read as a whole, after decompression."""
_MAX_LINE = 64 << 20
_SAMPLE = 1 << 18
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FEW = 24  # other bytes than ASCII, from which an encoding cannot be guessed; most such texts are Western
_ENCODINGS = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "mac_roman", "shift_jis", "euc_jp", "euc_kr"]
_ENCODINGS += ["gb18030", "big5"]
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_UNDECODED = re.compile("[\udc80-\udcff]")


def open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """Opens a file for reading; gzip files, recognised by their content, are decompressed."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else path.open("rb")


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Returns the content of a file, decompressed.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is larger than `limit` or its compression is damaged.
    """
    with open_bytes(path) as file:
        try:
            data = file.read(limit + 1)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"cannot be decompressed ({error})") from None
    if len(data) > limit:
        raise ValueError(f"more than {limit >> 20} MiB")
    return data


def decoded(data: bytes, is_page: bool = False) -> str:
    """Decodes a text by its byte order mark, as UTF-8, by the encoding that a page declares, or by a guess."""
    return data.decode(_encoding(data, is_page, is_whole=True), "replace")


def text_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yields the lines of a text file, which may end in LF, CR or both.

    Yields:
        (number from 1, line with its end as "\\n", problem or "").

    Raises:
        OSError: The file cannot be opened.
        ValueError: Its compression is damaged.
    """
    with open_bytes(path) as file:
        try:
            encoding = _encoding(file.read(_SAMPLE), is_page=False, is_whole=False)
            file.seek(0)
            # Bytes that cannot be decoded become surrogates, so that only their line is lost.
            errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
            with io.TextIOWrapper(file, encoding, errors) as text:
                for number, line in enumerate(iter(lambda: text.readline(_MAX_LINE), ""), start=1):
                    if len(line) == _MAX_LINE:
                        raise ValueError(f"line {number} is longer than {_MAX_LINE >> 20} MiB")
                    undecoded = _UNDECODED.search(line)
                    place = len(line[: undecoded.start()].encode()) + 1 if undecoded else 0
                    problem = f"not UTF-8 text (byte {place} of the line); save the file as UTF-8" if undecoded else ""
                    yield number, line, problem
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"cannot be decompressed ({error})") from None


def _encoding(data: bytes, is_page: bool, is_whole: bool) -> str:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    if b"\0" in data[:4] and len(data) % 2 == 0:
        return "utf-16-be" if data.startswith(b"\0") else "utf-16-le"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=is_whole)
        return "utf-8"
    except UnicodeDecodeError as error:
        # A few damaged bytes in a text that is otherwise UTF-8 are no reason to read it in another encoding.
        valid = len(data[: error.start].decode().encode("ascii", "ignore")) < error.start
    if is_page and (charset := _CHARSET.search(data[:4096])):
        try:
            b"a".decode(charset[1].decode(), "replace")  # "hex" is no encoding of texts
            return charset[1].decode()
        except LookupError:
            pass
    if valid and not is_whole:
        return "utf-8"
    if sum(byte > 127 for byte in data[:_SAMPLE]) < _FEW:
        return "cp1252"
    best = from_bytes(data[:_SAMPLE], cp_isolation=_ENCODINGS).best()
    return best.encoding if best else "cp1252"
