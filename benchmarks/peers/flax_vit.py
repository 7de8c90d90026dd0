"""A plain ViT of Flax's own layers, as a peer."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class PlainViT(nn.Module):
    """ViT-B/16 up to the class token; maps (B, 224, 224, 3) to (B, 768)."""

    dtype: jnp.dtype = jnp.bfloat16
    remat: bool = True

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = nn.Conv(768, (16, 16), (16, 16), dtype=self.dtype)(images).reshape(len(images), -1, 768)
        token = self.param("token", nn.initializers.zeros, (1, 1, 768))
        x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, 768)).astype(self.dtype), x], axis=1)
        x = x + self.param("positions", nn.initializers.normal(0.02), (1, x.shape[1], 768)).astype(self.dtype)
        layer = nn.remat(_Layer) if self.remat else _Layer
        for _ in range(12):
            x = layer(self.dtype)(x)
        return nn.LayerNorm(dtype=self.dtype)(x)[:, 0].astype(jnp.float32)


class _Layer(nn.Module):
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        normed = nn.LayerNorm(dtype=self.dtype)(x)
        x = x + nn.MultiHeadDotProductAttention(12, dtype=self.dtype)(normed)
        hidden = nn.gelu(nn.Dense(3072, dtype=self.dtype)(nn.LayerNorm(dtype=self.dtype)(x)))
        return x + nn.Dense(768, dtype=self.dtype)(hidden)
