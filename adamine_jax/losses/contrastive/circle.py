"""Circle loss (Sun et al., CVPR 2020): each similarity is weighted by its distance from its optimum."""

import functools
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.rules import Rule, integer, number, one_of
from adamine_jax.losses.blocks import blocks_of
from adamine_jax.losses.contrastive.pairs import EXCLUDED, PairBatch, pair_batch
from adamine_jax.losses.contrastive.sums import log_sums
from adamine_jax.losses.distances import row_similarities
from adamine_jax.losses.retrieval import RetrievalLoss, nan_if_not_finite


def circle_loss(pairs: PairBatch, *, margin: float, gamma: float, block: int = 0) -> tuple[jax.Array, jax.Array]:
    """Computes the circle loss in both directions, with one positive for each anchor.

    With s_p the similarity of an anchor to its pair and s_n those to its negatives, it is the mean over all anchors of

        log(1 + exp(−γ α_p (s_p − 1 + m)) · Σ_n exp(γ α_n (s_n − m))),   α_p = [1 + m − s_p]₊, α_n = [s_n + m]₊,

    where α_p and α_n have no gradient.

    Args:
        pairs: The batch.
        margin: m.
        gamma: γ.
        block: Number of candidates per block; 0 picks one.

    Returns:
        (loss, accuracy), scalars: the loss, 0 if no row is matched, and the share of anchors that find their pair.
    """
    matched, count = pairs.matched, 2 * jnp.maximum(jnp.sum(pairs.matched), 1)
    own = row_similarities(pairs.image, pairs.recipe)
    weight = jax.lax.stop_gradient(jax.nn.relu(1 + margin - own))
    positive = -gamma * weight * (own - 1 + margin)
    negative = functools.partial(_negative, margin, gamma)
    sums = log_sums(blocks_of(len(matched), block), negative, False, pairs.image, pairs.recipe, pairs.counted())
    loss, correct, as_negative = 0.0, 0.0, negative(own)[0]
    for total, greatest in ((sums.rows, sums.greatest_in_row), (sums.columns, sums.greatest_in_column)):
        has_negatives = matched & jnp.isfinite(total)
        cost = jax.nn.softplus(jnp.where(has_negatives, total, 0) + positive)
        loss += jnp.sum(jnp.where(has_negatives, cost, 0))
        correct += jnp.sum(matched & (as_negative >= greatest))
    return loss / count, correct / count


def _negative(margin: float, gamma: float, similarity: jax.Array) -> tuple[jax.Array, jax.Array]:
    weight = gamma * jax.nn.relu(similarity + margin)
    return weight * (similarity - margin), weight


class CircleLoss(RetrievalLoss):
    """The circle loss over the global batch."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **RetrievalLoss.rules,
        "margin": number("from 0"),
        "gamma": number("above 0"),
        "exclude": one_of(*EXCLUDED),
        "block": integer(0),
    }

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.margin = 0.25  # m: pairs should be more similar than 1 − m, negatives less than m
        loss.gamma = 64.0  # γ, the scale
        loss.exclude = "none"  # not used as negatives: pairs of one 'class', or 'duplicates', of the same text
        loss.block = 0  # candidates per block; memory grows with batch_size · block; 0 = automatic
        loss.update(super().defaults())
        return loss

    def retrieval(self, params, embeddings, batch, key):
        config, pairs = self.config, pair_batch(embeddings, batch, self.config.exclude)
        loss, accuracy = circle_loss(pairs, margin=config.margin, gamma=config.gamma, block=config.block)
        loss = nan_if_not_finite(loss, pairs.image, pairs.recipe)
        return loss, {"loss": loss, "accuracy": accuracy, **pairs.geometry()}
