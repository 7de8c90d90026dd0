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


def center_crop(jpeg, resize, size):
    return images.center_crops(resize, size)(tf.constant([jpeg]), tf.zeros((1, 3)))[0].numpy()


def random_crop(jpeg, draw, resize, size, flip):
    draws = tf.constant(np.reshape(draw, (1, 3)), tf.float32)
    return images.random_crops(resize, size, flip)(tf.constant([jpeg]), draws)[0].numpy()


@pytest.mark.parametrize(("width", "height"), [(256, 256), (256, 340), (341, 256)])
def test_a_photo_of_the_right_size_is_only_cut(width, height):
    jpeg, pixels = photo(width, height)
    crop = center_crop(jpeg, resize=256, size=224)
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
    crop = center_crop(jpeg, resize=resize, size=size)
    difference = np.abs(crop - whole[top : top + size, left : left + size])
    # The JPEG may be decoded at a fraction of its size, which blurs differently; a crop that is off by a pixel
    # differs by 1.0 and more on average.
    assert difference.mean() < 0.8
    assert difference.max() < 12


def test_random_crops_cover_every_position_and_mirror_half():
    jpeg, _ = photo(40, 36)
    rng = np.random.default_rng(0)
    whole = tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE").numpy()
    windows = {}
    for top in range(5):
        for left in range(9):
            window = whole[top : top + 32, left : left + 32]
            windows[window.tobytes()] = (top, left, False)
            windows[window[:, ::-1].tobytes()] = (top, left, True)
    draws = tf.constant(rng.random((900, 3)), tf.float32)
    crops = images.random_crops(36, 32, flip=True)(tf.constant([jpeg] * 900), draws).numpy()
    seen = [windows[crop.tobytes()] for crop in crops]
    assert {(top, left) for top, left, _ in seen} == {(top, left) for top in range(5) for left in range(9)}
    assert np.mean([mirrored for *_, mirrored in seen]) == pytest.approx(0.5, abs=0.06)


def test_the_largest_draw_stays_inside():
    jpeg, pixels = photo(50, 40)
    almost_one = np.full(3, np.nextafter(1, 0, dtype=np.float32))
    crop = random_crop(jpeg, almost_one, resize=40, size=32, flip=False)
    assert np.abs(crop.astype(int) - pixels[8:, 18:]).max() <= 3


def test_grey_photos_become_rgb():
    file = io.BytesIO()
    Image.new("L", (40, 40), 90).save(file, "JPEG")
    crop = center_crop(file.getvalue(), resize=40, size=32)
    assert crop.shape == (32, 32, 3)
    assert np.abs(crop.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}])
def test_a_window_decoded_alone_has_the_pixels_of_the_whole_photo(options):
    """Every distance from the blocks of 16 pixels, and the photo's edges."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 84, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    whole = tf.io.decode_jpeg(file.getvalue(), channels=3, dct_method="INTEGER_ACCURATE").numpy()
    corners = [(top, left) for top in range(0, 23, 11) for left in range(37)] + [(top, 5) for top in range(23)]
    draws = np.array([((top + 0.5) / 23, (left + 0.5) / 37, 0) for top, left in corners], np.float32)
    crops = images.random_crops(70, 48, flip=False)(tf.constant([file.getvalue()] * len(corners)), tf.constant(draws))
    for crop, (top, left) in zip(crops.numpy(), corners, strict=True):
        np.testing.assert_array_equal(crop, whole[top : top + 48, left : left + 48])


def test_photos_of_several_sizes_keep_their_places():
    sizes = [(40, 40), (80, 60), (40, 48), (330, 400), (33, 50)]
    jpegs = [photo(*size, seed)[0] for seed, size in enumerate(sizes)]
    crops = images.center_crops(40, 32)(tf.constant(jpegs), tf.zeros((len(sizes), 3))).numpy()
    for crop, jpeg in zip(crops, jpegs, strict=True):
        np.testing.assert_array_equal(crop, center_crop(jpeg, resize=40, size=32))


@pytest.mark.parametrize("damage", [lambda jpeg: b"", lambda jpeg: jpeg[:200], lambda jpeg: b"\0" * len(jpeg)])
@pytest.mark.parametrize("resize", [40, 36])
def test_a_photo_that_cannot_be_decoded_is_an_error(damage, resize):
    jpeg, _ = photo(40, 40)
    with pytest.raises(tf.errors.InvalidArgumentError):
        center_crop(damage(jpeg), resize=resize, size=32)
