"""Instance and semantic triplet losses with adaptive mining (Carvalho et al., SIGIR 2018, section 3).

A strategy is written as in the published comparison: IRR has an image as anchor, its recipe as positive and
other recipes as negatives; a leading S makes it semantic, positives and negatives then come from the classes.
Every function here is a pure function of the global batch: sums and counts stay apart until one last division.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

INSTANCE_STRATEGIES = ("IRR", "RII", "IRI", "RIR")
SEMANTIC_STRATEGIES = ("SIRR", "SRII", "SIII", "SRRR")
AGGREGATIONS = ("mean", "valid")

BACKGROUND = 0
"""The class of items without a class; they take no part in semantic triplets."""


class Costs(NamedTuple):
    """The triplets of one strategy, a row an anchor.

    Attributes:
        cost: (B, C) hinge costs, not below 0.
        kept: (B, C) bool, the entries that count; a cost that is not kept means nothing.
    """

    cost: jax.Array
    kept: jax.Array


def instance_costs(positive: jax.Array, negative: jax.Array, matched: jax.Array, margin: float) -> Costs:
    """relu(d(anchor_i, its match) − d(anchor_i, candidate_j) + margin) over matched pairs.

    The diagonal is an entry with cost 0, as published: it counts in the mean and in `bad_pairs`.

    Args:
        positive: (B,) distance of each anchor to its match.
        negative: (B, B) distances of anchors (rows) to candidates.
        matched: (B,) bool, whether image and recipe of a row belong together; the others take no part.
        margin: of the hinge, in cosine distance.
    """
    cost = jax.nn.relu(positive[:, None] - negative + margin)
    diagonal = jnp.eye(len(positive), dtype=bool)
    return Costs(jnp.where(diagonal, 0.0, cost), matched[:, None] & matched[None, :])


def semantic_costs(
    positive: jax.Array,
    negative: jax.Array,
    anchor_class: jax.Array,
    positive_class: jax.Array,
    negative_class: jax.Array,
    margin: float,
) -> Costs:
    """relu(d(anchor_i, positive) − d(anchor_i, negative_j) + margin) over the classes.

    The positive is the first other item of the anchor's class in batch order. The negatives are the first m
    items of other classes, m being the smallest number of negatives that any anchor of the batch has, so that
    frequent classes weigh no less than rare ones. An anchor whose class stands alone has no positive and is
    left out (the published code crashes).

    Args:
        positive: (B, B) distances of anchors to the candidates for the positive.
        negative: (B, B) distances of anchors to the candidates for negatives.
        anchor_class: (B,) int, 0 = background.
        positive_class: (B,) int, of the candidates for the positive.
        negative_class: (B,) int, of the candidates for negatives.
        margin: of the hinge, in cosine distance.
    """
    classed = anchor_class != BACKGROUND
    others = ~jnp.eye(len(anchor_class), dtype=bool)
    is_positive = classed[:, None] & (anchor_class[:, None] == positive_class[None, :]) & others
    has_positive = is_positive.any(axis=1)
    first = jnp.argmax(is_positive, axis=1)
    to_positive = jnp.take_along_axis(positive, first[:, None], axis=1)

    is_negative = (
        classed[:, None]
        & (negative_class[None, :] != BACKGROUND)
        & (anchor_class[:, None] != negative_class[None, :])
        & others
    )
    count = jnp.cumsum(is_negative, axis=1)
    smallest = jnp.min(jnp.where(classed, count[:, -1], len(classed)))
    kept = is_negative & (count <= smallest) & has_positive[:, None]
    return Costs(jax.nn.relu(to_positive - negative + margin), kept)


def hardest(costs: Costs, num_negatives: int) -> Costs:
    """Keeps the `num_negatives` largest costs of each anchor; all of them where it has no more than that."""
    num_negatives = min(num_negatives, costs.cost.shape[1])
    cost, index = jax.lax.top_k(jnp.where(costs.kept, costs.cost, -1.0), num_negatives)
    return Costs(cost, jnp.take_along_axis(costs.kept, index, axis=1))


def aggregate(costs: Costs, aggregation: str) -> tuple[jax.Array, jax.Array]:
    """Reduces the triplets of a strategy to one number.

    Args:
        costs: the triplets.
        aggregation: 'mean' divides their sum by the entries kept, 'valid' (adaptive mining) by those that are
            not zero, so that triplets which are already satisfied do not dilute the gradient.

    Returns:
        (loss, bad_pairs), scalars: the loss is 0, with a zero gradient, where nothing is left; bad_pairs is the
        fraction of the entries kept that are exactly 0.
    """
    cost = jnp.where(costs.kept, costs.cost, 0.0)
    kept = jnp.sum(costs.kept, dtype=cost.dtype)
    active = jnp.sum(cost > 0, dtype=cost.dtype)
    count = active if aggregation == "valid" else kept
    return jnp.sum(cost) / jnp.maximum(count, 1), (kept - active) / jnp.maximum(kept, 1)
