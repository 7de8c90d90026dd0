"""Colour jitter and random erasing of photos, on the device, for each row of a batch alone."""

import jax
import jax.numpy as jnp

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel, as in ITU-R BT.601."""
_AREA, _RATIO = (0.02, 0.33), (0.3, 3.3)


def augment(images: jax.Array, keys: jax.Array, *, jitter: float = 0.0, erase: float = 0.0) -> jax.Array:
    """Changes the colours of photos and erases a rectangle of some.

    Args:
        images: (B, S, S, 3) RGB in 0..255.
        keys: (B,) PRNG keys.
        jitter: Brightness, contrast and saturation are each multiplied by a number from [1 − jitter, 1 + jitter].
        erase: Probability with which a rectangle of 2 to 33 % of a photo, with an aspect ratio of 0.3 to 3.3, becomes
            the photo's mean colour (Zhong et al., *Random erasing data augmentation*, AAAI 2020).

    Returns:
        (B, S, S, 3) float32 in 0..255.
    """

    def one(image: jax.Array, key: jax.Array) -> jax.Array:
        colour_key, rectangle_key = jax.random.split(key)
        image = image.astype(jnp.float32)
        if jitter:
            image = jittered(image, jax.random.uniform(colour_key, (3,), minval=1 - jitter, maxval=1 + jitter))
        if erase:
            image = erased(image, jax.random.uniform(rectangle_key, (5,)), erase)
        return image

    return jax.vmap(one)(images, keys)


def jittered(image: jax.Array, factors: jax.Array) -> jax.Array:
    """Multiplies brightness, contrast and saturation of a photo (S, S, 3) by `factors` (3,), in this order."""
    brightness, contrast, saturation = factors
    weights = jnp.array(GREY, image.dtype)
    image = jnp.clip(image * brightness, 0, 255)
    mean = jnp.mean(image @ weights)
    image = jnp.clip(mean + contrast * (image - mean), 0, 255)
    grey = (image @ weights)[..., None]
    return jnp.clip(grey + saturation * (image - grey), 0, 255)


def erased(image: jax.Array, draws: jax.Array, probability: float) -> jax.Array:
    """Erases a rectangle of a photo (S, S, 3), given five numbers from [0, 1)."""
    chosen, area, ratio, row, column = draws
    size = image.shape[0]
    area = _AREA[0] + area * (_AREA[1] - _AREA[0])
    ratio = jnp.exp(jnp.log(_RATIO[0]) + ratio * (jnp.log(_RATIO[1]) - jnp.log(_RATIO[0])))
    height, width = (jnp.minimum(size * jnp.sqrt(area * side), size) for side in (ratio, 1 / ratio))
    places = jnp.arange(size)
    rows, columns = (
        (places >= start * (size - length)) & (places < start * (size - length) + length)
        for start, length in ((row, height), (column, width))
    )
    inside = rows[:, None, None] & columns[None, :, None] & (chosen < probability)
    return jnp.where(inside, jnp.mean(image, axis=(0, 1)), image)
