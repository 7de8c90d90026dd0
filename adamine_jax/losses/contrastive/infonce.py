"""InfoNCE: each image must find its recipe among those of the batch, and each recipe its image."""

import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, number, one_of, share
from adamine_jax.losses.base import Metrics
from adamine_jax.losses.blocks import blocks_of
from adamine_jax.losses.contrastive.pairs import EXCLUDED, PairBatch, pair_batch
from adamine_jax.losses.contrastive.sums import identity, log_sums, number_counted, row_sums
from adamine_jax.losses.distances import row_similarities
from adamine_jax.losses.retrieval import RetrievalLoss, nan_if_not_finite

LARGEST_SCALE = 100.0
"""Upper bound of a learned 1/τ, as in CLIP."""
_ROUNDING = 1e-6  # a pair's similarity is computed twice, in another order of summation


def infonce_loss(
    pairs: PairBatch, scale: jax.Array | float, *, label_smoothing: float = 0.0, block: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Computes the mean cross-entropy of the pairs in both directions (van den Oord et al., 2018; CLIP, 2021).

    For the matched pairs i, j of the batch and s_ij = scale · cos(image_i, recipe_j), it is the mean over i of
    [logsumexp_j s_ij − s_ii + logsumexp_j s_ji − s_ii] / 2, over those j that count for i. With a label smoothing ε,
    s_ii is replaced by (1 − ε) s_ii + ε · (mean of s over the pairs that count).

    Args:
        pairs: The batch.
        scale: 1/τ, () or a number.
        label_smoothing: ε.
        block: Number of candidates per block; 0 picks one.

    Returns:
        (loss, accuracy), scalars: the loss, 0 if no row is matched, and the share of anchors that find their pair.
    """
    blocks, matched = blocks_of(len(pairs.matched), block), pairs.matched
    x, y = scale * pairs.image, pairs.recipe
    own = row_similarities(x, y)
    sums = log_sums(blocks, identity, True, x, y, pairs.counted())
    loss, correct = 0.0, 0.0
    for total, greatest in ((sums.rows, sums.greatest_in_row), (sums.columns, sums.greatest_in_column)):
        # A row that is not matched has no finite sum; replacing it keeps its gradient finite.
        loss += jnp.sum(jnp.where(matched, total, 0) - jnp.where(matched, own, 0))
        correct += jnp.sum(matched & (own >= greatest - _ROUNDING * jnp.abs(greatest)))
    if label_smoothing:
        for one, other, counted in ((x, y, pairs.counted()), (y, x, pairs.counted(from_recipes=True))):
            number_of = jnp.maximum(number_counted(blocks, True, counted), 1)
            mean = row_sums(blocks, identity, True, one, other, counted)[0] / number_of
            loss += label_smoothing * jnp.sum(jnp.where(matched, own - mean, 0))
    count = 2 * jnp.maximum(jnp.sum(matched), 1)
    return loss / count, correct / count


@jax.custom_vjp
def _bounded(log_scale: jax.Array) -> jax.Array:
    """Returns the logarithm of the scale, at most that of `LARGEST_SCALE`; a gradient may only pull it back."""
    return jnp.minimum(log_scale, math.log(LARGEST_SCALE))


def _bounded_forward(log_scale):
    return _bounded(log_scale), log_scale


def _bounded_backward(log_scale, cotangent):
    return (jnp.where((log_scale >= math.log(LARGEST_SCALE)) & (cotangent < 0), 0, cotangent),)


_bounded.defvjp(_bounded_forward, _bounded_backward)


class InfoNCELoss(RetrievalLoss):
    """Symmetric cross-entropy over the global batch, with a fixed or a learned temperature."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **RetrievalLoss.rules,
        "temperature": number("above 0"),
        "learned_temperature": BOOLEAN,
        "label_smoothing": share(0.99),
        "exclude": one_of(*EXCLUDED),
        "block": integer(0),
    }

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.temperature = 0.05  # divisor of the cosine similarities; CLIP starts with 0.07
        loss.learned_temperature = False  # True: `temperature` is where it starts; it stays at 0.01 or more
        loss.label_smoothing = 0.0  # share of the probability that is spread over the candidates
        loss.exclude = "none"  # not used as negatives: pairs of one 'class', or 'duplicates', of the same text
        loss.block = 0  # candidates per block; memory grows with batch_size · block; 0 = automatic
        loss.update(super().defaults())
        return loss

    def check(self, config: ml_collections.ConfigDict) -> None:
        if self.config.learned_temperature and self.config.temperature < 1 / LARGEST_SCALE:
            raise UserError(
                f"config.loss.temperature = {self.config.temperature}: a learned temperature starts at 0.01 or more"
            )

    @property
    def schedulable(self) -> tuple[str, ...]:
        return () if self.config.learned_temperature else ("temperature",)

    def init(self, key, *, embedding_dim, num_classes):
        params = super().init(key, embedding_dim=embedding_dim, num_classes=num_classes)
        if self.config.learned_temperature:
            params = params | {"log_scale": jnp.float32(-math.log(self.config.temperature))}
        return params

    def retrieval(self, params: Mapping[str, jax.Array], embeddings, batch, key) -> tuple[jax.Array, Metrics]:
        pairs = pair_batch(embeddings, batch, self.config.exclude)
        scale = 1 / self.config.temperature
        if self.config.learned_temperature:
            scale = jnp.exp(_bounded(params["log_scale"].astype(pairs.image.dtype)))
        loss, accuracy = infonce_loss(
            pairs, scale, label_smoothing=self.config.label_smoothing, block=self.config.block
        )
        loss = nan_if_not_finite(loss, pairs.image, pairs.recipe)
        metrics: Metrics = {"loss": loss, "accuracy": accuracy, **pairs.geometry()}
        if self.config.learned_temperature:
            metrics["temperature"] = 1 / scale
        return loss, metrics
