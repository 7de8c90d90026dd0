"""Hinge costs of all triplets that share one matrix of similarities, a block of its columns at a time.

Neither the (B, B) similarities nor the costs, as many for each strategy, are wanted for themselves: only the sum of
each anchor's costs, how many of them are not zero, and the gradient, a matrix of coefficients times the embeddings.
Going through the columns in blocks that stay in a cache is faster than passing over whole matrices, and where
similarities are computed again in the backward pass instead of being kept, memory grows with B and not with B².
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.losses.anchors import Anchors, Candidates
from adamine_jax.losses.blocks import from_blocks, in_blocks
from adamine_jax.losses.distances import similarities


class Blocks(NamedTuple):
    """How the columns are gone through.

    Attributes:
        size: columns at a time.
        keep: whether their similarities are kept for the backward pass, B² in all.
    """

    size: int
    keep: bool


class Triplets(NamedTuple):
    """The triplets of one strategy.

    Attributes:
        threshold: (B,) float, the similarity above which a negative costs its anchor something: the positive's less
            the margin. The cost is what exceeds it.
        ceiling: (B,) float, the similarity below which it must stay to be semi-hard; None: no such condition.
        anchors: of the triplets.
        candidates: for their negatives.
    """

    threshold: jax.Array
    ceiling: jax.Array | None
    anchors: Anchors
    candidates: Candidates


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def hinge(
    blocks: Blocks, on_rows: tuple[bool, ...], x: jax.Array, y: jax.Array, triplets: tuple[Triplets, ...]
) -> list[tuple[jax.Array, jax.Array]]:
    """Sums relu(cos(anchor_i, candidate_j) − threshold_i) over the negatives j of each anchor i.

    Args:
        blocks: how to go through the columns, the rows of `y`.
        on_rows: for each strategy, whether its anchors are the rows of `x` and its candidates those of `y`, or the
            other way round.
        x: (B, D) float, rows of unit norm.
        y: (B, D) float, rows of unit norm.
        triplets: of each strategy.

    Returns:
        For each strategy (sums, counts): (B,) sums of the anchors' costs, which have gradients in `x`, `y` and the
        thresholds, and (B,) int32 numbers of the costs that are not zero.
    """
    return _forward(blocks, on_rows, x, y, triplets)[0]


def _forward(blocks, on_rows, x, y, triplets):
    rows, columns = _sides(on_rows, triplets)
    cut, index = in_blocks(blocks.size, (columns, y))
    padded = index.size > len(y)

    def step(totals, block):
        (columns, candidates), index = block
        similarity = _similarities(x, candidates, index < len(y) if padded else None)
        of_block = []
        for is_row, row, column in zip(on_rows, rows, columns, strict=True):
            anchor, _ = _roles(is_row, row, column)
            active = _is_active(similarity, is_row, row, column)
            cost = jnp.where(active, similarity - anchor["threshold"], 0)
            axis = 1 if is_row else 0
            of_block.append((jnp.sum(cost, axis), jnp.sum(active, axis, dtype=jnp.int32)))
        # An anchor on the rows meets its candidates over all blocks, one on the columns in a single block.
        totals = [
            jax.tree.map(jnp.add, total, new) if is_row else None
            for is_row, total, new in zip(on_rows, totals, of_block, strict=True)
        ]
        of_columns = [None if is_row else new for is_row, new in zip(on_rows, of_block, strict=True)]
        return totals, (of_columns, similarity if blocks.keep else None)

    nothing = (jnp.zeros(len(x), x.dtype), jnp.zeros(len(x), jnp.int32))
    totals = [nothing if is_row else None for is_row in on_rows]
    totals, (of_columns, kept) = jax.lax.scan(step, totals, (cut, index))
    of_columns = from_blocks(of_columns, len(y))
    results = [total or of_column for total, of_column in zip(totals, of_columns, strict=True)]
    return results, (x, y, triplets, [counts for _, counts in results], kept)


def _backward(blocks, on_rows, residuals, cotangents):
    x, y, triplets, counts, kept = residuals
    of_sums = [of_sum for of_sum, _ in cotangents]  # the counts have none
    rows, columns = _sides(on_rows, triplets, of_sums)
    cut, index = in_blocks(blocks.size, (columns, y))
    padded = index.size > len(y)

    def step(gradient, block):
        (columns, candidates), index, similarity = block
        if similarity is None:
            similarity = _similarities(x, candidates, index < len(y) if padded else None)
        coefficients = jnp.zeros_like(similarity)
        for is_row, row, column in zip(on_rows, rows, columns, strict=True):
            anchor, _ = _roles(is_row, row, column)
            coefficients += jnp.where(_is_active(similarity, is_row, row, column), anchor["cotangent"], 0)
        gradient += jnp.matmul(coefficients, candidates, precision="highest")
        return gradient, jnp.matmul(coefficients.T, x, precision="highest")

    gradient_x, gradient_y = jax.lax.scan(step, jnp.zeros_like(x), (cut, index, kept))
    none: Any = None  # integers have no gradient
    of_triplets = tuple(
        Triplets(threshold=-of_sum * count.astype(of_sum.dtype), ceiling=None, anchors=none, candidates=none)
        for of_sum, count in zip(of_sums, counts, strict=True)
    )
    return gradient_x, from_blocks(gradient_y, len(y)), of_triplets


hinge.defvjp(_forward, _backward)


def _sides(on_rows, triplets, cotangents=None) -> tuple[list[dict], list[dict]]:
    """What the rows and what the columns have to say about each strategy's triplets, as anchors or as candidates."""
    rows, columns = [], []
    for number, (is_row, of_strategy) in enumerate(zip(on_rows, triplets, strict=True)):
        anchor = {
            "label": of_strategy.anchors.label,
            "limit": of_strategy.anchors.limit,
            "threshold": of_strategy.threshold,
        }
        if of_strategy.ceiling is not None:
            anchor["ceiling"] = of_strategy.ceiling
        if cotangents is not None:
            anchor["cotangent"] = cotangents[number]
        candidate = of_strategy.candidates._asdict()
        rows.append(anchor if is_row else candidate)
        columns.append(candidate if is_row else anchor)
    return rows, columns


def _roles(is_row: bool, row: dict, column: dict) -> tuple[dict, dict]:
    """(anchor, candidate), each number of the rows as (B, 1) and of the columns as (1, size)."""
    row = {name: value[:, None] for name, value in row.items()}
    column = {name: value[None, :] for name, value in column.items()}
    return (row, column) if is_row else (column, row)


def _is_active(similarity: jax.Array, is_row: bool, row: dict, column: dict) -> jax.Array:
    """(B, size) bool, the entries that cost something."""
    anchor, candidate = _roles(is_row, row, column)
    is_negative = (candidate["rank"] <= anchor["limit"]) & (candidate["label"] != anchor["label"])
    active = is_negative & (similarity > anchor["threshold"])
    return active & (similarity < anchor["ceiling"]) if "ceiling" in anchor else active


def _similarities(x: jax.Array, candidates: jax.Array, is_real: jax.Array | None) -> jax.Array:
    """(B, size) similarities; −inf in the columns that only fill up the last block."""
    similarity = similarities(x, candidates)
    return similarity if is_real is None else jnp.where(is_real, similarity, -jnp.inf)
