"""Crops, compared with those of the whole resized photo and with torchvision's rules."""

import io

import numpy as np
import pytest
import simplejpeg
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adamine_jax.recipes.crops import center_crops, random_crops


def photo(width, height, seed=0):
    """Returns a smooth photo as JPEG bytes and as decoded pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=98)
    return file.getvalue(), np.asarray(Image.open(file).convert("RGB"))


def center_crop(jpeg, resize, size):
    crops, is_decoded = center_crops(resize, size)([jpeg], np.zeros((1, 3), np.float32))
    assert is_decoded.all()
    return crops[0]


def random_crop(jpeg, draw, resize, size, flip):
    crops, is_decoded = random_crops(resize, size, flip)([jpeg], np.reshape(draw, (1, 3)).astype(np.float32))
    assert is_decoded.all()
    return crops[0]


@pytest.mark.parametrize(("width", "height"), [(256, 256), (256, 340), (341, 256)])
def test_a_photo_of_the_right_size_is_only_cropped(width, height):
    jpeg, pixels = photo(width, height)
    crop = center_crop(jpeg, resize=256, size=224)
    top, left = (height - 224) // 2, (width - 224) // 2
    np.testing.assert_array_equal(crop, pixels[top : top + 224, left : left + 224])


@pytest.mark.parametrize(("width", "height"), [(256, 320), (400, 256), (120, 90), (700, 513)])
@pytest.mark.parametrize(("resize", "size"), [(104, 96), (96, 80), (256, 224)])
def test_other_sizes_are_resized_like_pillow_and_cropped(width, height, resize, size):
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
    crops, _ = random_crops(36, 32, flip=True)([jpeg] * 900, rng.random((900, 3), np.float32))
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
def test_a_window_has_the_pixels_of_the_whole_photo(options):
    """Covers every offset from the blocks of 16 pixels, and the photo's edges."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 84, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    whole = tf.io.decode_jpeg(file.getvalue(), channels=3, dct_method="INTEGER_ACCURATE").numpy()
    corners = [(top, left) for top in range(0, 23, 11) for left in range(37)] + [(top, 5) for top in range(23)]
    draws = np.array([((top + 0.5) / 23, (left + 0.5) / 37, 0) for top, left in corners], np.float32)
    crops, is_decoded = random_crops(70, 48, flip=False)([file.getvalue()] * len(corners), draws)
    assert is_decoded.all()
    for crop, (top, left) in zip(crops, corners, strict=True):
        np.testing.assert_array_equal(crop, whole[top : top + 48, left : left + 48])


def test_photos_of_several_sizes_keep_their_order():
    sizes = [(40, 40), (80, 60), (40, 48), (330, 400), (33, 50)]
    jpegs = [photo(*size, seed)[0] for seed, size in enumerate(sizes)]
    crops, _ = center_crops(40, 32)(jpegs, np.zeros((len(sizes), 3), np.float32))
    for crop, jpeg in zip(crops, jpegs, strict=True):
        np.testing.assert_array_equal(crop, center_crop(jpeg, resize=40, size=32))


def resampled(jpeg, draw, resize, size):
    """Computes the window with TensorFlow's decoder and resampling, in floating point."""
    full = np.array(tf.io.extract_jpeg_shape(jpeg)[:2])
    resized = np.maximum((full * (resize / full.min()) + 1e-6).astype(int), resize)
    offset = np.minimum((draw[:2] * (resized - size + 1).astype(np.float32)).astype(int), resized - size)
    ratio = next(ratio for ratio in (8, 4, 2, 1) if ratio == 1 or full.min() // ratio >= resize)
    decoded = tf.io.decode_jpeg(jpeg, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")
    window = tf.raw_ops.ScaleAndTranslate(
        images=tf.cast(decoded[None], tf.float32),
        size=[size, size],
        scale=(ratio * resized / full).astype(np.float32),
        translation=-offset.astype(np.float32),
        kernel_type="triangle",
        antialias=True,
    )[0].numpy()
    return window[:, ::-1] if draw[2] >= 0.5 else window


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.tuples(st.integers(20, 330), st.integers(20, 330)), min_size=1, max_size=20),
    seed=st.integers(0, 99),
)
def test_windows_of_any_size_equal_tensorflows(sizes, seed):
    jpegs = [photo(*size, seed)[0] for size in sizes]
    draws = np.random.default_rng(seed).random((len(jpegs), 3), np.float32)
    crops, is_decoded = random_crops(36, 32, flip=True)(jpegs, draws)
    assert is_decoded.all()
    for crop, jpeg, draw in zip(crops, jpegs, draws, strict=True):
        # Pillow's weights have eight bits less than a float, and both of its passes round.
        assert np.abs(crop - resampled(jpeg, draw, 36, 32)).max() <= 1.6


@pytest.mark.parametrize("damage", [lambda jpeg: b"", lambda jpeg: jpeg[:200], lambda jpeg: b"\0" * len(jpeg)])
@pytest.mark.parametrize("resize", [40, 36])
def test_a_damaged_photo_is_reported_and_does_not_affect_others(damage, resize):
    whole, _ = photo(40, 40)
    jpegs = [whole] * 40
    jpegs[7], jpegs[30] = damage(whole), damage(whole)
    crops, is_decoded = center_crops(resize, 32)(jpegs, np.zeros((40, 3), np.float32))
    assert np.flatnonzero(~is_decoded).tolist() == [7, 30]
    assert not crops[[7, 30]].any()
    np.testing.assert_array_equal(crops[is_decoded], np.stack([center_crop(whole, resize, 32)] * 38))


def test_a_truncated_photo_is_reported():
    jpeg, _ = photo(40, 120)
    for length in (len(jpeg) // 4, len(jpeg) - 40):
        crops, is_decoded = center_crops(40, 32)([jpeg[:length]], np.zeros((1, 3), np.float32))
        assert not is_decoded.any()
        assert not crops.any()


@pytest.mark.parametrize("mode", ["CMYK", "L"])
@pytest.mark.parametrize("side", [40, 80])
def test_other_colour_spaces_are_converted_like_pillow(mode, side):
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((side, side)).convert(mode).save(file, "JPEG")
    expected = np.asarray(Image.open(file).convert("RGB").reduce(side // 40))[4:36, 4:36].astype(int)
    assert np.abs(center_crop(file.getvalue(), resize=40, size=32) - expected).max() <= (1 if side == 40 else 6)


def test_photos_with_decoder_warnings_are_used():
    jpeg, pixels = photo(40, 40)
    damaged = jpeg[:-2] + b"\0" * 9 + jpeg[-2:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(damaged)
    np.testing.assert_array_equal(center_crop(damaged, resize=40, size=32), pixels[4:36, 4:36])
