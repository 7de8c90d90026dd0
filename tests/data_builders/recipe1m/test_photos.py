import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from data_builders.recipe1m import photos
from data_builders.recipe1m.photos import UnreadablePhotoError, load_photo, map_in_order, reduced
from tests.data_builders.recipe1m.download import jpeg


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
    with pytest.raises(UnreadablePhotoError, match="8001 x 8000 pixels are too many"):
        small_jpeg(bomb, 256)


def test_other_formats_under_the_name_of_a_jpeg_are_read():
    for file_format in ("PNG", "WEBP", "GIF", "BMP", "TIFF"):
        assert decoded(small_jpeg(encoded(Image.new("RGB", (9, 7)), file_format), 256)).size == (9, 7)


def test_photos_are_found_by_their_first_four_characters(tmp_path):
    path = tmp_path / "val" / "6" / "b" / "d" / "c" / "6bdca6e490.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(jpeg())
    assert load_photo(tmp_path, "val", "6bdca6e490.jpg", 256).jpeg == small_jpeg(jpeg(), 256)
    assert load_photo(tmp_path, "train", "6bdca6e490.jpg", 256).problem == "missing"
    path.write_bytes(b"")
    assert "not an image" in load_photo(tmp_path, "val", "6bdca6e490.jpg", 256).problem
    path.unlink()
    path.mkdir()
    assert load_photo(tmp_path, "val", "6bdca6e490.jpg", 256).problem == "missing"


@pytest.mark.parametrize(
    "name", ["../../../x.jpg", "/etc/passwd", "6bdca6e490", "6bdca6e490.png", "6bdca6e490.jpg\n", "", None, 5]
)
def test_an_id_that_is_no_photo_id_never_becomes_a_path(tmp_path, name):
    assert "its id is not" in load_photo(tmp_path, "val", name, 256).problem


@pytest.mark.parametrize("workers", [1, 3])
def test_work_is_done_in_order_and_not_far_ahead(workers):
    taken = []

    def items():
        for n in range(200):
            taken.append(n)
            yield n

    done = []
    for item, result in map_in_order(lambda n: n * n, items(), workers):
        done.append((item, result))
        assert len(taken) - len(done) <= photos.AHEAD * workers
    assert done == [(n, n * n) for n in range(200)]


def test_items_that_are_not_wanted_keep_their_place():
    done = map_in_order(lambda n: -n, range(90), 2, lambda n: n % 3 == 0)
    assert list(done) == [(n, None if n % 3 else -n) for n in range(90)]


def test_threads_work_at_the_same_time():
    barrier = threading.Barrier(2, timeout=20)  # passes only when two calls are under way at once
    assert len(list(map_in_order(lambda _: barrier.wait() or time.monotonic(), range(4), 2))) == 4


def test_an_image_that_fits_the_limit_is_not_refused(monkeypatch):
    monkeypatch.setattr(photos, "MAX_PIXELS", 64)
    small_jpeg(encoded(Image.new("RGB", (8, 8))), 256)
    with pytest.raises(UnreadablePhotoError):
        small_jpeg(encoded(Image.new("RGB", (13, 5))), 256)
