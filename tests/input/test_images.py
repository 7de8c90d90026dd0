"""Crops against resizing the whole photo first, and against torchvision's rules."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from adamine_jax.input import images


def photo(width, height, seed=0):
    """A smooth photo, as JPEG bytes and as decoded pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=98)
    return file.getvalue(), np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize(("width", "height"), [(256, 256), (256, 340), (341, 256)])
def test_a_photo_of_the_right_size_is_only_cut(width, height):
    jpeg, pixels = photo(width, height)
    crop = images.center_crop(tf.constant(jpeg), resize=256, size=224).numpy()
    top, left = (height - 224) // 2, (width - 224) // 2
    # Both decode with libjpeg, but may round the chroma upsampling differently.
    assert np.abs(crop.astype(int) - pixels[top : top + 224, left : left + 224]).max() <= 3


@pytest.mark.parametrize(("width", "height"), [(256, 320), (400, 256), (120, 90), (700, 513)])
@pytest.mark.parametrize(("resize", "size"), [(104, 96), (96, 80), (256, 224)])
def test_other_sizes_are_resized_as_pillow_does_and_cut(width, height, resize, size):
    jpeg, pixels = photo(width, height)
    shorter = min(width, height)
    resized = (int(width * resize / shorter), int(height * resize / shorter))
    whole = np.asarray(Image.fromarray(pixels).resize(resized, Image.Resampling.BILINEAR), float)
    top, left = (resized[1] - size) // 2, (resized[0] - size) // 2
    crop = images.center_crop(tf.constant(jpeg), resize=resize, size=size).numpy()
    difference = np.abs(crop - whole[top : top + size, left : left + size])
    # The JPEG may be decoded at a fraction of its size, which blurs differently; a crop that is off by a pixel
    # differs by 1.0 and more on average.
    assert difference.mean() < 0.8
    assert difference.max() < 12


def test_random_crops_cover_every_position_and_mirror_half():
    jpeg, _ = photo(40, 36)
    rng = np.random.default_rng(0)
    crop = tf.function(lambda u: images.random_crop(tf.constant(jpeg), u, resize=36, size=32, flip=True))
    whole = tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE").numpy()
    windows = {}
    for top in range(5):
        for left in range(9):
            window = whole[top : top + 32, left : left + 32]
            windows[window.tobytes()] = (top, left, False)
            windows[window[:, ::-1].tobytes()] = (top, left, True)
    seen = [windows[crop(tf.constant(rng.random(3), tf.float32)).numpy().tobytes()] for _ in range(900)]
    assert {(top, left) for top, left, _ in seen} == {(top, left) for top in range(5) for left in range(9)}
    assert np.mean([mirrored for *_, mirrored in seen]) == pytest.approx(0.5, abs=0.06)


def test_the_largest_draw_stays_inside():
    jpeg, pixels = photo(50, 40)
    almost_one = tf.constant([np.nextafter(1, 0, dtype=np.float32)] * 3)
    crop = images.random_crop(tf.constant(jpeg), almost_one, resize=40, size=32, flip=False).numpy()
    assert np.abs(crop.astype(int) - pixels[8:, 18:]).max() <= 3


def test_grey_photos_become_rgb():
    file = io.BytesIO()
    Image.new("L", (40, 40), 90).save(file, "JPEG")
    crop = images.center_crop(tf.constant(file.getvalue()), resize=40, size=32).numpy()
    assert crop.shape == (32, 32, 3)
    assert np.abs(crop.astype(int) - 90).max() <= 1
