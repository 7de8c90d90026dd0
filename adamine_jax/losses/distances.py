"""Cosine similarities between batches of embeddings; a distance is 1 − similarity."""

import jax
import jax.numpy as jnp

EPSILON = 1e-12


def normalize(x: jax.Array) -> jax.Array:
    """Scales rows to unit L2 norm, in float32 or wider.

    A row whose norm is below 1e-12 becomes the zero vector and receives a zero gradient: dividing by the
    epsilon instead, as PyTorch does, would hand it a gradient of 1e12.

    Args:
        x: (B, D) float of any precision.

    Returns:
        (B, D) float32, or float64 where `x` is.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    is_zero = square < EPSILON**2
    return jnp.where(is_zero, 0.0, x * jax.lax.rsqrt(jnp.where(is_zero, 1.0, square)))


def similarities(x: jax.Array, y: jax.Array) -> jax.Array:
    """cos(x_i, y_j), every pair.

    Args:
        x: (B, D) rows of unit norm.
        y: (C, D) rows of unit norm.

    Returns:
        (B, C) in [−1, 1]. Computed at the highest matmul precision: on a TPU or a TF32 GPU the default one
        moves similarities by 1e-3, as much as a margin's worth of ranks.
    """
    return jnp.matmul(x, y.T, precision="highest")


def row_similarities(x: jax.Array, y: jax.Array) -> jax.Array:
    """cos(x_i, y_i), row by row: (B, D) and (B, D) rows of unit norm to (B,)."""
    return jnp.sum(x * y, axis=-1)
