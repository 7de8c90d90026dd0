"""Pairwise losses: each row of the batch is a matched or a mismatched pair, independent of the other rows."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import Rule, number
from adamine_jax.losses.distances import normalize, row_similarities
from adamine_jax.losses.retrieval import RetrievalLoss, nan_if_not_finite


def pairwise_loss(
    image: jax.Array,
    recipe: jax.Array,
    matched: jax.Array,
    *,
    positive_margin: float,
    negative_margin: float,
    has_image: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Averages relu(d − positive_margin) over matched pairs and relu(negative_margin − d) over mismatched ones.

    With a positive margin of 0 and a negative margin of 1 − m this is PyTorch's cosine embedding loss of margin m.

    Args:
        image: (B, D) rows of unit norm.
        recipe: (B, D) rows of unit norm.
        matched: (B,) bool, whether image and recipe of a row belong together.
        positive_margin: Cosine distance up to which a matched pair has no cost.
        negative_margin: Cosine distance from which a mismatched pair has no cost.
        has_image: (B,) bool, the rows to average over; None means all.

    Returns:
        (loss, bad_pairs), scalars; bad_pairs is the fraction of pairs whose cost is exactly 0.
    """
    distance = 1 - row_similarities(image, recipe)
    cost = jax.nn.relu(jnp.where(matched, distance - positive_margin, negative_margin - distance))
    counts = jnp.ones(len(cost), cost.dtype) if has_image is None else has_image.astype(cost.dtype)
    number = jnp.maximum(jnp.sum(counts), 1)
    return jnp.sum(cost * counts) / number, jnp.sum((cost == 0) * counts) / number


class PairwiseLoss(RetrievalLoss):
    """PWC: the cosine embedding loss on matched and mismatched pairs; `config.data.mismatch` creates the latter."""

    rules: ClassVar[Mapping[str, Rule]] = {**RetrievalLoss.rules, "margin": number("from 0")}

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.margin = 0.1  # of mismatched pairs, in cosine similarity; the published code used 0
        loss.update(super().defaults())
        return loss

    def check(self, config: ml_collections.ConfigDict) -> None:
        if type(self) is PairwiseLoss and self.config.margin > 1:
            raise UserError(
                f"config.loss.margin = {self.config.margin}: must be at most 1, the largest cosine similarity"
            )
        if config.data.mismatch == 0:
            raise UserError(
                f"config.loss.name = {self.config.name!r}: without mismatched pairs all embeddings collapse; "
                "set config.data.mismatch above 0 (0.8 as published)"
            )

    def margins(self) -> tuple[float, float]:
        """Returns the positive and the negative margin, in cosine distance."""
        return 0.0, 1 - self.config.margin

    def retrieval(self, params, embeddings, batch, key):
        dtype = jnp.result_type(embeddings["image"], embeddings["recipe"])
        image, recipe = (normalize(jnp.asarray(embeddings[name]).astype(dtype)) for name in ("image", "recipe"))
        positive, negative = self.margins()
        loss, bad_pairs = pairwise_loss(
            image,
            recipe,
            batch["match"] > 0,
            positive_margin=positive,
            negative_margin=negative,
            has_image=embeddings["has_image"],
        )
        loss = nan_if_not_finite(loss, image, recipe)
        return loss, {"loss": loss, "bad_pairs": bad_pairs}


class PairwisePlusLoss(PairwiseLoss):
    """PWC++: a margin for matched pairs and one for mismatched pairs."""

    rules: ClassVar[Mapping[str, Rule]] = {**PairwiseLoss.rules, "negative_margin": number("from 0")}

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = super().defaults()
        loss.margin = 0.3  # of matched pairs, in cosine distance
        loss.negative_margin = 0.9  # of mismatched pairs, in cosine distance
        return loss

    def margins(self) -> tuple[float, float]:
        return self.config.margin, self.config.negative_margin
