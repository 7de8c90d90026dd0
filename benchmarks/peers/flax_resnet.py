"""A plain ResNet-101 of Flax's own layers, as a peer."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn


class PlainResNet(nn.Module):
    """ResNet-101 v1.5 up to the average pool; maps (B, 224, 224, 3) to (B, 2048)."""

    dtype: jnp.dtype = jnp.bfloat16

    @nn.compact
    def __call__(self, x: jax.Array, use_running_average: bool) -> jax.Array:
        conv = functools.partial(nn.Conv, use_bias=False, dtype=self.dtype)
        norm = functools.partial(nn.BatchNorm, use_running_average, momentum=0.9, dtype=self.dtype)
        x = conv(64, (7, 7), (2, 2), padding=3)(x)
        x = nn.max_pool(nn.relu(norm()(x)), (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, blocks in enumerate((3, 4, 23, 3)):
            for block in range(blocks):
                features, stride = 64 * 2**stage, 2 if stage and not block else 1
                y = nn.relu(norm()(conv(features, (1, 1))(x)))
                y = nn.relu(norm()(conv(features, (3, 3), (stride, stride), padding=1)(y)))
                y = norm()(conv(4 * features, (1, 1))(y))
                if not block:
                    x = norm()(conv(4 * features, (1, 1), (stride, stride))(x))
                x = nn.relu(x + y)
        return jnp.mean(x.astype(jnp.float32), axis=(1, 2))
