"""Hinge costs of all triplets that share one similarity matrix, computed one block of its columns at a time.

The loss needs only the sum of each anchor's costs, the number of costs above 0, and the gradient; neither the (B, B)
similarities nor the costs of each strategy are returned. Blocks of columns that fit in a cache are faster than passes
over whole matrices, and recomputing the similarities in the backward pass makes memory grow with B instead of B².

The gradient. Let s_ij = cos(anchor_i, candidate_j), t_i the threshold of the anchor and n_i the number of its active
entries, those with s_ij > t_i. The sum S_i = Σ_j max(0, s_ij − t_i) has the derivatives

    ∂S_i/∂s_ij = 1 if (i, j) is active, else 0,     ∂S_i/∂t_i = −n_i.

With g_i = ∂L/∂S_i and the coefficients C_ij = g_i · 1[(i, j) active], and s = X Yᵀ, it follows that

    ∂L/∂X = C Y,     ∂L/∂Y = Cᵀ X,     ∂L/∂t_i = −g_i n_i.

Example: four matched pairs, strategy IRR, margin 0.3, and the similarities (image in rows, recipe in columns)

    s = 0.9  0.7  0.1  0.2        t = (0.6, 0.1, 0.4, 0.5): the diagonal less the margin
        0.5  0.4  0.0  0.3
        0.1  0.2  0.7  0.1        costs = 0    0.1  0    0         S = (0.1, 0.6, 0, 0.1)
        0.6  0.1  0.2  0.8                0.4  0    0    0.2       n = (1, 2, 0, 1)
                                          0    0    0    0
                                          0.1  0    0    0

The diagonal is the positive itself and never active. Adaptive mining divides ΣS = 0.8 by Σn = 4 and gives 0.2; the
plain mean divides by 16 and gives 0.05.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.losses.anchors import Anchors, Candidates
from adamine_jax.losses.blocks import Blocks, from_blocks, in_blocks
from adamine_jax.losses.distances import similarities


class Triplets(NamedTuple):
    """The triplets of one strategy.

    Attributes:
        threshold: (B,) float, the similarity to the positive less the margin. A negative costs the amount by which its
            similarity to the anchor exceeds the threshold.
        ceiling: (B,) float, the similarity below which a negative is semi-hard, or None for no such condition.
        anchors: The anchors.
        candidates: The candidates for negatives.
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
        blocks: How to split the columns, the rows of `y`.
        on_rows: For each strategy, whether its anchors are the rows of `x` and its candidates those of `y`, or the
            reverse.
        x: (B, D) float, rows of unit norm.
        y: (B, D) float, rows of unit norm.
        triplets: The triplets of each strategy.

    Returns:
        (sums, counts) of each strategy: (B,) sums of the anchors' costs, differentiable in `x`, `y` and the thresholds,
        and (B,) int32 numbers of costs above 0.
    """
    return _forward(blocks, on_rows, x, y, triplets)[0]


def _forward(blocks, on_rows, x, y, triplets):
    rows, columns = _by_axis(on_rows, triplets)
    split, index = in_blocks(blocks.size, (columns, y))
    padded = index.size > len(y)

    def step(totals, block):
        (columns, candidates), index = block
        similarity = _similarities(x, candidates, index < len(y) if padded else None)
        block_sums = []
        for is_row, row, column in zip(on_rows, rows, columns, strict=True):
            anchor, _ = _roles(is_row, row, column)
            active = _is_active(similarity, is_row, row, column)
            cost = jnp.where(active, similarity - anchor["threshold"], 0)
            axis = 1 if is_row else 0
            block_sums.append((jnp.sum(cost, axis), jnp.sum(active, axis, dtype=jnp.int32)))
        # The candidates of an anchor on the rows are spread over all blocks: add up. An anchor on the columns is
        # complete within its block.
        totals = [
            jax.tree.map(jnp.add, total, new) if is_row else None
            for is_row, total, new in zip(on_rows, totals, block_sums, strict=True)
        ]
        column_sums = [None if is_row else new for is_row, new in zip(on_rows, block_sums, strict=True)]
        return totals, (column_sums, similarity if blocks.keep else None)

    zeros = (jnp.zeros(len(x), x.dtype), jnp.zeros(len(x), jnp.int32))
    totals = [zeros if is_row else None for is_row in on_rows]
    totals, (column_sums, kept) = jax.lax.scan(step, totals, (split, index))
    column_sums = from_blocks(column_sums, len(y))
    results = [total or column_sum for total, column_sum in zip(totals, column_sums, strict=True)]
    return results, (x, y, triplets, [counts for _, counts in results], kept)


def _backward(blocks, on_rows, residuals, cotangents):
    x, y, triplets, counts, kept = residuals
    sum_cotangents = [cotangent for cotangent, _ in cotangents]  # the counts are integers and have none
    rows, columns = _by_axis(on_rows, triplets, sum_cotangents)
    split, index = in_blocks(blocks.size, (columns, y))
    padded = index.size > len(y)

    def step(gradient, block):
        (columns, candidates), index, similarity = block
        if similarity is None:
            similarity = _similarities(x, candidates, index < len(y) if padded else None)
        coefficients = jnp.zeros_like(similarity)  # C in the module docstring, summed over the strategies
        for is_row, row, column in zip(on_rows, rows, columns, strict=True):
            anchor, _ = _roles(is_row, row, column)
            coefficients += jnp.where(_is_active(similarity, is_row, row, column), anchor["cotangent"], 0)
        gradient += jnp.matmul(coefficients, candidates, precision="highest")
        return gradient, jnp.matmul(coefficients.T, x, precision="highest")

    gradient_x, gradient_y = jax.lax.scan(step, jnp.zeros_like(x), (split, index, kept))
    no_gradient: Any = None  # anchors and candidates are integers
    triplet_gradients = tuple(
        Triplets(-cotangent * count.astype(cotangent.dtype), None, anchors=no_gradient, candidates=no_gradient)
        for cotangent, count in zip(sum_cotangents, counts, strict=True)
    )
    return gradient_x, from_blocks(gradient_y, len(y)), triplet_gradients


hinge.defvjp(_forward, _backward)


def _by_axis(on_rows, triplets, cotangents=None) -> tuple[list[dict], list[dict]]:
    """Arranges the arrays of each strategy by axis: those indexed by the rows, and those indexed by the columns."""
    rows, columns = [], []
    for number, (is_row, strategy) in enumerate(zip(on_rows, triplets, strict=True)):
        anchor = {
            "label": strategy.anchors.label,
            "limit": strategy.anchors.limit,
            "threshold": strategy.threshold,
        }
        if strategy.ceiling is not None:
            anchor["ceiling"] = strategy.ceiling
        if cotangents is not None:
            anchor["cotangent"] = cotangents[number]
        candidate = strategy.candidates._asdict()
        rows.append(anchor if is_row else candidate)
        columns.append(candidate if is_row else anchor)
    return rows, columns


def _roles(is_row: bool, row: dict, column: dict) -> tuple[dict, dict]:
    """Returns (anchor, candidate), with values of the rows as (B, 1) and of the columns as (1, size)."""
    row = {name: value[:, None] for name, value in row.items()}
    column = {name: value[None, :] for name, value in column.items()}
    return (row, column) if is_row else (column, row)


def _is_active(similarity: jax.Array, is_row: bool, row: dict, column: dict) -> jax.Array:
    """(B, size) bool, the entries with a cost above 0."""
    anchor, candidate = _roles(is_row, row, column)
    is_negative = (candidate["rank"] <= anchor["limit"]) & (candidate["label"] != anchor["label"])
    active = is_negative & (similarity > anchor["threshold"])
    return active & (similarity < anchor["ceiling"]) if "ceiling" in anchor else active


def _similarities(x: jax.Array, candidates: jax.Array, is_real: jax.Array | None) -> jax.Array:
    """(B, size) similarities; −inf in the padding columns of the last block."""
    similarity = similarities(x, candidates)
    return similarity if is_real is None else jnp.where(is_real, similarity, -jnp.inf)
