import io
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from adamine_jax.recipes import decoding
from adamine_jax.recipes.decoding import decode_plain_jpeg, decode_small, reduced
from adamine_jax.recipes.photo_structure import UnreadablePhotoError
from data_builders.recipe1m.passes.photos import map_in_order


def encoded(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def small_jpeg(data: bytes, shorter_side: int) -> bytes:
    return reduced(data, shorter_side)[0]


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return image


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((400, 300), (341, 256)),
        ((300, 400), (256, 341)),
        ((1000, 256), (1000, 256)),
        ((90, 40), (90, 40)),
        ((1, 1), (1, 1)),
    ],
)
def test_the_shorter_side_is_reduced_and_never_enlarged(size, expected):
    assert decoded(small_jpeg(encoded(Image.new("RGB", size)), 256)).size == expected


def test_reducing_is_antialiased():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(decoded(small_jpeg(encoded(Image.fromarray(stripes)), 64)), np.float64)
    assert np.abs(small - 127.5).max() < 6


def test_a_photograph_changes_little():
    gradient = np.stack(np.meshgrid(np.arange(200), np.arange(200)), -1).astype(np.uint8)
    image = Image.fromarray(np.concatenate([gradient, gradient[..., :1]], -1))
    assert np.abs(np.asarray(decoded(small_jpeg(encoded(image), 256)), int) - np.asarray(image, int)).mean() < 1.5


@pytest.mark.parametrize("size", [(512, 512), (1280, 1024), (900, 2100), (600, 500)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_jpegs_are_decoded_small_and_look_the_same(size, orientation):
    rng = np.random.default_rng(1)
    patches = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    patches.save(file, "JPEG", quality=95, exif=exif)
    small, told, _ = reduced(file.getvalue(), 256)
    upright = patches if orientation == 1 else patches.transpose(Image.Transpose.ROTATE_270)
    assert told == upright.size
    found = decoded(small)
    assert min(found.size) == 256
    assert max(abs(one - 256 * two / min(size)) for one, two in zip(found.size, upright.size, strict=True)) <= 1
    expected = upright.resize(found.size, Image.Resampling.BILINEAR)
    difference = np.asarray(found, float) - np.asarray(expected, float)
    assert np.abs(difference).mean() < 1.5
    assert abs(difference.mean()) < 0.3


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (8, 8), 100), (100, 100, 100)),
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (Image.new("LA", (8, 8), (0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (200, 0, 0, 255)), (200, 0, 0)),
        (Image.new("RGBA", (8, 8), (200, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4), (10, 200, 30)),
        (Image.fromarray(np.full((8, 8), 40_000, np.uint16)), (156, 156, 156)),
    ],
    ids=["grey", "bitmap", "grey-clear", "opaque", "clear", "palette", "16-bit"],
)
def test_every_kind_of_image_becomes_rgb(image, expected):
    pixel = decoded(small_jpeg(encoded(image), 256)).getpixel((4, 4))
    assert np.abs(np.subtract(pixel, expected)).max() <= 3


def test_print_colours_become_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = decoded(small_jpeg(encoded(image, "JPEG"), 256)).getpixel((4, 4))
    assert red > 200
    assert max(green, blue) < 60


def test_the_orientation_a_camera_noted_is_applied():
    image = Image.new("RGB", (40, 20), "white")
    image.paste((0, 0, 0), (0, 0, 20, 20))  # the left half is black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    upright = decoded(small_jpeg(encoded(image, "JPEG", exif=exif), 256))
    assert upright.size == (20, 40)
    assert sum(upright.getpixel((10, 5))) < 60
    assert sum(upright.getpixel((10, 35))) > 700
    assert not upright.getexif()


def test_the_orientation_that_a_program_noted_in_xmp_is_applied():
    image = Image.new("RGB", (40, 20), "white")
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert decoded(small_jpeg(encoded(image, "JPEG", xmp=xmp), 256)).size == (20, 40)


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    shorter_side=st.integers(1, 300),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    progressive=st.booleans(),
)
def test_plain_jpegs_have_the_pixels_that_pillow_decodes(sides, shorter_side, quality, subsampling, progressive):
    patches = np.random.default_rng(sum(sides)).integers(0, 256, (9, 9, 3), np.uint8)
    image = Image.fromarray(patches).resize(sides, Image.Resampling.BICUBIC)
    data = encoded(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    pixels, size = decode_plain_jpeg(data, shorter_side)
    expected = Image.open(io.BytesIO(data))
    decode_small(expected, shorter_side)
    assert size == sides
    assert np.array_equal(pixels, np.asarray(expected))
    small, told, file_format = reduced(data, shorter_side)
    assert (told, file_format) == (sides, "JPEG")
    kept = decoded(small)
    assert min(kept.size) == min(*sides, shorter_side)
    again, _ = decoding.encoded(expected, shorter_side)
    assert np.array_equal(np.asarray(decoded(again)), np.asarray(kept))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_orientation_is_applied_as_pillow_does(mode, orientation):
    image, exif = Image.effect_noise((41, 20), 90).convert(mode), Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "JPEG", exif=exif)
    pixels, size = decode_plain_jpeg(data, 256)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert size == expected.size
    assert np.array_equal(pixels, np.asarray(expected.convert("RGB")))
    png = encoded(image, "PNG", exif=exif)
    assert reduced(png, 256) == (decoding.encoded(ImageOps.exif_transpose(image_of(png)), 256)[0], size, "PNG")


