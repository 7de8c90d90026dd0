"""Selects the k hardest negatives of each anchor, or k random ones, one block of candidates at a time.

Mining selects the indices; costs and gradients are then computed for these alone. Memory grows with B · k.
"""

import jax
import jax.numpy as jnp

from adamine_jax.losses.blocks import in_blocks
from adamine_jax.losses.distances import row_similarities, similarities
from adamine_jax.losses.hinge import Triplets


def mine(
    anchors: jax.Array, candidates: jax.Array, triplets: Triplets, k: int, size: int, key: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Selects at most k negatives for each anchor.

    Args:
        anchors: (B, D) rows of unit norm.
        candidates: (B, D) rows of unit norm.
        triplets: Which candidates are negatives of an anchor, and the range of similarities to select from.
        k: Negatives per anchor.
        size: Candidates per block.
        key: PRNG key for random negatives, selected regardless of their cost. The selection depends only on the key
            and on the batch indices of anchor and candidate. None selects the hardest negatives with a cost above 0;
            ties go to the lowest batch index.

    Returns:
        (index, is_selected): (B, k) int32 batch indices; (B, k) bool, False where an anchor has fewer than k negatives.
    """
    anchors, candidates, triplets = jax.lax.stop_gradient((anchors, candidates, triplets))
    count, k = len(candidates), min(k, len(candidates))
    anchor = {name: value[:, None] for name, value in triplets.anchors._asdict().items()}
    row_keys = None if key is None else jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(len(anchors)))

    def step(best, block):
        (candidates, label, rank), index = block
        similarity = similarities(anchors, candidates)
        is_selected = (rank <= anchor["limit"]) & (label != anchor["label"]) & (index < count)
        if triplets.ceiling is not None:
            is_selected &= similarity < triplets.ceiling[:, None]
        if row_keys is None:
            is_selected &= similarity > triplets.threshold[:, None]
            score = similarity
        else:
            score = _random_scores(row_keys, index, similarity.dtype)
        score = jnp.where(is_selected, score, -jnp.inf)
        block_score, place = jax.lax.top_k(score, min(k, len(index)))
        return _best(best, (block_score, index[place]), k), None

    start = (jnp.full((len(anchors), k), -jnp.inf, anchors.dtype), jnp.full((len(anchors), k), count, jnp.int32))
    (score, index), _ = jax.lax.scan(step, start, in_blocks(size, (candidates, *triplets.candidates)))
    is_selected = score > -jnp.inf
    return jnp.where(is_selected, index, 0), is_selected


def _best(one: tuple[jax.Array, jax.Array], other: tuple[jax.Array, jax.Array], k: int):
    """Merges two lists (scores (B, k), indices (B, k)) into the k highest scores; ties go to the lowest index."""
    score, index = (jnp.concatenate(pair, axis=1) for pair in zip(one, other, strict=True))
    score, index = jax.lax.sort((-score, index), num_keys=2)
    return -score[:, :k], index[:, :k]


def _random_scores(row_keys: jax.Array, index: jax.Array, dtype) -> jax.Array:
    """(B, size) uniform in [0, 1): one number per (anchor, candidate), whichever device or block computes it."""
    scores = jax.vmap(lambda row_key, column: jax.random.uniform(jax.random.fold_in(row_key, column), (), dtype))
    return jax.vmap(lambda row_key: scores(jnp.broadcast_to(row_key, index.shape), index))(row_keys)


def mined_costs(
    anchors: jax.Array, candidates: jax.Array, threshold: jax.Array, index: jax.Array, is_selected: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sums relu(cos(anchor_i, candidate_j) − threshold_i) over the mined negatives j of each anchor i.

    Args:
        anchors: (B, D) rows of unit norm.
        candidates: (B, D) rows of unit norm.
        threshold: (B,) float.
        index, is_selected: (B, k), from `mine`.

    Returns:
        (sums, counts), as returned by `hinge`.
    """

    @jax.checkpoint  # otherwise k copies of the (B, D) candidates are kept for the backward pass
    def step(totals, mined):
        index, is_selected = mined
        excess = row_similarities(anchors, candidates[index]) - threshold
        cost = jnp.where(is_selected & (excess > 0), excess, 0)
        return (totals[0] + cost, totals[1] + (cost > 0)), None

    totals = (jnp.zeros(len(anchors), anchors.dtype), jnp.zeros(len(anchors), jnp.int32))
    return jax.lax.scan(step, totals, (index.T, is_selected.T))[0]
