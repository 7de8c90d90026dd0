"""Instance and semantic triplet losses with adaptive mining (Carvalho et al., SIGIR 2018, section 3).

A strategy is written as in the published comparison: IRR has an image as anchor, its recipe as positive and other
recipes as negatives; a leading S makes it semantic: positives and negatives then come from the classes. Sums and counts
stay separate until one division at the end, over the global batch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.losses import anchors
from adamine_jax.losses.blocks import blocks_of
from adamine_jax.losses.distances import row_similarities
from adamine_jax.losses.hinge import Triplets, hinge
from adamine_jax.losses.negatives import mine, mined_costs

INSTANCE_STRATEGIES = ("IRR", "RII", "IRI", "RIR")
SEMANTIC_STRATEGIES = ("SIRR", "SRII", "SIII", "SRRR")
AGGREGATIONS = ("mean", "valid")
SAMPLINGS = ("hardest", "semi_hard", "random")

ROUNDING = 1e-6
"""Minimum distance between a semi-hard negative and the positive. It excludes a second copy of the same photo."""


class Pairs(NamedTuple):
    """A batch of pairs.

    Attributes:
        embeddings: {'I': images (B, D), 'R': recipes (B, D)}, rows of unit norm.
        classes: {'I': (B,), 'R': (B,)} int, 0 = background.
        matched: (B,) bool, whether image and recipe of a row belong together.
    """

    embeddings: dict[str, jax.Array]
    classes: dict[str, jax.Array]
    matched: jax.Array


class Options(NamedTuple):
    """Which triplets are formed and kept: the fields of the same names in the section `config.loss`."""

    margin: float
    strategies: tuple[str, ...]
    sampling: str
    num_negatives: int | None
    semantic_positives: str
    semantic_negatives: str
    block: int


class Costs(NamedTuple):
    """Sums over the triplets of one strategy. They are additive over disjoint sets of triplets.

    Attributes:
        total: () sum of the costs.
        active: () number of costs above 0.
        entries: () number of all costs that count.
    """

    total: jax.Array
    active: jax.Array
    entries: jax.Array


def strategy_costs(config: Options, pairs: Pairs, key: jax.Array | None = None) -> dict[str, Costs]:
    """Computes the costs of each configured strategy.

    Args:
        config: The options. Strategies that are not triplets are skipped.
        pairs: The global batch.
        key: PRNG key for random sampling.
    """
    instance = [strategy for strategy in config.strategies if strategy in INSTANCE_STRATEGIES]
    semantic = [strategy for strategy in config.strategies if strategy in SEMANTIC_STRATEGIES]
    if config.semantic_positives == "first" or not semantic:
        return _costs(config, instance + semantic, pairs, 0, key)

    def nth_costs(nth, pairs, key):
        return _costs(config, semantic, pairs, nth, None if key is None else jax.random.fold_in(key, nth))

    most = jnp.zeros((), jnp.int32)
    for strategy in semantic:
        classes = anchors.sort_by_class(pairs.classes[strategy[1]], pairs.classes[strategy[2]])
        most = jnp.maximum(most, jnp.max(classes.others))
    return _costs(config, instance, pairs, 0, key) | sum_over(nth_costs, most, pairs, key)


def aggregate(costs: Costs, aggregation: str) -> tuple[jax.Array, jax.Array]:
    """Reduces the costs of a strategy to one number.

    Args:
        costs: Costs of the strategy's triplets.
        aggregation: 'mean' divides the sum by the number of entries, 'valid' (adaptive mining) by the number of entries
            above 0, so that satisfied triplets do not dilute the gradient.

    Returns:
        (loss, bad_pairs), scalars. The loss is 0 with a zero gradient if there are no entries; bad_pairs is the
        fraction of entries that are exactly 0.
    """
    total, active, entries = costs
    count = active if aggregation == "valid" else entries
    return total / jnp.maximum(count, 1), (entries - active) / jnp.maximum(entries, 1)


def _costs(config: Options, strategies: list[str], pairs: Pairs, nth, key) -> dict[str, Costs]:
    """Computes costs, with the nth other item of the class as the positive of semantic strategies."""
    triplets = {strategy: _triplets(config, strategy, pairs, nth) for strategy in strategies}
    if config.num_negatives is not None:
        return {
            strategy: _mined(config, strategy, formed, pairs, _strategy_key(config, strategy, key))
            for strategy, formed in triplets.items()
        }
    costs = {}
    for x, y in (("I", "R"), ("I", "I"), ("R", "R")):
        # Strategies with the same two modalities as anchors and negatives share one similarity matrix.
        sharing = [strategy for strategy in strategies if {strategy[-3], strategy[-1]} == {x, y}]
        if sharing:
            results = hinge(
                blocks_of(len(pairs.matched), config.block),
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
        formed, candidates = anchors.instance(pairs.matched, dtype)
        to_positive = row_similarities(embeddings, pairs.embeddings[positive])
    else:
        formed, candidates = anchors.semantic(
            pairs.classes[anchor],
            pairs.classes[negative],
            nth=nth,
            fewest=config.semantic_negatives == "smallest",
            dtype=dtype,
        )
        to_positive = row_similarities(embeddings, pairs.embeddings[positive][formed.positive])
    ceiling = jax.lax.stop_gradient(to_positive - ROUNDING) if config.sampling == "semi_hard" else None
    return Triplets(to_positive - config.margin, ceiling, formed, candidates)


def _mined(config: Options, strategy: str, triplets: Triplets, pairs: Pairs, key) -> Costs:
    """Computes the costs of the k hardest or k random negatives of each anchor."""
    embeddings = pairs.embeddings[strategy[-3]], pairs.embeddings[strategy[-1]]
    size = blocks_of(len(pairs.matched), config.block).size
    kept = len(pairs.matched) if config.num_negatives is None else config.num_negatives
    index, is_selected = mine(*embeddings, triplets, kept, size, key)
    sums, counts = mined_costs(*embeddings, triplets.threshold, index, is_selected)
    return _total(config, sums, counts, jnp.minimum(triplets.anchors.entries, kept))


def _total(config: Options, sums: jax.Array, counts: jax.Array, entries: jax.Array) -> Costs:
    """Adds up the sums (B,), counts (B,) int32 and entries (B,) of the anchors."""
    active = jnp.sum(counts.astype(sums.dtype))  # an int32 sum would overflow from 46,341 pairs on
    # Only semi-hard negatives are entries.
    return Costs(jnp.sum(sums), active, active if config.sampling == "semi_hard" else jnp.sum(entries))


def _strategy_key(config: Options, strategy: str, key: jax.Array | None) -> jax.Array | None:
    if config.sampling != "random":
        return None
    if key is None:
        raise ValueError("loss.sampling = 'random' requires a key")
    return jax.random.fold_in(key, (INSTANCE_STRATEGIES + SEMANTIC_STRATEGIES).index(strategy))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def sum_over(term: Callable[..., Any], count: jax.Array, *arguments: Any) -> Any:
    """Computes Σ_{n < count} term(n, *arguments) with a gradient; JAX cannot differentiate a loop of traced length.

    Args:
        term: Maps (() int32, *arguments) to a pytree of floating arrays; must not close over traced arrays.
        count: () int32.
        *arguments: Pytrees of arrays; floating ones have gradients.
    """
    shapes = jax.eval_shape(term, count, *arguments)
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    return jax.lax.fori_loop(0, count, lambda n, total: jax.tree.map(jnp.add, total, term(n, *arguments)), zeros)


def _sum_forward(term, count, *arguments):
    return sum_over(term, count, *arguments), (count, arguments)


def _sum_backward(term, residuals, cotangent):
    count, arguments = residuals
    leaves, structure = jax.tree.flatten(arguments)
    is_float = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

    def float_term(n, floats):
        floats = iter(floats)
        merged = [next(floats) if chosen else leaf for chosen, leaf in zip(is_float, leaves, strict=True)]
        return term(n, *jax.tree.unflatten(structure, merged))

    floats = [leaf for chosen, leaf in zip(is_float, leaves, strict=True) if chosen]

    def step(n, total):
        _, vjp = jax.vjp(functools.partial(float_term, n), floats)
        return jax.tree.map(jnp.add, total, vjp(cotangent)[0])

    gradients = iter(jax.lax.fori_loop(0, count, step, [jnp.zeros_like(leaf) for leaf in floats]))
    return None, *jax.tree.unflatten(structure, [next(gradients) if chosen else None for chosen in is_float])


sum_over.defvjp(_sum_forward, _sum_backward)