def image_of(data):
    return Image.open(io.BytesIO(data))


def test_what_needs_a_second_look_is_not_decoded_plainly():
    image = Image.new("RGB", (30, 20), "red")
    plain = encoded(image, "JPEG")
    assert decode_plain_jpeg(plain, 256)
    for data in (
        encoded(image),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "JPEG", keep_rgb=True),
        *(plain[:length] for length in range(len(plain))),
    ):
        assert decode_plain_jpeg(data, 256) is None


def test_a_photo_with_only_decoder_warnings_is_read():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = bytearray(encoded(Image.fromarray(noise), "JPEG"))
    data[len(data) // 2 : len(data) // 2 + 8] = b"\xff\x00" * 4  # no code of the standard's tables is all ones
    assert decode_plain_jpeg(bytes(data), 256) is None
    assert decoded(small_jpeg(bytes(data), 256)).size == (64, 64)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_photo_that_is_cut_off_is_unreadable(share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    with pytest.raises(UnreadablePhotoError):
        small_jpeg(data[: int(share * len(data))], 256)


@pytest.mark.parametrize("data", [b"<html>404</html>", b"\xff\xd8\xff" + bytes(100), b"GIF89a" + b"\xff" * 50, b"%!PS"])
def test_what_is_no_image_is_unreadable(data):
    with pytest.raises(UnreadablePhotoError):
        small_jpeg(data, 256)


def test_a_huge_image_is_refused_before_it_is_decoded():
    # Compresses to a few kB, would decode to 64 million pixels.
    bomb = encoded(Image.new("1", (8001, 8000)))
    assert len(bomb) < 20_000
    with pytest.raises(UnreadablePhotoError, match="8001 x 8000 pixels exceed the limit"):
        small_jpeg(bomb, 256)


def test_other_formats_under_the_name_of_a_jpeg_are_read():
    for file_format in ("PNG", "WEBP", "GIF", "BMP", "TIFF"):
        assert decoded(small_jpeg(encoded(Image.new("RGB", (9, 7)), file_format), 256)).size == (9, 7)


def test_an_image_that_fits_the_limit_is_not_refused(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64)
    small_jpeg(encoded(Image.new("RGB", (8, 8))), 256)
    with pytest.raises(UnreadablePhotoError):
        small_jpeg(encoded(Image.new("RGB", (13, 5))), 256)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_a_photo_that_is_converted_in_bands_is_the_same(monkeypatch, mode):
    noise = np.random.default_rng(1).integers(0, 256, (50, 31, 4), np.uint8)
    image = Image.fromarray(noise).convert("RGB" if mode == "CMYK" else "L" if mode[0] in "IF" else "RGBA")
    if mode[0] in "IF":
        image = Image.fromarray((np.asarray(image) * 200).astype({"I;16": "<u2", "I": "<i4", "F": "<f4"}[mode]))
    elif mode == "P":
        image = image.quantize(16)
    else:
        image = image.convert(mode)
    whole = decoding.encoded(image.copy(), 20)
    monkeypatch.setattr(decoding, "_BAND", 31 * 7)
    assert decoding.encoded(image, 20) == whole


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16"])
def test_the_largest_photo_takes_bounded_memory(tmp_path, mode):
    file_format = "JPEG" if mode == "CMYK" else "PNG"
    (tmp_path / "photo").write_bytes(encoded(Image.new(mode, (8000, 8000)), file_format))
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from adamine_jax.recipes.decoding import read_photo, reduced\n"
        "reduced(read_photo(Path(sys.argv[1])), 256)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, tmp_path / "photo"]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    # 244 MiB of pixels as they are in the file, the same again as RGB, and the interpreter.
    assert peak < 700 * 1024


def test_large_photos_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(decoding, "_LARGE", 20)
    inside, most, lock = 0, 0, threading.Lock()
    original = decoding.encoded

    def counted(*args):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        try:
            return original(*args)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr(decoding, "encoded", counted)
    data = encoded(Image.new("RGB", (600, 600)))
    list(map_in_order(lambda _: reduced(data, 256), range(20), 4))
    assert most == 1


def test_a_file_of_too_many_bytes_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_BYTES", 1000)
    (tmp_path / "photo").write_bytes(bytes(1000))
    assert len(decoding.read_photo(tmp_path / "photo")) == 1000
    (tmp_path / "photo").write_bytes(bytes(1001))
    with pytest.raises(UnreadablePhotoError, match="more than 1,000 bytes"):
        decoding.read_photo(tmp_path / "photo")


def test_a_pipe_which_tells_no_size_is_not_read_byte_by_byte():
    content, reads = bytes(range(256)) * 200, []

    class Counted(io.FileIO):
        def read(self, size):
            reads.append(size)
            return super().read(size)

    class Pipe:
        def open(self, mode, buffering):
            end, other = os.pipe()
            os.write(other, content)  # as much as it holds at once, and less
            os.close(other)
            return Counted(end, mode)

    assert decoding.read_photo(Pipe()) == content
    assert len(reads) < 20
