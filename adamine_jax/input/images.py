"""From a JPEG file to a square crop, inside tf.data."""

import tensorflow as tf

DECODE_RATIOS = (8, 4, 2, 1)
"""A JPEG can be decoded at 1/8, 1/4 or 1/2 of its size at a fraction of the cost."""


def random_crop(jpeg: tf.Tensor, draw: tf.Tensor, *, resize: int, size: int, flip: bool) -> tf.Tensor:
    """Shorter side to `resize`, then a random crop, as torchvision's Resize and RandomCrop.

    Args:
        jpeg: () string, a JPEG file.
        draw: (3,) float32 uniform in [0, 1): crop row, crop column, mirrored or not.
        resize: pixels of the shorter side before the crop.
        size: pixels of the crop's sides, at most `resize`.
        flip: whether to mirror half of the photos.

    Returns:
        (size, size, 3) uint8.
    """
    resized = _resized_shape(jpeg, resize)
    room = tf.cast(resized - size + 1, tf.float32)
    offset = tf.minimum(tf.cast(draw[:2] * room, tf.int32), resized - size)
    crop = _window(jpeg, resized, offset, resize, size)
    if flip:
        crop = tf.cond(draw[2] < 0.5, lambda: crop, lambda: tf.reverse(crop, [1]))
    return crop


def center_crop(jpeg: tf.Tensor, *, resize: int, size: int) -> tf.Tensor:
    """Shorter side to `resize`, then the central crop; see `random_crop`."""
    resized = _resized_shape(jpeg, resize)
    return _window(jpeg, resized, (resized - size) // 2, resize, size)


def _resized_shape(jpeg: tf.Tensor, resize: int) -> tf.Tensor:
    """(2,) int32 height and width of the photo once its shorter side is `resize`, the longer one rounded down."""
    full = tf.io.extract_jpeg_shape(jpeg)[:2]
    scale = resize / tf.cast(tf.reduce_min(full), tf.float64)
    return tf.maximum(tf.cast(tf.cast(full, tf.float64) * scale + 1e-6, tf.int32), resize)


def _window(jpeg: tf.Tensor, resized: tf.Tensor, offset: tf.Tensor, resize: int, size: int) -> tf.Tensor:
    """Cuts a window out of the resized photo, of which only the window's pixels are ever computed."""
    full = tf.io.extract_jpeg_shape(jpeg)[:2]

    def cut() -> tf.Tensor:
        return tf.slice(_decode(jpeg, 1), tf.concat([offset, [0]], 0), [size, size, 3])

    def resample(ratio: int) -> tf.Tensor:
        # Decoded sizes are rounded up, so the scale comes from the full size.
        window = tf.raw_ops.ScaleAndTranslate(
            images=tf.cast(_decode(jpeg, ratio)[None], tf.float32),
            size=[size, size],
            scale=tf.cast(ratio * resized / full, tf.float32),
            translation=-tf.cast(offset, tf.float32),
            kernel_type="triangle",
            antialias=True,
        )[0]
        return tf.cast(tf.clip_by_value(tf.round(window), 0, 255), tf.uint8)

    # The smallest decoded size that is still not below what is asked for.
    shorter = tf.reduce_min(full)
    *smaller, _ = [shorter // ratio >= resize for ratio in DECODE_RATIOS]
    branch = tf.argmax([*smaller, True], output_type=tf.int32)
    resampled = [lambda ratio=ratio: resample(ratio) for ratio in DECODE_RATIOS]
    crop = tf.cond(tf.reduce_all(full == resized), cut, lambda: tf.switch_case(branch, resampled))
    return tf.ensure_shape(crop, (size, size, 3))


def _decode(jpeg: tf.Tensor, ratio: int) -> tf.Tensor:
    # TensorFlow's own choice, the fast integer transform, is off by up to 8 of 255 from what Pillow gives.
    return tf.io.decode_jpeg(jpeg, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")
