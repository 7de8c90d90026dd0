"""Finds each anchor's k hardest negatives, or k random ones, a block of candidates at a time.

Mining says which; what they cost, and the gradient, is then computed on those few. Memory grows with B · k.
"""

import jax
import jax.numpy as jnp

from adamine_jax.losses.blocks import in_blocks
from adamine_jax.losses.distances import row_similarities, similarities
from adamine_jax.losses.hinge import Triplets


def mine(
    anchors: jax.Array, candidates: jax.Array, triplets: Triplets, k: int, size: int, key: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Chooses at most k negatives for each anchor.

    Args:
        anchors: (B, D) rows of unit norm.
        candidates: (B, D) rows of unit norm.
        triplets: which candidates are an anchor's negatives, and the similarities between which they are of interest.
        k: negatives for each anchor.
        size: candidates at a time.
        key: draws negatives at random, whether they cost anything or not; None takes the hardest that cost something,
            of equally hard ones the first in the batch. What is drawn depends on the key, the anchor's and the
            candidate's place in the batch and nothing else.

    Returns:
        (index, chosen): (B, k) int32 places in the batch; (B, k) bool, False where there is no such negative.
    """
    anchors, candidates, triplets = jax.lax.stop_gradient((anchors, candidates, triplets))
    count, k = len(candidates), min(k, len(candidates))
    anchor = {name: value[:, None] for name, value in triplets.anchors._asdict().items()}
    row_keys = None if key is None else jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(len(anchors)))

    def step(best, block):
        (candidates, label, rank), index = block
        similarity = similarities(anchors, candidates)
        chosen = (rank <= anchor["limit"]) & (label != anchor["label"]) & (index < count)
        if triplets.ceiling is not None:
            chosen &= similarity < triplets.ceiling[:, None]
        if row_keys is None:
            chosen &= similarity > triplets.threshold[:, None]
            score = similarity
        else:
            score = _random_scores(row_keys, index, similarity.dtype)
        score = jnp.where(chosen, score, -jnp.inf)
        of_block, at = jax.lax.top_k(score, min(k, len(index)))
        return _better(best, (of_block, index[at]), k), None

    nothing = (jnp.full((len(anchors), k), -jnp.inf, anchors.dtype), jnp.full((len(anchors), k), count, jnp.int32))
    (score, index), _ = jax.lax.scan(step, nothing, in_blocks(size, (candidates, *triplets.candidates)))
    chosen = score > -jnp.inf
    return jnp.where(chosen, index, 0), chosen


def _better(one: tuple[jax.Array, jax.Array], other: tuple[jax.Array, jax.Array], k: int):
    """Of two lists (scores (B, k), indices (B, k)) the k highest scores, of equal ones those of the lowest index."""
    score, index = (jnp.concatenate(pair, axis=1) for pair in zip(one, other, strict=True))
    score, index = jax.lax.sort((-score, index), num_keys=2)
    return -score[:, :k], index[:, :k]


def _random_scores(row_keys: jax.Array, index: jax.Array, dtype) -> jax.Array:
    """(B, size) uniform in [0, 1), a number for each anchor and candidate wherever it is computed."""
    of_candidate = jax.vmap(lambda row_key, column: jax.random.uniform(jax.random.fold_in(row_key, column), (), dtype))
    return jax.vmap(lambda row_key: of_candidate(jnp.broadcast_to(row_key, index.shape), index))(row_keys)


def mined_costs(
    anchors: jax.Array, candidates: jax.Array, threshold: jax.Array, index: jax.Array, chosen: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Sums relu(cos(anchor_i, candidate_j) − threshold_i) over the negatives j that were mined for each anchor i.

    Args:
        anchors: (B, D) rows of unit norm.
        candidates: (B, D) rows of unit norm.
        threshold: (B,) float.
        index, chosen: (B, k), see `mine`.

    Returns:
        (sums, counts), as `hinge` gives them.
    """

    @jax.checkpoint  # k times (B, D) candidates would be kept otherwise
    def step(totals, mined):
        index, chosen = mined
        excess = row_similarities(anchors, candidates[index]) - threshold
        cost = jnp.where(chosen & (excess > 0), excess, 0)
        return (totals[0] + cost, totals[1] + (cost > 0)), None

    totals = (jnp.zeros(len(anchors), anchors.dtype), jnp.zeros(len(anchors), jnp.int32))
    return jax.lax.scan(step, totals, (index.T, chosen.T))[0]
