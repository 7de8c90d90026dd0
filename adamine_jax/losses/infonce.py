"""InfoNCE: each image must find its recipe among those of the batch, and each recipe its image."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.rules import Rule, number
from adamine_jax.losses.distances import normalize, similarities
from adamine_jax.losses.retrieval import RetrievalLoss, nan_if_not_finite


def infonce_loss(
    image: jax.Array, recipe: jax.Array, matched: jax.Array, *, temperature: float
) -> tuple[jax.Array, jax.Array]:
    """Computes the mean cross-entropy of the pairs in both directions (van den Oord et al., 2018; CLIP, 2021).

    For the matched pairs i, j of the batch and s_ij = cos(image_i, recipe_j) / temperature, it is the mean over i of
    [logsumexp_j s_ij − s_ii + logsumexp_j s_ji − s_ii] / 2.

    Args:
        image: (B, D) rows of unit norm.
        recipe: (B, D) rows of unit norm.
        matched: (B,) bool; other rows are neither anchors nor negatives.
        temperature: Divisor of the similarities.

    Returns:
        (loss, accuracy), scalars: the loss, 0 if no row is matched, and the share of anchors that find their pair.
    """
    logits = jnp.where(matched[:, None] & matched, similarities(image, recipe) / temperature, -jnp.inf)
    own = jnp.where(matched, jnp.diagonal(logits), 0)
    loss, correct = 0.0, 0.0
    for axis in (0, 1):
        # A row that is not matched has no finite logit; replacing it keeps its gradient finite.
        rows = jnp.where(jnp.expand_dims(matched, axis), logits, 0)
        loss += jnp.sum(jnp.where(matched, jax.nn.logsumexp(rows, axis) - own, 0))
        correct += jnp.sum(matched & (own >= jnp.max(rows, axis)))
    count = 2 * jnp.maximum(jnp.sum(matched), 1)
    return loss / count, correct / count


class InfoNCELoss(RetrievalLoss):
    """Symmetric cross-entropy over the global batch."""

    rules: ClassVar[Mapping[str, Rule]] = {**RetrievalLoss.rules, "temperature": number("above 0")}

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.temperature = 0.05  # divisor of the cosine similarities
        loss.update(super().defaults())
        return loss

    def retrieval(self, embeddings, batch, key):
        dtype = jnp.result_type(embeddings["image"], embeddings["recipe"])
        image, recipe = (normalize(jnp.asarray(embeddings[name]).astype(dtype)) for name in ("image", "recipe"))
        loss, accuracy = infonce_loss(image, recipe, batch["match"] > 0, temperature=self.config.temperature)
        loss = nan_if_not_finite(loss, image, recipe)
        return loss, {"loss": loss, "accuracy": accuracy}
