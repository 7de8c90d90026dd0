"""AdaMine's loss: instance and semantic triplets, averaged over the costs above 0 (adaptive mining)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections
from ml_collections import config_dict

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, is_number, number, one_of
from adamine_jax.losses.base import Metrics
from adamine_jax.losses.distances import normalize
from adamine_jax.losses.lifted import lifted_loss
from adamine_jax.losses.retrieval import RetrievalLoss, nan_if_not_finite
from adamine_jax.losses.triplet import (
    AGGREGATIONS,
    INSTANCE_STRATEGIES,
    SAMPLINGS,
    SEMANTIC_STRATEGIES,
    Options,
    Pairs,
    aggregate,
    strategy_costs,
)

STRATEGIES = (*INSTANCE_STRATEGIES, *SEMANTIC_STRATEGIES, "LIFT")


def adamine_loss(
    image: jax.Array,
    recipe: jax.Array,
    class_id: jax.Array,
    *,
    match: jax.Array | None = None,
    image_class_id: jax.Array | None = None,
    margin: float = 0.3,
    strategies: Sequence[str] = ("IRR", "RII", "SIRR", "SRII"),
    weights: Sequence[float] = (1.0, 1.0, 0.1, 0.1),
    sampling: str = "hardest",
    num_negatives: int | None = None,
    aggregation: str = "valid",
    semantic_positives: str = "first",
    semantic_negatives: str = "smallest",
    lifted_published_scale: bool = False,
    block: int = 0,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
    """Computes the triplet losses of Carvalho et al. (SIGIR 2018), equations 1 to 6, on a global batch.

    With d(x, y) = 1 − cos(x, y), a strategy such as IRR (anchor image, positive and negatives recipes) costs

        c_ij = max(0, d(image_i, recipe_i) − d(image_i, recipe_j) + margin).

    With `aggregation="valid"` the loss of a strategy is the sum of its costs over the number of costs above 0, so that
    satisfied triplets do not dilute the gradient. A leading S makes a strategy semantic: positives and negatives then
    come from the classes. The total is Σ_s weight_s · loss_s / number of strategies.

    Args:
        image: (B, D) image embeddings of any floating dtype. They need not be normalised.
        recipe: (B, D) recipe embeddings.
        class_id: (B,) int, classes of the recipes, 0 = background.
        match: (B,) +1 if image and recipe of the row belong together, −1 if not. Rows with −1 are excluded from
            instance strategies. None means that all rows match.
        image_class_id: (B,) int, classes of the images if they differ from `class_id`.
        margin: Margin in cosine distance.
        strategies: Names from `STRATEGIES`: anchor, positive, negative; S = semantic; or 'LIFT'.
        weights: Weight of each strategy.
        sampling: Which negatives of an anchor to keep: 'hardest', 'semi_hard' or 'random'.
        num_negatives: Number of negatives to keep per anchor. None keeps all.
        aggregation: 'valid', or 'mean' over all costs.
        semantic_positives: 'first' uses the first other item of the anchor's class, 'all' uses all of them.
        semantic_negatives: 'smallest' gives every anchor as many negatives as the anchor with the fewest has; 'all'
            keeps all.
        lifted_published_scale: Whether to multiply 'LIFT' by N², as the published code does.
        block: Number of candidates per block; memory grows with B · block. 0 picks a value for B.
        key: PRNG key, required by `sampling='random'`.

    Returns:
        (loss, metrics), scalars in float32 or wider: `loss`, `bad_pairs` (the fraction of costs that are exactly 0,
        averaged over the strategies), and for each strategy `loss_<STRATEGY>` (weighted) and `bad_pairs_<STRATEGY>`.
        The loss is NaN if an embedding is not finite.

    >>> import jax.numpy as jnp
    >>> loss, metrics = adamine_loss(jnp.eye(4), jnp.eye(4), jnp.zeros(4, int), strategies=("IRR",), weights=(1.0,))
    >>> float(loss), float(metrics["bad_pairs"])
    (0.0, 1.0)
    """
    class_id = jnp.asarray(class_id)
    image_class_id = class_id if image_class_id is None else jnp.asarray(image_class_id)
    dtype = jnp.result_type(image, recipe)
    image, recipe = (normalize(jnp.asarray(x).astype(dtype)) for x in (image, recipe))
    matched = jnp.ones(len(image), bool) if match is None else jnp.asarray(match) > 0
    pairs = Pairs({"I": image, "R": recipe}, {"I": image_class_id, "R": class_id}, matched)
    options = Options(margin, tuple(strategies), sampling, num_negatives, semantic_positives, semantic_negatives, block)
    reduced = {
        strategy: aggregate(costs, aggregation) for strategy, costs in strategy_costs(options, pairs, key).items()
    }
    if "LIFT" in strategies:
        reduced["LIFT"] = lifted_loss(image, recipe, matched, margin, lifted_published_scale)
    metrics: Metrics = {}
    for strategy, weight in zip(strategies, weights, strict=True):
        loss, bad_pairs = reduced[strategy]
        metrics |= {f"loss_{strategy}": weight * loss, f"bad_pairs_{strategy}": bad_pairs}
    zero = jnp.zeros((), image.dtype)  # a Python 0 would widen the loss if JAX computes in 64 bits
    bad_pairs, loss = (
        sum((metrics[f"{name}_{strategy}"] for strategy in strategies), start=zero) / len(strategies)
        for name in ("bad_pairs", "loss")
    )
    loss = nan_if_not_finite(loss, image, recipe)
    return loss, {"loss": loss, "bad_pairs": bad_pairs, **metrics}


class TripletLoss(RetrievalLoss):
    """`adamine_loss`, with a classifier beside it if `classifier_weight` is not 0."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **RetrievalLoss.rules,
        "margin": number("from 0"),
        "strategies": (
            f"a tuple of distinct strategies from {', '.join(STRATEGIES)}",
            lambda v: len(v) > 0 and set(v) <= set(STRATEGIES) and len(set(v)) == len(v),
        ),
        "weights": ("numbers from 0", lambda v: all(is_number(w) and w >= 0 for w in v)),
        "num_negatives": (
            "None (all) or an integer ≥ 1",
            lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool) and v >= 1),
        ),
        "sampling": one_of(*SAMPLINGS),
        "aggregation": one_of(*AGGREGATIONS),
        "semantic_positives": one_of("first", "all"),
        "semantic_negatives": one_of("smallest", "all"),
        "block": integer(0),
        "lifted_published_scale": BOOLEAN,
    }

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.margin = 0.3  # in cosine distance
        loss.strategies = ("IRR", "RII", "SIRR", "SRII")  # anchor, positive, negative; S = semantic; or 'LIFT'
        loss.weights = (1.0, 1.0, 0.1, 0.1)  # one per strategy
        loss.sampling = "hardest"  # which negatives an anchor keeps: 'hardest', 'semi_hard' or 'random'
        loss.num_negatives = config_dict.placeholder(int)  # negatives kept per anchor; None = all
        loss.aggregation = "valid"  # average over costs above 0 (adaptive mining); 'mean': over all
        loss.semantic_positives = "first"  # the first other item of the anchor's class; 'all': all of them
        loss.semantic_negatives = "smallest"  # as many per anchor as the anchor with the fewest has; 'all': all
        loss.lifted_published_scale = False  # True: 'LIFT' times N², as in the published code
        loss.block = 0  # candidates per block; memory grows with batch_size · block; 0 = automatic
        loss.update(super().defaults())
        return loss

    def check(self, config: ml_collections.ConfigDict) -> None:
        loss = self.config
        if len(loss.weights) != len(loss.strategies):
            raise UserError(
                f"config.loss.weights has {len(loss.weights)} numbers for {len(loss.strategies)} strategies: "
                "give one weight for each of config.loss.strategies"
            )
        if not any(loss.weights):
            raise UserError("config.loss.weights are all 0: nothing would be learned; set at least one above 0")
        if loss.margin > 2:
            raise UserError(f"config.loss.margin = {loss.margin}: must be at most 2, the largest cosine distance")
        if loss.sampling == "random" and loss.num_negatives is None:
            raise UserError(
                "config.loss.sampling = 'random': set config.loss.num_negatives, the number of negatives to draw"
            )

    @property
    def schedulable(self) -> tuple[str, ...]:
        return ("margin",)

    @property
    def uses_class_pairs(self) -> bool:
        return bool(set(self.config.strategies) & set(SEMANTIC_STRATEGIES))

    @property
    def classes_needed_by(self) -> str:
        if self.uses_class_pairs:
            return "config.loss.strategies has semantic strategies"
        return super().classes_needed_by

    def retrieval(self, params, embeddings, batch, key):
        options = {name: self.config[name] for name in TripletLoss.rules if name not in RetrievalLoss.rules}
        return adamine_loss(
            embeddings["image"],
            embeddings["recipe"],
            batch["class_id"],
            match=batch["match"],
            image_class_id=batch["image_class_id"],
            key=key,
            **options,
        )
