"""Blocks of candidates: how losses over all pairs of a batch are computed without (B, B) arrays."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

LARGEST_KEPT = 8192
"""Largest batch whose similarities are kept for the backward pass: 256 MiB."""
KEPT_BLOCK = 2**21  # entries per block: 8 MiB, which fit in a processor's cache
RECOMPUTED_BLOCK = 1024  # columns per block


class Blocks(NamedTuple):
    """How the columns are split into blocks.

    Attributes:
        size: Columns per block.
        keep: Whether to keep the similarities, B² in all, for the backward pass.
    """

    size: int
    keep: bool


def blocks_of(batch: int, block: int = 0) -> Blocks:
    """Returns the blocks for a batch of B pairs, given `loss.block`; 0 picks a size."""
    if block:
        return Blocks(min(block, batch), keep=block >= batch)
    if batch <= LARGEST_KEPT:
        return Blocks(min(KEPT_BLOCK // batch, batch), keep=True)
    return Blocks(RECOMPUTED_BLOCK, keep=False)


def in_blocks(size: int, tree: Any) -> tuple[Any, jax.Array]:
    """Splits arrays of B rows into blocks of at most `size` rows.

    Block k contains the rows k, k + n, k + 2n, …, where n is the number of blocks. If the rows are sharded over the
    devices of a mesh, so is each block: all devices work on every block, and no device needs all rows at once.

    Args:
        size: Maximum number of rows per block.
        tree: Arrays (B, …).

    Returns:
        The arrays as (n, ⌈B/n⌉, …), padded with zeros, and the batch index (n, ⌈B/n⌉) int32 of each row. Padding rows
        have an index of B or more.
    """
    count = len(jax.tree.leaves(tree)[0])
    number = -(-count // size)
    size = -(-count // number)

    def split(array: jax.Array) -> jax.Array:
        if size * number > count:
            array = jnp.pad(array, [(0, size * number - count), *[(0, 0)] * (array.ndim - 1)])
        return array.reshape(size, number, *array.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(split, tree), jnp.arange(size * number, dtype=jnp.int32).reshape(size, number).T


def from_blocks(blocks: Any, count: int) -> Any:
    """Inverts `in_blocks`: arrays (n, size, …) to (count, …)."""
    return jax.tree.map(lambda array: array.swapaxes(0, 1).reshape(-1, *array.shape[2:])[:count], blocks)
