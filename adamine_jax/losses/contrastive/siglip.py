"""SigLIP: classifies each combination of an image and a recipe as matching or not (Zhai et al., ICCV 2023)."""

import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.rules import Rule, integer, is_number, number, one_of
from adamine_jax.losses.blocks import blocks_of
from adamine_jax.losses.contrastive.pairs import EXCLUDED, PairBatch, pair_batch
from adamine_jax.losses.contrastive.sums import row_sums
from adamine_jax.losses.distances import row_similarities
from adamine_jax.losses.retrieval import RetrievalLoss, nan_if_not_finite


def siglip_loss(
    pairs: PairBatch, scale: jax.Array | float, bias: jax.Array | float, *, block: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Computes −1/B Σ_ij log σ(z_ij (scale · cos(image_i, recipe_j) + bias)), z_ij = 1 if i = j, else −1.

    The sum is over the pairs that count, and B is the number of matched rows.

    Args:
        pairs: The batch.
        scale: t.
        bias: b.
        block: Number of candidates per block; 0 picks one.

    Returns:
        (loss, accuracy), scalars: the loss, 0 if no row is matched, and the share of images that find their recipe.
    """
    matched, count = pairs.matched, jnp.maximum(jnp.sum(pairs.matched), 1)
    # The bias becomes a coordinate, so that the products give scale · cos + bias, and its gradient.
    ones = jnp.ones((len(matched), 1), pairs.image.dtype)
    x, y = jnp.concatenate([scale * pairs.image, bias * ones], 1), jnp.concatenate([pairs.recipe, ones], 1)
    own = row_similarities(x, y)
    sums, greatest = row_sums(blocks_of(len(matched), block), _softplus, False, x, y, pairs.counted())
    cost = jnp.where(matched, sums + jax.nn.softplus(-own), 0)
    correct = matched & (jax.nn.softplus(own) >= greatest)
    return jnp.sum(cost) / count, jnp.sum(correct) / count


def _softplus(logit: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.nn.softplus(logit), jax.nn.sigmoid(logit)


class SigLIPLoss(RetrievalLoss):
    """The sigmoid loss, with a learned scale and bias."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **RetrievalLoss.rules,
        "temperature": number("above 0"),
        "bias": ("a number", is_number),
        "exclude": one_of(*EXCLUDED),
        "block": integer(0),
    }

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.temperature = 0.1  # divisor of the cosine similarities at the start; learned
        loss.bias = -10.0  # added to the logits at the start; learned
        loss.exclude = "none"  # not used as negatives: pairs of one 'class', or 'duplicates', of the same text
        loss.block = 0  # candidates per block; memory grows with batch_size · block; 0 = automatic
        loss.update(super().defaults())
        return loss

    def init(self, key, *, embedding_dim, num_classes):
        params = super().init(key, embedding_dim=embedding_dim, num_classes=num_classes)
        scale, bias = -math.log(self.config.temperature), self.config.bias
        return params | {"log_scale": jnp.float32(scale), "logit_bias": jnp.float32(bias)}

    def retrieval(self, params, embeddings, batch, key):
        pairs = pair_batch(embeddings, batch, self.config.exclude)
        scale, bias = jnp.exp(params["log_scale"]), params["logit_bias"]
        loss, accuracy = siglip_loss(pairs, scale, bias, block=self.config.block)
        loss = nan_if_not_finite(loss, pairs.image, pairs.recipe)
        metrics = {"loss": loss, "accuracy": accuracy, "temperature": 1 / scale, "logit_bias": bias}
        return loss, metrics | pairs.geometry()
