"""Which triplets a strategy forms: for each anchor its positive, and which candidates are its negatives.

Nothing here is (B, B): whether candidate j is a negative of anchor i follows from two numbers of each,

    label_i ≠ label_j   and   rank_j ≤ limit_i,

so that the costs can be computed a block at a time, in any order, on any number of devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

BACKGROUND = 0
"""The class of items without a class; they take no part in semantic triplets."""

NEVER = jnp.iinfo(jnp.int32).max
"""Rank of a candidate that is nobody's negative."""


class Anchors(NamedTuple):
    """The anchors of one strategy, one a row of the batch.

    Attributes:
        positive: (B,) int32, the batch index of each anchor's positive.
        label: (B,) int32, of the items that are not its negatives.
        limit: (B,) int32, the highest rank of its negatives; −1: the anchor takes no part.
        entries: (B,) float, the costs that count for it: its negatives, and the zeroed diagonal of instance triplets.
    """

    positive: jax.Array
    label: jax.Array
    limit: jax.Array
    entries: jax.Array


class Candidates(NamedTuple):
    """The candidates of one strategy.

    Attributes:
        label: (B,) int32.
        rank: (B,) int32 from 0, `NEVER` for those that take no part.
    """

    label: jax.Array
    rank: jax.Array


def instance(matched: jax.Array, dtype) -> tuple[Anchors, Candidates]:
    """Every matched pair is an anchor with its other half as positive and all other matched items as negatives.

    The anchor's own pair is an entry of cost 0, as published: it counts in the mean and in `bad_pairs`.

    Args:
        matched: (B,) bool, whether image and recipe of a row belong together; the others take no part.
        dtype: of the counts.
    """
    rows = jnp.arange(len(matched), dtype=jnp.int32)
    count = jnp.sum(matched, dtype=dtype)
    anchors = Anchors(rows, rows, jnp.where(matched, 0, -1).astype(jnp.int32), jnp.where(matched, count, 0))
    return anchors, Candidates(rows, jnp.where(matched, 0, NEVER).astype(jnp.int32))


class Classes(NamedTuple):
    """Candidates sorted by class, and where each anchor's class lies among them; see `sort_by_class`."""

    order: jax.Array  # (B,) candidates by class, in batch order within a class
    place: jax.Array  # (B,) of each candidate in `order`
    begin: jax.Array  # (B,) where in `order` each anchor's class begins
    others: jax.Array  # (B,) candidates of the anchor's class, its own row not counted; 0 for the background
    own: jax.Array  # (B,) bool, whether its own row's candidate is of its class


def sort_by_class(anchor_class: jax.Array, candidate_class: jax.Array) -> Classes:
    """Finds each anchor's class among the candidates, in O(B log B).

    Args:
        anchor_class: (B,) int, 0 = background.
        candidate_class: (B,) int, of the other items; differs in mismatched pairs only.
    """
    order = jnp.argsort(candidate_class, stable=True)
    place = jnp.zeros_like(order).at[order].set(jnp.arange(len(order), dtype=order.dtype))
    in_order = candidate_class[order]
    begin = jnp.searchsorted(in_order, anchor_class, side="left")
    end = jnp.searchsorted(in_order, anchor_class, side="right")
    own = anchor_class == candidate_class
    others = jnp.where(anchor_class == BACKGROUND, 0, end - begin - own)
    return Classes(order, place, begin, others, own)


def semantic(
    anchor_class: jax.Array, candidate_class: jax.Array, *, nth: jax.Array | int, fewest: bool, dtype
) -> tuple[Anchors, Candidates]:
    """Every classed item is an anchor with another item of its class as positive and other classes' as negatives.

    With `fewest` an anchor's negatives are the first m items of other classes, in batch order, m being the smallest
    number of negatives that any anchor of the batch has: frequent classes then weigh no less than rare ones. An anchor
    whose class stands alone has no positive and is left out (the published code crashes).

    Args:
        anchor_class: (B,) int, 0 = background.
        candidate_class: (B,) int, of positives and negatives.
        nth: () int, which other item of the class is the positive, in batch order; 0 = the first, as published. Anchors
            that have no such item are left out.
        fewest: keep the first m negatives; otherwise all of them.
        dtype: of the counts.
    """
    size = len(anchor_class)
    rows = jnp.arange(size, dtype=jnp.int32)
    order, place, begin, others, own = sort_by_class(anchor_class, candidate_class)
    # The anchor's own row, where it is of the class, is passed over.
    at = begin + nth + (own & (place <= begin + nth))
    positive = order[jnp.minimum(at, size - 1)].astype(jnp.int32)
    is_classed = anchor_class != BACKGROUND
    takes_part = is_classed & (nth < others)

    is_candidate = candidate_class != BACKGROUND
    rank = jnp.cumsum(is_candidate, dtype=jnp.int32)  # from 1
    of_class = others + own
    negatives = rank[-1] - of_class
    if not fewest:
        limit, kept = jnp.full(size, size, jnp.int32), negatives
    else:
        kept = jnp.min(jnp.where(is_classed, negatives, size))
        # The m-th negative has rank m + (members of the class ahead of it); those have fewer than m negatives ahead.
        in_order = candidate_class[order]
        within_class = rows - jnp.searchsorted(in_order, in_order, side="left") + 1
        is_ahead = rank[order] - within_class < kept
        ahead = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(is_ahead, dtype=jnp.int32)])
        limit = (kept + ahead[begin + of_class] - ahead[begin]).astype(jnp.int32)
    anchors = Anchors(
        positive,
        anchor_class.astype(jnp.int32),
        jnp.where(takes_part, limit, -1),
        jnp.where(takes_part, kept, 0).astype(dtype),
    )
    return anchors, Candidates(candidate_class.astype(jnp.int32), jnp.where(is_candidate, rank, NEVER))
