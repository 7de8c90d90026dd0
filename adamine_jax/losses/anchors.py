"""Which triplets a strategy forms: the positive of each anchor, and which candidates are its negatives.

No (B, B) mask is stored. Candidate j is a negative of anchor i if and only if

    label_i ≠ label_j   and   rank_j ≤ limit_i,

which takes two integers per anchor and two per candidate. The costs can therefore be computed one block of candidates
at a time, in any order, on any number of devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

BACKGROUND = 0
"""The class of items without a class. They are excluded from semantic triplets."""

NEVER = jnp.iinfo(jnp.int32).max
"""Rank of a candidate that is never a negative."""


class Anchors(NamedTuple):
    """The anchors of one strategy, one per row of the batch.

    Attributes:
        positive: (B,) int32, the row of each anchor's positive.
        label: (B,) int32; candidates with the same label are not negatives.
        limit: (B,) int32, the highest rank of a negative; −1 excludes the anchor.
        entries: (B,) float, the number of costs that count for the anchor: its negatives, plus the zeroed diagonal
            entry of instance triplets.
    """

    positive: jax.Array
    label: jax.Array
    limit: jax.Array
    entries: jax.Array


class Candidates(NamedTuple):
    """The candidates of one strategy.

    Attributes:
        label: (B,) int32.
        rank: (B,) int32 from 0; `NEVER` excludes the candidate.
    """

    label: jax.Array
    rank: jax.Array


def instance(matched: jax.Array, dtype) -> tuple[Anchors, Candidates]:
    """Forms instance triplets: the positive is the other half of the pair, every other matched item is a negative.

    The anchor's own pair counts as an entry of cost 0, in the mean and in `bad_pairs`, as in the published code.

    Args:
        matched: (B,) bool, whether image and recipe of a row belong together. Other rows are excluded.
        dtype: The dtype of `entries`.
    """
    rows = jnp.arange(len(matched), dtype=jnp.int32)
    count = jnp.sum(matched, dtype=dtype)
    anchors = Anchors(rows, rows, jnp.where(matched, 0, -1).astype(jnp.int32), jnp.where(matched, count, 0))
    return anchors, Candidates(rows, jnp.where(matched, 0, NEVER).astype(jnp.int32))


class Classes(NamedTuple):
    """Candidates sorted by class, and the position of each anchor's class; see `sort_by_class`."""

    order: jax.Array  # (B,) candidate indices sorted by class, in batch order within a class
    place: jax.Array  # (B,) position of each candidate in `order`
    begin: jax.Array  # (B,) start of each anchor's class in `order`
    others: jax.Array  # (B,) candidates of the anchor's class, excluding its own row; 0 for the background
    own: jax.Array  # (B,) bool, whether the candidate of the anchor's own row is of its class


def sort_by_class(anchor_class: jax.Array, candidate_class: jax.Array) -> Classes:
    """Finds each anchor's class among the candidates, in O(B log B).

    Args:
        anchor_class: (B,) int, 0 = background.
        candidate_class: (B,) int, classes of the candidates. They differ from `anchor_class` in mismatched pairs only.
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
    """Forms semantic triplets: the positive shares the anchor's class, negatives are items of other classes.

    With `fewest`, every anchor keeps m negatives, the first m in batch order, where m is the smallest number of
    negatives that any anchor of the batch has. Frequent classes then weigh no less than rare ones. An anchor that is
    the only item of its class is excluded (the published code crashes).

    The rank of a candidate is its position among the classed candidates of the batch, from 1. The first m negatives of
    an anchor are then those up to rank m plus the number of candidates of its own class that precede the m-th negative.
    Example with the classes 5, 5, 7, 7, 7, 0 (0 = background):

        candidate                 0  1  2  3  4  5
        class                     5  5  7  7  7  0
        rank                      1  2  3  4  5  NEVER

    Anchors of class 5 have 3 negatives, those of class 7 have 2, so m = 2. Anchors of class 5 keep candidates 2 and 3:
    two candidates of their class come first, so the limit is 2 + 2 = 4. Anchors of class 7 keep candidates 0 and 1:
    none of their class precedes candidate 1, so the limit is 2 + 0 = 2.

    Args:
        anchor_class: (B,) int, 0 = background.
        candidate_class: (B,) int, classes of positives and negatives.
        nth: () int, which other item of the class is the positive, in batch order; 0 = the first, as published. Anchors
            without such an item are excluded.
        fewest: Whether to keep the first m negatives, or all of them.
        dtype: The dtype of `entries`.
    """
    size = len(anchor_class)
    rows = jnp.arange(size, dtype=jnp.int32)
    order, place, begin, others, own = sort_by_class(anchor_class, candidate_class)
    # Skip the anchor's own row, if it is in the class and precedes the nth item.
    index = begin + nth + (own & (place <= begin + nth))
    positive = order[jnp.minimum(index, size - 1)].astype(jnp.int32)
    is_classed = anchor_class != BACKGROUND
    is_anchor = is_classed & (nth < others)

    is_candidate = candidate_class != BACKGROUND
    rank = jnp.cumsum(is_candidate, dtype=jnp.int32)
    class_size = others + own
    negatives = rank[-1] - class_size
    if not fewest:
        limit, kept = jnp.full(size, size, jnp.int32), negatives
    else:
        kept = jnp.min(jnp.where(is_classed, negatives, size))
        # A candidate precedes the m-th negative of its class's anchors if fewer than m negatives precede the candidate:
        # its rank less its position within the class, both from 1. `preceding` sums these up to any place in `order`.
        in_order = candidate_class[order]
        place_in_class = rows - jnp.searchsorted(in_order, in_order, side="left") + 1
        precedes = rank[order] - place_in_class < kept
        preceding = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(precedes, dtype=jnp.int32)])
        limit = (kept + preceding[begin + class_size] - preceding[begin]).astype(jnp.int32)
    anchors = Anchors(
        positive,
        anchor_class.astype(jnp.int32),
        jnp.where(is_anchor, limit, -1),
        jnp.where(is_anchor, kept, 0).astype(dtype),
    )
    return anchors, Candidates(candidate_class.astype(jnp.int32), jnp.where(is_candidate, rank, NEVER))
