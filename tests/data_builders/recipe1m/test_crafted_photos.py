"""Image files whose structure would keep a decoder busy for minutes are refused before decoding."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from adamine_jax.recipes.crops import center_crops
from adamine_jax.recipes.decoding import UnreadablePhotoError, reduced


def photo(kind, **options):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(file, kind, **options)
    return file.getvalue()


def many_scans(count):
    """A progressive JPEG whose last scan is repeated."""
    jpeg = photo("JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * count + b"\xff\xd9"


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


JPEG, PNG, GIF = photo("JPEG"), photo("PNG"), photo("GIF")
CRAFTED = {
    "scans": (many_scans(30_000), "more than 100 JPEG scans"),
    "scans behind garbage": (many_scans(500).replace(b"\xff\xda", b"\0\0\xff\xda", 1), "more than 100 JPEG scans"),
    "segments": (JPEG[:2] + b"\xff\xe0\x00\x02" * 500_000 + JPEG[2:], "more than 20,000 segments"),
    "chunks": (PNG[:33] + chunk(b"teXt") * 100_000 + PNG[33:], "more than 20,000 segments"),
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
