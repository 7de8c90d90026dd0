"""Bounds the structure of image files before they are decoded.

No photo reaches these limits, but they bound the time and memory that crafted files take: each scan of a progressive
JPEG visits every block of the image even if it stores nothing, and Pillow reads segments, chunks, the values of TIFF
and Exif directories, and run-length encoded BMPs in Python.
"""

import re
import struct
from collections.abc import Iterator

MAX_SCANS = 30
"""Maximum number of JPEG scans; libjpeg writes 10 for a progressive colour photo."""
MAX_SEGMENTS = 20_000
"""Maximum number of segments of a JPEG, chunks of a PNG or WebP, or extensions of a GIF."""
MAX_VALUES = 300_000
"""Maximum number of values in a TIFF or Exif directory, without values of type byte, text and undefined."""
MAX_RUN_LENGTH_BYTES = 4_000_000
"""Maximum size of a run-length encoded BMP."""

APP1, START_OF_SCAN = b"\xff\xe1", b"\xff\xda"
"""JPEG markers (ITU T.81, table B.1); APP1 carries Exif and XMP."""
_END_OF_IMAGE = b"\xff\xd9"
# In the data of a scan, 0xFF is followed by 0 or a restart marker; before a marker it is padding.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_EXIF = b"Exif\0\0"
# Types of TIFF values: sizes in bytes; those in `_BYTES` are not split into values.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_BYTES = (1, 2, 6, 7)


class UnreadablePhotoError(Exception):
    """A photo cannot be decoded; the message is the reason."""


def check_structure(data: bytes) -> None:
    """Checks the number of parts of an image file, and of the values in its metadata, without decoding it.

    Raises:
        UnreadablePhotoError: There are too many of them, so decoding could take long.
    """
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data)
    elif data.startswith(b"\x89PNG"):
        _check_png(data)
    elif data.startswith(b"RIFF"):
        _check_webp(data)
    elif data.startswith(b"GIF8"):
        _check_count(data.count(b"\0!"))  # an extension after the terminator of the preceding block
    elif data.startswith(b"BM") and data[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(data) > MAX_RUN_LENGTH_BYTES:
        raise UnreadablePhotoError(f"more than {MAX_RUN_LENGTH_BYTES:,} bytes in a run-length encoded BMP")
    else:
        _check_directory(data)


def markers(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yields the markers of a JPEG up to the end of the image, and their ends; like libjpeg, skips other bytes."""
    match = _MARKER.search(data, 2)
    while match and (marker := match[0]) != _END_OF_IMAGE:
        yield marker, match.end()
        match = _MARKER.search(data, match.end() + _length(data, match.end()))


def _length(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 2], "big")


def _check_jpeg(data: bytes) -> None:
    segments, scans, exif = 0, 0, []
    may_have_many = data.count(START_OF_SCAN) > MAX_SCANS  # or a video behind the photo has these bytes
    for marker, start in markers(data):
        segments, scans = segments + 1, scans + (marker == START_OF_SCAN)
        _check_count(segments)
        if scans > MAX_SCANS:
            raise UnreadablePhotoError(f"more than {MAX_SCANS} JPEG scans")
        if marker == APP1 and data[start + 2 : start + 8] == _EXIF:
            exif.append(data[start + 8 : start + _length(data, start)])  # Pillow joins them
        if scans and not may_have_many:
            break
    _check_directory(b"".join(exif))


def _check_png(data: bytes) -> None:
    offset, chunks = 8, 0
    while offset < len(data):
        length, kind = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
        if kind == b"eXIf":
            _check_directory(data[offset + 8 : offset + 8 + length])
        chunks += 1
        _check_count(chunks)
        offset += 12 + length  # with a checksum


def _check_webp(data: bytes) -> None:
    offset, chunks = 12, 0
    while offset < len(data):
        kind, length = data[offset : offset + 4], int.from_bytes(data[offset + 4 : offset + 8], "little")
        if kind == b"EXIF":
            _check_directory(data[offset + 8 : offset + 8 + length].removeprefix(_EXIF))
        chunks += 1
        _check_count(chunks)
        offset += 8 + length + length % 2


def _check_count(segments: int) -> None:
    if segments > MAX_SEGMENTS:
        raise UnreadablePhotoError(f"more than {MAX_SEGMENTS:,} segments")


def _check_directory(data: bytes) -> None:
    """Checks the first directory of a TIFF or BigTIFF file, or of Exif data, which has the same form."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return
    is_big = struct.unpack_from(f"{order}H", data.ljust(4, b"\0"), 2)[0] == 43
    offset_type, count_type, entry = ("Q", "Q", "HHQ8x") if is_big else ("I", "H", "HHI4x")
    values = total = 0
    try:
        (offset,) = struct.unpack_from(order + offset_type, data, 8 if is_big else 4)
        (entries,) = struct.unpack_from(order + count_type, data, offset)
        offset += struct.calcsize(order + count_type)
        for number in range(min(entries, MAX_SEGMENTS + 1)):
            _check_count(number)
            _, kind, count = struct.unpack_from(order + entry, data, offset + number * struct.calcsize(order + entry))
            if (size := count * _SIZES.get(kind, 0)) > len(data):
                continue  # damaged, and skipped by Pillow
            values += 0 if kind in _BYTES else count
            total += size
            # Entries may share their bytes, which earlier versions of Pillow read once for each.
            if values > MAX_VALUES or total > 2 * len(data):
                raise UnreadablePhotoError("too many values in the TIFF or Exif directory")
    except struct.error:
        return  # the directory is cut off, which Pillow reports
