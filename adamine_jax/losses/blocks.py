"""Cuts the batch into blocks of candidates, to be scanned over."""

from typing import Any

import jax
import jax.numpy as jnp


def in_blocks(size: int, tree: Any) -> tuple[Any, jax.Array]:
    """Cuts arrays of B rows into blocks of at most `size` rows.

    Block k holds the rows k, k + n, k + 2n, …, n being the number of blocks. Where the rows are spread over the devices
    of a mesh each block then is too: all devices work on every block, and none needs all rows at once.

    Args:
        size: rows at a time.
        tree: of arrays (B, …).

    Returns:
        The arrays as (n, ⌈B/n⌉, …), zeros filling up the last ones, and the rows' places in the batch (n, ⌈B/n⌉) int32,
        those that only fill up being B or more.
    """
    count = len(jax.tree.leaves(tree)[0])
    number = -(-count // size)
    size = -(-count // number)

    def cut(array: jax.Array) -> jax.Array:
        padded = jnp.pad(array, [(0, size * number - count), *[(0, 0)] * (array.ndim - 1)])
        return padded.reshape(size, number, *array.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(cut, tree), jnp.arange(size * number, dtype=jnp.int32).reshape(size, number).T


def from_blocks(blocks: Any, count: int) -> Any:
    """Puts blocks together again: arrays (n, size, …) to (count, …)."""
    return jax.tree.map(lambda array: array.swapaxes(0, 1).reshape(-1, *array.shape[2:])[:count], blocks)
