"""Lifted structured loss (Oh Song et al., CVPR 2016) between images and recipes."""

import jax
import jax.numpy as jnp

from adamine_jax.losses.distances import similarities


def lifted_loss(
    image: jax.Array, recipe: jax.Array, matched: jax.Array, margin: float, published_scale: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Computes Σ_i J_i² / (2N) over N matched pairs, J_i = relu(D_ii + log Σ_{k≠i} (exp(α − D_ki) + exp(α − D_ik))).

    Uses O(B²) memory regardless of `loss.block`.

    Args:
        image: (B, D) rows of unit norm.
        recipe: (B, D) rows of unit norm.
        matched: (B,) bool, whether image and recipe of a row belong together. Other rows are excluded.
        margin: α, in cosine distance.
        published_scale: Whether to compute Σ J² / 2 · N, as the published code does by mistake.

    Returns:
        (loss, bad_pairs), scalars; bad_pairs is the fraction of the J_i that are exactly 0. Both are 0 with fewer than
        two matched pairs.
    """
    similarity = similarities(image, recipe)
    others = matched[:, None] & matched[None, :] & ~jnp.eye(len(matched), dtype=bool)
    has_others = matched & (jnp.sum(matched) > 1)
    exponent = jnp.where(others, margin + similarity - 1, -jnp.inf)
    both = jnp.concatenate([exponent, exponent.T], axis=1)
    both = jnp.where(has_others[:, None], both, 0)  # the gradient of log 0 is NaN
    positive_distance = 1 - jnp.diagonal(similarity)
    costs = jnp.where(has_others, jax.nn.relu(positive_distance + jax.nn.logsumexp(both, axis=1)), 0)
    count = jnp.sum(matched, dtype=costs.dtype)
    square = jnp.sum(costs**2) / 2
    loss = square * count if published_scale else square / jnp.maximum(count, 1)
    return loss, jnp.sum(matched & (costs == 0), dtype=costs.dtype) / jnp.maximum(count, 1)
