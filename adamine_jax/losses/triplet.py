"""Instance and semantic triplet losses with adaptive mining (Carvalho et al., SIGIR 2018, section 3).

A strategy is written as in the published comparison: IRR has an image as anchor, its recipe as positive and other
recipes as negatives; a leading S makes it semantic, positives and negatives then come from the classes. Sums and counts
stay apart until one last division, over the global batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.losses import anchors
from adamine_jax.losses.distances import row_similarities
from adamine_jax.losses.hinge import Blocks, Triplets, hinge
from adamine_jax.losses.loops import sum_over
from adamine_jax.losses.mining import mine, mined_costs

INSTANCE_STRATEGIES = ("IRR", "RII", "IRI", "RIR")
SEMANTIC_STRATEGIES = ("SIRR", "SRII", "SIII", "SRRR")
AGGREGATIONS = ("mean", "valid")
SAMPLINGS = ("hardest", "semi_hard", "random")

LARGEST_KEPT = 8192
"""Batches up to which similarities are kept for the backward pass: 256 MiB of them."""
KEPT_BLOCK = 2**21  # entries at a time: 8 MiB, which stay in a processor's cache
RECOMPUTED_BLOCK = 1024  # columns at a time

ROUNDING = 1e-6
"""By which a semi-hard negative must be farther than the positive: the same photo twice in a batch must not be."""


class Pairs(NamedTuple):
    """A batch.

    Attributes:
        embeddings: {'I': photos (B, D), 'R': recipes (B, D)}, rows of unit norm.
        classes: {'I': (B,), 'R': (B,)} int, 0 = background.
        matched: (B,) bool, whether image and recipe of a row belong together.
    """

    embeddings: dict[str, jax.Array]
    classes: dict[str, jax.Array]
    matched: jax.Array


class Options(NamedTuple):
    """Which triplets count, and how; the fields of the section `config.loss` of the same names."""

    margin: float
    strategies: tuple[str, ...]
    sampling: str
    num_negatives: int | None
    semantic_positives: str
    semantic_negatives: str
    block: int


class Costs(NamedTuple):
    """What the triplets of one strategy cost; a sum of such triples is the costs of all their triplets.

    Attributes:
        total: () sum of the costs.
        active: () number of those that are not zero.
        entries: () number of all that count.
    """

    total: jax.Array
    active: jax.Array
    entries: jax.Array


def strategy_costs(config: Options, pairs: Pairs, key: jax.Array | None = None) -> dict[str, Costs]:
    """Costs of each configured strategy.

    Args:
        config: The options. Strategies that are not triplets are skipped.
        pairs: The global batch.
        key: of random sampling.
    """
    instance = [strategy for strategy in config.strategies if strategy in INSTANCE_STRATEGIES]
    semantic = [strategy for strategy in config.strategies if strategy in SEMANTIC_STRATEGIES]
    if config.semantic_positives == "first" or not semantic:
        return _costs(config, instance + semantic, pairs, 0, key)

    def of_nth_positive(nth, pairs, key):
        return _costs(config, semantic, pairs, nth, None if key is None else jax.random.fold_in(key, nth))

    most = jnp.zeros((), jnp.int32)
    for strategy in semantic:
        classes = anchors.sort_by_class(pairs.classes[strategy[1]], pairs.classes[strategy[2]])
        most = jnp.maximum(most, jnp.max(classes.others))
    return _costs(config, instance, pairs, 0, key) | sum_over(of_nth_positive, most, pairs, key)


def aggregate(costs: Costs, aggregation: str) -> tuple[jax.Array, jax.Array]:
    """Reduces the costs of a strategy to one number.

    Args:
        costs: of its triplets.
        aggregation: 'mean' divides their sum by all entries that count, 'valid' (adaptive mining) by those that are not
            zero, so that triplets which are already satisfied do not dilute the gradient.

    Returns:
        (loss, bad_pairs), scalars: the loss is 0, with a zero gradient, where nothing is left; bad_pairs is the
        fraction of the entries that are exactly 0.
    """
    total, active, entries = costs
    count = active if aggregation == "valid" else entries
    return total / jnp.maximum(count, 1), (entries - active) / jnp.maximum(entries, 1)


def _costs(config: Options, strategies: list[str], pairs: Pairs, nth, key) -> dict[str, Costs]:
    """Costs of strategies, the semantic ones with the nth other item of a class as the positive."""
    triplets = {strategy: _triplets(config, strategy, pairs, nth) for strategy in strategies}
    if config.num_negatives is not None:
        return {
            strategy: _mined(config, strategy, of_strategy, pairs, _key_of(config, strategy, key))
            for strategy, of_strategy in triplets.items()
        }
    costs = {}
    for x, y in (("I", "R"), ("I", "I"), ("R", "R")):
        # Strategies whose anchors and negatives are on either side of one matrix share it.
        sharing = [strategy for strategy in strategies if {strategy[-3], strategy[-1]} == {x, y}]
        if sharing:
            results = hinge(
                _blocks(config, len(pairs.matched)),
                tuple(strategy[-3] == x for strategy in sharing),
                pairs.embeddings[x],
                pairs.embeddings[y],
                tuple(triplets[strategy] for strategy in sharing),
            )
            for strategy, (sums, counts) in zip(sharing, results, strict=True):
                costs[strategy] = _total(config, sums, counts, triplets[strategy].anchors.entries)
    return costs


def _triplets(config: Options, strategy: str, pairs: Pairs, nth) -> Triplets:
    anchor, positive, negative = strategy[-3:]
    embeddings, dtype = pairs.embeddings[anchor], pairs.embeddings[anchor].dtype
    if strategy in INSTANCE_STRATEGIES:
        of_anchors, candidates = anchors.instance(pairs.matched, dtype)
        to_positive = row_similarities(embeddings, pairs.embeddings[positive])
    else:
        of_anchors, candidates = anchors.semantic(
            pairs.classes[anchor],
            pairs.classes[negative],
            nth=nth,
            fewest=config.semantic_negatives == "smallest",
            dtype=dtype,
        )
        to_positive = row_similarities(embeddings, pairs.embeddings[positive][of_anchors.positive])
    ceiling = jax.lax.stop_gradient(to_positive - ROUNDING) if config.sampling == "semi_hard" else None
    return Triplets(to_positive - config.margin, ceiling, of_anchors, candidates)


def _mined(config: Options, strategy: str, triplets: Triplets, pairs: Pairs, key) -> Costs:
    """Costs of the k hardest or of k random negatives of each anchor."""
    embeddings = pairs.embeddings[strategy[-3]], pairs.embeddings[strategy[-1]]
    size = _blocks(config, len(pairs.matched)).size
    kept = len(pairs.matched) if config.num_negatives is None else config.num_negatives
    index, chosen = mine(*embeddings, triplets, kept, size, key)
    sums, counts = mined_costs(*embeddings, triplets.threshold, index, chosen)
    return _total(config, sums, counts, jnp.minimum(triplets.anchors.entries, kept))


def _total(config: Options, sums: jax.Array, counts: jax.Array, entries: jax.Array) -> Costs:
    """Adds up what was found for each anchor: sums (B,), counts (B,) int32 and entries (B,)."""
    active = jnp.sum(counts.astype(sums.dtype))  # as integers they would overflow from 46,341 pairs on
    # What is not semi-hard is not an entry at all.
    return Costs(jnp.sum(sums), active, active if config.sampling == "semi_hard" else jnp.sum(entries))


def _key_of(config: Options, strategy: str, key: jax.Array | None) -> jax.Array | None:
    if config.sampling != "random":
        return None
    if key is None:
        raise ValueError("loss.sampling = 'random' needs a key")
    return jax.random.fold_in(key, (INSTANCE_STRATEGIES + SEMANTIC_STRATEGIES).index(strategy))


def _blocks(config: Options, batch: int) -> Blocks:
    """`loss.block`, or what suits the size of the batch."""
    if config.block:
        return Blocks(min(config.block, batch), keep=config.block >= batch)
    if batch <= LARGEST_KEPT:
        return Blocks(min(KEPT_BLOCK // batch, batch), keep=True)
    return Blocks(RECOMPUTED_BLOCK, keep=False)
