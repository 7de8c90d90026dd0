"""The classifier's loss: both towers' embeddings must tell the class of their item."""

import jax
import jax.numpy as jnp
import optax

from adamine_jax.losses.anchors import BACKGROUND


def classification_loss(
    logits: jax.Array, class_id: jax.Array, keep_background: bool = False, counts: jax.Array | None = None
) -> jax.Array:
    """Mean cross-entropy over the classed items of a batch, 0 where there is none.

    Args:
        logits: (B, C) of any float type.
        class_id: (B,) int in [0, C), 0 = background.
        keep_background: counts the background as a class like any other.
        counts: (B,) bool, the rows that count; None = all.

    Returns:
        A scalar, float32 or wider.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    counted = jnp.ones_like(class_id, bool) if keep_background else class_id != BACKGROUND
    counted = counted if counts is None else counted & counts
    entropy = optax.losses.softmax_cross_entropy_with_integer_labels(logits, class_id)
    return jnp.sum(jnp.where(counted, entropy, 0)) / jnp.maximum(jnp.sum(counted, dtype=logits.dtype), 1)
