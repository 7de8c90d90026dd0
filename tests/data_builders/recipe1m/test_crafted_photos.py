"""Image files whose structure would keep a decoder busy, or that lack a part of their image, are refused."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from adamine_jax.recipes.crops import center_crops
from adamine_jax.recipes.decoding import reduced
from adamine_jax.recipes.photo_structure import UnreadablePhotoError


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo(kind, **options):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    return encoded(Image.fromarray(noise), kind, **options)


def many_scans(count):
    """A progressive JPEG whose last scan is repeated."""
    jpeg = photo("JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * count + b"\xff\xd9"


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def directory(count, kind=5, entries=1):
    """A TIFF directory of the necessary fields of an 8 x 8 image and of orientations that share `count` values."""
    sizes = {3: 2, 5: 8}
    values = count * sizes[kind]
    fields = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    fields += [(277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64)]
    start = 8 + 2 + 12 * (len(fields) + entries) + 4
    fields += [(tag, kind, count, start) for tag in (274, *range(40_000, 40_000 + entries - 1))]
    packed = b"".join(struct.pack("<HHII", *field) for field in sorted(fields))
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + packed + bytes(4) + b"\1\0\0\0" * (values // 4)


def exif_segments(exif):
    """APP1 segments that Pillow joins."""
    parts = [b"Exif\0\0" + exif[start : start + 65_000] for start in range(0, len(exif), 65_000)]
    return b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)


def tiff(strips):
    """A TIFF of one row per strip, which all share their data."""
    fields = [(256, 4, 1, 8), (257, 4, 1, strips), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    start = 8 + 2 + 12 * 9 + 4
    fields += [(273, 4, strips, start), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, strips, start + 4 * strips)]
    packed = b"".join(struct.pack("<HHII", *field) for field in fields)
    return struct.pack("<2sHIH", b"II", 42, 8, 9) + packed + bytes(4) + b"\x08\0\0\0" * 2 * strips


def run_length_bmp(runs):
    head = struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 1078, 40, 8000, 7000, 1, 8, 1, 2 * runs, 0, 0, 256, 0)
    return b"BM" + head + bytes(1024) + b"\x01\x07" * runs


JPEG, PNG, GIF, WEBP = photo("JPEG"), photo("PNG"), photo("GIF"), photo("WEBP")
EXIF, SHARED = directory(600_000), directory(6_000, entries=100)
VALUES = "too many values in the TIFF or Exif directory"
CRAFTED = {
    "scans": (many_scans(30_000), "more than 30 JPEG scans"),
    "scans behind garbage": (many_scans(500).replace(b"\xff\xda", b"\0\0\xff\xda", 1), "more than 30 JPEG scans"),
    "segments": (JPEG[:2] + b"\xff\xe0\x00\x02" * 500_000 + JPEG[2:], "more than 20,000 segments"),
    "chunks": (PNG[:33] + chunk(b"teXt") * 100_000 + PNG[33:], "more than 20,000 segments"),
    "chunks of a WebP": (WEBP + b"abcd\0\0\0\0" * 100_000, "more than 20,000 segments"),
    "strips": (tiff(1_000_000), VALUES),
    "values": (EXIF, VALUES),
    "shared values": (SHARED, VALUES),
    "many shared bytes": (directory(20_000, 3, entries=14), VALUES),
    "Exif of a JPEG": (JPEG[:2] + exif_segments(EXIF) + JPEG[2:], VALUES),
    "Exif of a PNG": (PNG[:33] + chunk(b"eXIf", EXIF) + PNG[33:], VALUES),
    "Exif of a WebP": (WEBP + b"EXIF" + struct.pack("<I", len(EXIF)) + EXIF, VALUES),
    "runs": (run_length_bmp(4_000_000), "more than 4,000,000 bytes in a run-length"),
    "comments": (GIF[:-1] + b"!\xfe\x01a\0" * 100_000 + GIF[-1:], "more than 20,000 segments"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_files_that_would_take_minutes_are_refused_before_decoding(name, monkeypatch):
    data, message = CRAFTED[name]
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(UnreadablePhotoError, match=message):
        reduced(data, 256)


def test_a_crafted_training_photo_is_not_decoded():
    crops, is_decoded = center_crops(40, 32)([many_scans(30_000), JPEG], np.zeros((2, 3), np.float32))
    assert is_decoded.tolist() == [False, True]
    assert not crops[0].any()


def test_bytes_behind_the_image_are_not_counted_as_scans():
    """Phones append a video to the photo, which contains any two bytes by chance."""
    assert reduced(photo("JPEG", progressive=True) + b"\xff\xda\x00\x08" * 1000, 256)[1:] == ((80, 60), "JPEG")


def test_photos_with_many_scans_segments_and_frames_are_still_read():
    assert reduced(many_scans(20), 256)[1:] == ((80, 60), "JPEG")
    assert reduced(JPEG[:2] + b"\xff\xe0\x00\x02" * 1000 + JPEG[2:], 256)[1] == (80, 60)
    assert reduced(PNG[:33] + chunk(b"teXt") * 1000 + PNG[33:], 256)[1:] == ((80, 60), "PNG")
    assert reduced(tiff(20_000), 8)[1:] == ((8, 20_000), "TIFF")


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_picture_that_no_jpeg_can_store_is_refused(kind):
    file = io.BytesIO()
    Image.new("L", (65_535, 1)).save(file, kind)
    with pytest.raises(UnreadablePhotoError, match="65535 x 1 pixels are too elongated"):
        reduced(file.getvalue(), 256)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "stored RGB", "rotated"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_photo_whose_data_end_before_the_image_is_unreadable(mode, progressive):
    """Pillow decodes such a file without an error, and with a grey area."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"stored RGB": {"keep_rgb": True}, "rotated": {"exif": exif}}.get(mode, {})
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    image = noise.convert(mode) if mode in ("L", "CMYK") else noise
    data = bytearray(encoded(image, "JPEG", progressive=progressive, **options))
    assert reduced(bytes(data), 256)
    sizes = re.search(rb"\xff[\xc0\xc2]\0.\x08", data).end()
    for height, width in ((64, 8000), (8000, 64), (80, 80)):
        data[sizes : sizes + 4] = struct.pack(">HH", height, width)
        Image.open(io.BytesIO(data)).load()
        with pytest.raises(UnreadablePhotoError, match="truncated or damaged image \\(premature end"):
            reduced(bytes(data), 256)
