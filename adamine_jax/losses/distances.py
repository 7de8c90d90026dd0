"""Cosine similarities between batches of embeddings. The cosine distance is 1 − similarity."""

import jax
import jax.numpy as jnp

EPSILON = 1e-12


def normalize(x: jax.Array) -> jax.Array:
    """Scales rows to unit L2 norm, in float32 or wider.

    A row whose norm is below 1e-12 becomes the zero vector with a zero gradient. PyTorch divides by the epsilon
    instead, which gives such a row a gradient of up to 1e12.

    Args:
        x: (B, D) of any floating dtype.

    Returns:
        (B, D) float32, or float64 if `x` is.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    is_zero = square < EPSILON**2
    return jnp.where(is_zero, 0.0, x * jax.lax.rsqrt(jnp.where(is_zero, 1.0, square)))


def similarities(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes cos(x_i, y_j) for every pair.

    Args:
        x: (B, D) rows of unit norm.
        y: (C, D) rows of unit norm.

    Returns:
        (B, C) in [−1, 1], at the highest matmul precision: the default precision of a TPU or a TF32 GPU changes
        similarities by up to 1e-3, which changes ranks.
    """
    return jnp.matmul(x, y.T, precision="highest")


def row_similarities(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes cos(x_i, y_i) row by row: (B, D) and (B, D) rows of unit norm to (B,)."""
    return jnp.sum(x * y, axis=-1)
