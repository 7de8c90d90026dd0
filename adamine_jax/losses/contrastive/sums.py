"""Sums over all pairs of a batch, row by row and column by column, computed one block of columns at a time.

Contrastive losses need, of the similarities s_ij = x_i · y_j, only sums over rows and columns: log-sum-exps for a
softmax, sums of costs for a sigmoid. As in `hinge`, neither the (B, B) similarities nor their functions are returned,
and memory grows with B · block.

The gradient. Let l_ij = f(s_ij) with the derivative f'_ij, over the pairs that count. For R_i = log Σ_j exp l_ij and
C_j = log Σ_i exp l_ij, with the cotangents r_i and c_j,

    ∂L/∂s_ij = (r_i · exp(l_ij − R_i) + c_j · exp(l_ij − C_j)) · f'_ij,

and for the sums S_i = Σ_j l_ij it is r_i · f'_ij. With these coefficients K, ∂L/∂X = K Y and ∂L/∂Y = Kᵀ X.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.losses.blocks import Blocks, from_blocks, in_blocks
from adamine_jax.losses.distances import similarities

Function = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
"""Maps similarities to (f, f'), elementwise; must not close over traced arrays."""


class Counted(NamedTuple):
    """Which pairs (i, j) count.

    Attributes:
        rows: (B,) bool, whether row i of `x` counts.
        columns: (B,) bool, whether row j of `y` counts.
        row_group: (B,) int32. A pair i ≠ j with row_group[i] = column_group[j] ≥ 0 does not count as a negative.
        column_group: (B,) int32.
    """

    rows: jax.Array
    columns: jax.Array
    row_group: jax.Array
    column_group: jax.Array


def identity(similarity: jax.Array) -> tuple[jax.Array, jax.Array]:
    """f(s) = s."""
    return similarity, jnp.ones_like(similarity)


class LogSums(NamedTuple):
    """Results of `log_sums`, (B,) each: log-sum-exps, and the greatest f of each row and column, without a gradient."""

    rows: jax.Array
    columns: jax.Array
    greatest_in_row: jax.Array
    greatest_in_column: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def log_sums(blocks: Blocks, function: Function, own: bool, x: jax.Array, y: jax.Array, counted: Counted) -> "LogSums":
    """Computes log Σ_j exp f(x_i · y_j) of each row and log Σ_i exp f(x_i · y_j) of each column.

    Args:
        blocks: How to split the columns, the rows of `y`.
        function: f.
        own: Whether the pairs (i, i) count.
        x: (B, D) float.
        y: (B, D) float.
        counted: The pairs that count.

    Returns:
        The sums, −inf where no pair counts.
    """
    return _log_sums_forward(blocks, function, own, x, y, counted)[0]


def _log_sums_forward(blocks, function, own, x, y, counted):
    def step(carry, block):
        similarity = similarities(x, block["y"])
        logits = jnp.where(_counts(own, counted, block), function(similarity)[0], -jnp.inf)
        highest, total = carry
        new = jnp.maximum(highest, jnp.max(logits, axis=1))
        finite = jnp.where(jnp.isfinite(new), new, 0)  # −inf − −inf is NaN
        total = total * jnp.exp(highest - finite) + jnp.sum(jnp.exp(logits - finite[:, None]), axis=1)
        columns = jax.nn.logsumexp(logits, axis=0), jnp.max(logits, axis=0)
        return (new, total), (columns, similarity if blocks.keep else None)

    start = (jnp.full(len(x), -jnp.inf, x.dtype), jnp.zeros(len(x), x.dtype))
    (highest, total), (columns, kept) = jax.lax.scan(step, start, _split(blocks, y, counted))
    columns, greatest = from_blocks(columns, len(y))
    sums = LogSums(highest + jnp.log(total), columns, highest, greatest)
    return sums, (x, y, counted, sums, kept)


def _log_sums_backward(blocks, function, own, residuals, cotangents):
    x, y, counted, sums, kept = residuals
    rows, columns = (jnp.where(jnp.isfinite(total), total, 0) for total in sums[:2])
    row_cotangent, column_cotangent = cotangents[:2]

    def coefficients(logits, block):
        by_row = row_cotangent[:, None] * jnp.exp(logits - rows[:, None])
        return by_row + block["cotangent"] * jnp.exp(logits - block["sum"])

    more = {"sum": columns, "cotangent": column_cotangent}
    return _gradients(blocks, function, own, x, y, counted, kept, coefficients, more)


log_sums.defvjp(_log_sums_forward, _log_sums_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def row_sums(
    blocks: Blocks, function: Function, own: bool, x: jax.Array, y: jax.Array, counted: Counted
) -> tuple[jax.Array, jax.Array]:
    """Computes Σ_j f(x_i · y_j) of each row over the pairs that count; see `log_sums` for the arguments.

    Returns:
        (sums, greatest), (B,) each; the greatest f of each row has no gradient.
    """
    return _row_sums_forward(blocks, function, own, x, y, counted)[0]


def _row_sums_forward(blocks, function, own, x, y, counted):
    def step(carry, block):
        similarity = similarities(x, block["y"])
        counts, values = _counts(own, counted, block), function(similarity)[0]
        greatest = jnp.maximum(carry[1], jnp.max(jnp.where(counts, values, -jnp.inf), axis=1))
        total = carry[0] + jnp.sum(jnp.where(counts, values, 0), axis=1)
        return (total, greatest), similarity if blocks.keep else None

    start = (jnp.zeros(len(x), x.dtype), jnp.full(len(x), -jnp.inf, x.dtype))
    sums, kept = jax.lax.scan(step, start, _split(blocks, y, counted))
    return sums, (x, y, counted, kept)


def _row_sums_backward(blocks, function, own, residuals, cotangents):
    x, y, counted, kept = residuals
    cotangent, _ = cotangents

    def coefficients(values, block):
        return jnp.broadcast_to(cotangent[:, None], values.shape)

    return _gradients(blocks, function, own, x, y, counted, kept, coefficients, {})


row_sums.defvjp(_row_sums_forward, _row_sums_backward)


def number_counted(blocks: Blocks, own: bool, counted: Counted) -> jax.Array:
    """Returns (B,) int32, how many pairs of each row count."""
    nothing = jnp.zeros((len(counted.rows), 0))

    def step(total, block):
        return total + jnp.sum(_counts(own, counted, block), axis=1, dtype=jnp.int32), None

    start = jnp.zeros(len(counted.rows), jnp.int32)
    return jax.lax.scan(step, start, _split(blocks, nothing, counted))[0]


def _split(blocks: Blocks, y: jax.Array, counted: Counted, **more: jax.Array) -> dict[str, jax.Array]:
    """Returns what belongs to the columns, in blocks; padding columns do not count."""
    arrays = {"y": y, "counts": counted.columns, "group": counted.column_group, **more}
    split, index = in_blocks(blocks.size, arrays)
    return {**split, "index": index}


def _counts(own: bool, counted: Counted, block: dict[str, jax.Array]) -> jax.Array:
    """(B, size) bool, the pairs of a block that count."""
    is_own = jnp.arange(len(counted.rows), dtype=jnp.int32)[:, None] == block["index"]
    is_same = (counted.row_group[:, None] == block["group"]) & (counted.row_group >= 0)[:, None]
    counts = counted.rows[:, None] & block["counts"] & ~(is_same & ~is_own)
    return counts if own else counts & ~is_own


def _gradients(blocks, function, own, x, y, counted, kept, coefficients, more):
    """Returns the cotangents of `x`, `y` and `counted`."""

    def step(gradient, inputs):
        block, similarity = inputs
        if similarity is None:
            similarity = similarities(x, block["y"])
        values, slope = function(similarity)
        weights = jnp.where(_counts(own, counted, block), coefficients(values, block) * slope, 0)
        gradient += jnp.matmul(weights, block["y"], precision="highest")
        return gradient, jnp.matmul(weights.T, x, precision="highest")

    split = _split(blocks, y, counted, **more)
    gradient_x, gradient_y = jax.lax.scan(step, jnp.zeros_like(x), (split, kept))
    return gradient_x, from_blocks(gradient_y, len(y)), None
