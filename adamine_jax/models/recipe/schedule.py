"""Which sequences an LSTM over padded sequences runs side by side, and in which order it does their steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

GROUP_SIZE = {"cpu": 32}
ACCELERATOR_GROUP_SIZE, ACCELERATOR_GROUPS = 512, 24
"""Sequences of a group: with fewer, products are not worth their overhead, with more, there is more padding. Measured
on a CPU; assumed elsewhere, where there are no more than so many groups."""


class Schedule(NamedTuple):
    """Sequences in groups by falling length, and which step of which group the k-th of all steps is.

    Attributes:
        order: (G, n) numbers of the sequences; what fills up the last group has length 0.
        lengths: (G, n) of these sequences.
        steps: (G,) longest of each group.
        starts: (G,) steps of all groups before.
        total: () steps of all groups.
    """

    order: jax.Array
    lengths: jax.Array
    steps: jax.Array
    starts: jax.Array
    total: jax.Array

    @classmethod
    def of(cls, lengths: jax.Array) -> "Schedule":
        """Sorts sequences of these lengths, (B,)."""
        size = GROUP_SIZE.get(jax.default_backend())
        size = size or max(ACCELERATOR_GROUP_SIZE, -(-len(lengths) // ACCELERATOR_GROUPS))
        size = min(size, len(lengths))
        groups = -(-len(lengths) // size)
        order = jnp.argsort(-lengths)
        filling = (0, groups * size - len(lengths))
        sorted_lengths = jnp.pad(lengths[order].astype(jnp.int32), filling).reshape(groups, size)
        steps = sorted_lengths[:, 0]
        ends = jnp.cumsum(steps)
        return cls(jnp.pad(order, filling).reshape(groups, size), sorted_lengths, steps, ends - steps, ends[-1])

    def at(self, k: jax.Array, reverse: bool) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Group, number of the step in it, position that it reads, and (…, n) whether a sequence has that position."""
        group = jnp.searchsorted(self.starts, k, side="right") - 1
        step = k - self.starts[group]
        position = self.steps[group] - 1 - step if reverse else step
        return group, step, position, position[..., None] < self.lengths[group]

    def ungroup(self, states: jax.Array, rows: int) -> jax.Array:
        """Maps (G, H, n), states of a group's sequences side by side, to (B, H), B given as `rows`."""
        states = jnp.swapaxes(states, 1, 2).reshape(-1, states.shape[1])[:rows]
        return jnp.zeros_like(states).at[self.order.reshape(-1)[:rows]].set(states)
