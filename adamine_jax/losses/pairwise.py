"""Pairwise losses: every row is a pair on its own, matched or mismatched."""

import jax
import jax.numpy as jnp

from adamine_jax.losses.distances import row_similarities


def pairwise_loss(
    image: jax.Array,
    recipe: jax.Array,
    matched: jax.Array,
    *,
    positive_margin: float,
    negative_margin: float,
) -> tuple[jax.Array, jax.Array]:
    """The mean over the batch of relu(d − positive_margin) for matched pairs, relu(negative_margin − d) for others.

    With a positive margin of 0 and a negative one of 1 − m this is PyTorch's cosine embedding loss of margin m.

    Args:
        image: (B, D) rows of unit norm.
        recipe: (B, D) rows of unit norm.
        matched: (B,) bool, whether image and recipe of a row belong together.
        positive_margin: the cosine distance within which a matched pair costs nothing.
        negative_margin: the cosine distance beyond which a mismatched pair costs nothing.

    Returns:
        (loss, bad_pairs), scalars; bad_pairs is the fraction of pairs whose cost is exactly 0.
    """
    distance = 1 - row_similarities(image, recipe)
    cost = jax.nn.relu(jnp.where(matched, distance - positive_margin, negative_margin - distance))
    return jnp.mean(cost), jnp.mean(cost == 0, dtype=cost.dtype)
