"""Hypothesis strategies for malformed records, texts and files."""

import io
import json
import os
import struct
import zlib

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.data_builders.recipe1m.download import jpeg

# JSON as it may be written, not as Python would write it.
_NUMBERS = ("0", "-0", "1e400", "-1E-400", "9" * 400, "NaN", "-Infinity", "0.1", "true", "false", "null")
_TEXTS = (
    '""',
    '"\\ud800"',
    '"a\\u0000b"',
    '"\\u0001\\u001b[2J"',
    '"０１２３４５６７８９"',
    '"\\u0661\\u0662"',
    '"$\\\\frac{"',
)
_OTHERS = ("[]", "{}", "[[[[]]]]", '{"text": null}', '[{"text": 5}]', '[{"text": "x"}]', '["x"]', "[null]", "[true]")
values = st.sampled_from([*_NUMBERS, *_TEXTS, *_OTHERS, f'"{"long " * 20_000}"', "[" * 400 + "]" * 400]) | st.text(
    max_size=20
).map(json.dumps)
"""A value of any kind, as JSON."""

BROKEN = ('"\n"', '"\0"', '"\\x"', '"\\u00"', "1E+", "0x10", "[1, 2", "'x'", "nul", "{1: 2}", "]", "[" * 100_000)
"""Texts that are not JSON or are nested too deeply."""


_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


@st.composite
def near(draw, value) -> str:
    """JSON of a value similar to this text or list."""
    if isinstance(value, str):
        changes = (
            value + "\n",
            " " + value,
            value[:-1],
            value.upper(),
            value.translate(_ARABIC),
            [value],
            {"text": value},
        )
        return json.dumps(draw(st.sampled_from(changes)))
    parts = [json.dumps(part) for part in value]
    at = draw(st.integers(0, max(len(parts) - 1, 0)))
    strange = draw(values | st.sampled_from(("0", "1", '"true"')))
    return draw(
        st.sampled_from([parts[:-1], parts + parts[:1], [*parts[:at], strange, *parts[at + 1 :]]]).map(
            lambda changed: f"[{', '.join(changed)}]"
        )
    )


@st.composite
def records(draw, record: dict) -> str:
    """A record as JSON: the given one with fields replaced, removed, repeated or added, or another value."""
    if draw(st.integers(0, 9)) == 0:
        return draw(values)
    fields = [(name, json.dumps(value)) for name, value in record.items()]
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(fields) - 1)) if fields else 0
        change = draw(st.sampled_from(("near", "replace", "remove", "repeat", "add")))
        if change == "remove":
            fields[at : at + 1] = []
        elif change == "add" or not fields:
            fields.append((draw(st.text(max_size=5)), draw(values)))
        elif change == "near" and fields[at][0] in record:
            fields[at] = (fields[at][0], draw(near(record[fields[at][0]])))
        elif change == "repeat":
            fields.append((fields[at][0], draw(values)))
        else:
            fields[at] = (fields[at][0], draw(values))
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields) + "}"


def _saved(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png(width: int, height: int, pixels: bytes = b"", depth: int = 1, colour: int = 0) -> bytes:
    """A PNG file whose header specifies a size that its pixels do not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(width: int, height: int, compression: int = 1) -> bytes:
    """A TIFF file with a hundred bytes of pixels whose header specifies another size."""
    tags = ((256, width), (257, height), (258, 8), (259, compression), (262, 1), (273, 8), (277, 1), (278, height))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*tags, (279, 100)))
    return b"II*\0" + struct.pack("<I", 108) + bytes(100) + struct.pack("<H", len(tags) + 1) + entries + bytes(4)


_NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8))

GOOD_PHOTOS = {
    "JPEG": jpeg(),
    "grey": _saved(_NOISE.convert("L"), "JPEG"),
    "print colours": _saved(_NOISE.convert("CMYK"), "JPEG"),
    "16 bits": _saved(Image.new("I;16", (9, 7), 30_000), "PNG"),
    "floating numbers": _saved(Image.new("F", (9, 7), 0.5), "TIFF"),
    "animated": _saved(_NOISE.convert("P"), "GIF", save_all=True, append_images=[Image.new("P", (15, 12), 7)] * 3),
    "a line": _saved(Image.new("L", (60_000, 1)), "PNG"),
    "with half a photo behind it": jpeg(1) + jpeg(2)[:200],
}

BAD_PHOTOS = {
    "empty": b"",
    "text": b"<html>404</html>",
    "cut off": jpeg()[:300],
    "PNG of 60000 x 60000": png(60_000, 60_000),
    "PNG of all that its numbers can say": png(2**31 - 1, 2**31 - 1),
    "PNG without a column": png(0, 5),
    # 900 million pixels out of 110 kB, before it is compressed another time.
    "PNG of 30000 x 30000": png(30_000, 30_000, zlib.compress(bytes(30_000 * 3751), 9)),
    "TIFF of 60000 x 60000": tiff(60_000, 60_000),
    "TIFF of 7000 x 7000": tiff(7_000, 7_000),
    "TIFF with LZW": tiff(7_000, 7_000, 5),
}

NO_FILES = {
    "folder": os.mkdir,
    "pipe": os.mkfifo,
    "link to itself": lambda path: os.symlink(path, path),
    "link to nothing": lambda path: os.symlink("nowhere", path),
    "link to a file outside": lambda path: os.symlink("/etc/passwd", path),
    "link to a device": lambda path: os.symlink("/dev/zero", path),
}
"""Functions that create something other than a photo at a path."""

IMAGE_IDS = (
    "../../../../etc/passwd",
    "/etc/passwd",
    "..abcdef01.jpg",
    "0123456789",
    "0123456789.jpg\n",
    "",
    "a\0b.jpg",
)


@st.composite
def damaged(draw, data: bytes) -> bytes:
    """A file with some bytes changed, removed or added, or truncated."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        kind = draw(st.sampled_from(("set", "flip", "remove", "add", "numbers", "cut")))
        if kind == "set":
            changed[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "flip" and changed:
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "remove":
            del changed[at : at + draw(st.integers(1, 8))]
        elif kind == "add":
            changed[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "numbers":
            changed[at : at + 8] = draw(st.sampled_from((b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f", b"\0\0\0\x80")))
        else:
            del changed[at:]
    return bytes(changed)
