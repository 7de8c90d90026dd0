"""From JPEG files to square crops, inside TensorFlow."""

import functools
import os
from collections.abc import Callable

import tensorflow as tf

DECODE_RATIOS = (8, 4, 2, 1)
"""A JPEG can be decoded at 1/8, 1/4 or 1/2 of its size at a fraction of the cost."""

DCT = "INTEGER_ACCURATE"
"""TensorFlow's own choice, the fast integer transform, is off by up to 8 of 255 from what Pillow gives."""

MARGIN = 1
"""Columns decoded on either side of a window: chroma is interpolated, and at an edge from one side alone."""


@functools.cache
def random_crops(resize: int, size: int, flip: bool) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Shorter side to `resize`, then a random crop, as torchvision's Resize and RandomCrop.

    Args:
        resize: pixels of the shorter side before the crop.
        size: pixels of the crop's sides, at most `resize`.
        flip: whether to mirror half of the photos.

    Returns:
        A compiled function of (B,) strings, JPEG files, and (B, 3) float32 uniform in [0, 1): crop row, crop column,
        mirrored or not. It gives (B, size, size, 3) uint8, or raises an `InvalidArgumentError` where a file is no JPEG
        or is cut off within its window.
    """

    def crop_all(jpegs: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        full, resized = _shapes(jpegs, resize)
        room = tf.cast(resized - size + 1, tf.float32)
        offset = tf.minimum(tf.cast(draws[:, :2] * room, tf.int32), resized - size)
        is_mirrored = draws[:, 2] >= 0.5 if flip else None
        return _windows(jpegs, full, resized, offset, resize, size, is_mirrored)

    return _compiled(crop_all)


@functools.cache
def center_crops(resize: int, size: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Shorter side to `resize`, then the central crop; the function takes draws as well and does not read them.

    See `random_crops`.
    """

    def crop_all(jpegs: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        full, resized = _shapes(jpegs, resize)
        return _windows(jpegs, full, resized, (resized - size) // 2, resize, size, None)

    return _compiled(crop_all)


def _compiled(crop_all: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    signature = (tf.TensorSpec((None,), tf.string), tf.TensorSpec((None, 3), tf.float32))
    return tf.function(crop_all, input_signature=signature, autograph=False).get_concrete_function()


def _shapes(jpegs: tf.Tensor, resize: int) -> tuple[tf.Tensor, tf.Tensor]:
    """(B, 2) int32 height and width of the photos, and once their shorter sides are `resize`, the others rounded down.

    Only the files' headers are read.
    """
    shape = tf.TensorSpec((2,), tf.int32)
    full = tf.map_fn(lambda jpeg: tf.io.extract_jpeg_shape(jpeg)[:2], jpegs, fn_output_signature=shape)
    scale = resize / tf.cast(tf.reduce_min(full, 1, keepdims=True), tf.float64)
    return full, tf.maximum(tf.cast(tf.cast(full, tf.float64) * scale + 1e-6, tf.int32), resize)


def _windows(
    jpegs: tf.Tensor,
    full: tf.Tensor,
    resized: tf.Tensor,
    offset: tf.Tensor,
    resize: int,
    size: int,
    is_mirrored: tf.Tensor | None,
) -> tf.Tensor:
    """Cuts a window out of each resized photo, of which only the window's pixels are ever computed."""

    def window(row: tuple[tf.Tensor, ...]) -> tf.Tensor:
        jpeg, full, resized, offset, is_same, *mirrored = row
        crop = tf.cond(
            is_same,
            lambda: _cut(jpeg, full, offset, size),
            lambda: _resampled(jpeg, full, resized, offset, resize, size),
        )
        if mirrored:
            crop = tf.cond(mirrored[0], lambda: tf.reverse(crop, [1]), lambda: crop)
        return tf.ensure_shape(crop, (size, size, 3))

    rows = [jpegs, full, resized, offset, tf.reduce_all(full == resized, 1)]
    if is_mirrored is not None:
        rows.append(is_mirrored)
    output = tf.TensorSpec((size, size, 3), tf.uint8)
    return tf.map_fn(window, tuple(rows), fn_output_signature=output, parallel_iterations=os.cpu_count())


def _cut(jpeg: tf.Tensor, full: tf.Tensor, offset: tf.Tensor, size: int) -> tf.Tensor:
    """A window of a photo that has the right size already; the rows below it are not even decoded."""
    first = tf.maximum(offset[1] - MARGIN, 0)
    columns = tf.minimum(offset[1] + size + MARGIN, full[1]) - first
    decoded = tf.io.decode_and_crop_jpeg(jpeg, tf.stack([offset[0], first, size, columns]), 3, dct_method=DCT)
    return tf.slice(decoded, tf.stack([0, offset[1] - first, 0]), [size, size, 3])


def _resampled(
    jpeg: tf.Tensor, full: tf.Tensor, resized: tf.Tensor, offset: tf.Tensor, resize: int, size: int
) -> tf.Tensor:
    """A window of the resized photo, from the smallest decoded size that is not below what is asked for."""

    def resample(ratio: int) -> tf.Tensor:
        decoded = tf.io.decode_jpeg(jpeg, channels=3, ratio=ratio, dct_method=DCT)
        # Decoded sizes are rounded up, so the scale comes from the full size.
        window = tf.raw_ops.ScaleAndTranslate(
            images=tf.cast(decoded[None], tf.float32),
            size=[size, size],
            scale=tf.cast(ratio * resized / full, tf.float32),
            translation=-tf.cast(offset, tf.float32),
            kernel_type="triangle",
            antialias=True,
        )[0]
        return tf.cast(tf.clip_by_value(tf.round(window), 0, 255), tf.uint8)

    shorter = tf.reduce_min(full)
    *smaller, _ = [shorter // ratio >= resize for ratio in DECODE_RATIOS]
    branch = tf.argmax([*smaller, True], output_type=tf.int32)
    return tf.switch_case(branch, [functools.partial(resample, ratio) for ratio in DECODE_RATIOS])
