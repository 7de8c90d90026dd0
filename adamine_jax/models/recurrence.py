"""Final states of LSTMs over padded sequences, at the cost of the steps that are real.

The sequences are sorted by length and cut into groups, and a group runs as far as its longest sequence. How many
steps that makes is known only from the data, so the loops below have dynamic lengths; shapes stay static, and the
gradient, which JAX has for loops of fixed length only, is written out.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

MAX_GROUPS = 24
GROUP_ROWS = {"cpu": 24}
ACCELERATOR_ROWS = 512
"""Rows that a group has at least, or its products are not worth their overhead: measured on a CPU (16 to 512 rows were
tried), assumed elsewhere."""

WEIGHT_GRADIENT_ROWS = 1024
"""Rows over which the weights' gradient is one product."""

KEPT_BYTES = 2**28
"""Activations kept for the gradient whatever share of the steps that is; beyond it a quarter of the steps are kept,
about twice what Recipe1M's recipes have of 20 sentences of 48 words. Where that is not enough they are recomputed."""


def lstm_final_state(
    inputs: jax.Array,
    lengths: jax.Array,
    input_kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array,
    *,
    reverse: bool = False,
    remat: bool = False,
) -> jax.Array:
    """Hidden state of an LSTM after the last real step of each sequence (Hochreiter & Schmidhuber, 1997).

    The equations are PyTorch's, without peepholes, gates in the order i, f, g, o:

        i, f, o = σ(x·W + h·U + b),  g = tanh(x·W + h·U + b),  c ← f ∘ c + i ∘ g,  h ← o ∘ tanh(c)

    Cell arithmetic is in the bias's precision (float32), products in that of `inputs`. A row is a program of its own:
    over a mesh, call this within `jax.shard_map`, so that each device sorts its own rows.

    Args:
        inputs: (B, T, D), real steps first, padding (anything finite) behind them.
        lengths: (B,) integers, 0..T: the number of real steps. 0 gives the zero state.
        input_kernel: (D, 4H).
        recurrent_kernel: (H, 4H).
        bias: (4H,).
        reverse: reads each sequence from its last real step to its first.
        remat: keeps the activations of one group alone and recomputes the others: less memory, a third more time.

    Returns:
        (B, H) in the bias's dtype.
    """
    inputs, lengths, bias = jnp.asarray(inputs), jnp.asarray(lengths), jnp.asarray(bias)
    kernel = jnp.concatenate([input_kernel, recurrent_kernel]).astype(inputs.dtype)
    return _final_state(inputs, lengths, kernel, bias, reverse, remat)


class _Schedule(NamedTuple):
    """Sequences in groups by falling length, and which step of which group the k-th of all steps is.

    Attributes:
        order: (G, n) numbers of the rows; what fills up the last group has length 0.
        lengths: (G, n) of these rows.
        steps: (G,) longest of each group.
        starts: (G,) steps of all groups before.
        total: () steps of all groups.
    """

    order: jax.Array
    lengths: jax.Array
    steps: jax.Array
    starts: jax.Array
    total: jax.Array

    def at(self, k: jax.Array, reverse: bool) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Group, number of the step in it, position that it reads, and (n, 1) whether a row has that position."""
        group = jnp.searchsorted(self.starts, k, side="right") - 1
        step = k - self.starts[group]
        position = self.steps[group] - 1 - step if reverse else step
        return group, step, position, (position < self.lengths[group])[:, None]


class _Activations(NamedTuple):
    """Of consecutive steps, for the gradient.

    Attributes:
        operand: (K, n, D + H), x and the h before the step.
        gates: (K, n, 4H), i, f, g, o.
        cell: (K, n, H), c after the step.
    """

    operand: jax.Array
    gates: jax.Array
    cell: jax.Array


def _schedule(lengths: jax.Array) -> _Schedule:
    rows = len(lengths)
    groups = min(max(rows // GROUP_ROWS.get(jax.default_backend(), ACCELERATOR_ROWS), 1), MAX_GROUPS)
    group_rows = -(-rows // groups)
    order = jnp.argsort(-lengths)
    filling = (0, groups * group_rows - rows)
    sorted_lengths = jnp.pad(lengths[order].astype(jnp.int32), filling).reshape(groups, group_rows)
    steps = sorted_lengths[:, 0]
    ends = jnp.cumsum(steps)
    return _Schedule(jnp.pad(order, filling).reshape(groups, group_rows), sorted_lengths, steps, ends - steps, ends[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _final_state(inputs, lengths, kernel, bias, reverse, remat):
    schedule = _schedule(lengths)
    states, _ = _run(schedule, _grouped(schedule, inputs), kernel, bias, reverse, 0, schedule.total, None)
    return _ungrouped(schedule, states, len(inputs))


def _forward(inputs, lengths, kernel, bias, reverse, remat):
    schedule, dtype = _schedule(lengths), inputs.dtype
    groups, rows = schedule.order.shape
    steps, hidden = inputs.shape[1], len(bias) // 4
    room = groups * steps
    if remat:
        room = steps
    elif room * rows * (len(kernel) + 5 * hidden) * dtype.itemsize > KEPT_BYTES:
        room = max(room // 4, steps)
    chunk = _chunk(rows)
    room = -(-room // chunk) * chunk
    kept = _Activations(
        jax.lax.empty((room, rows, len(kernel)), dtype),
        jax.lax.empty((room, rows, 4 * hidden), dtype),
        jax.lax.empty((room, rows, hidden), bias.dtype),
    )
    states, kept = _run(schedule, _grouped(schedule, inputs), kernel, bias, reverse, 0, schedule.total, kept)
    return _ungrouped(schedule, states, len(inputs)), (schedule, kept, inputs, kernel, bias)


def _backward(reverse, remat, residuals, cotangent):
    schedule, kept, inputs, kernel, bias = residuals
    grouped = _grouped(schedule, inputs)
    cotangent = cotangent[schedule.order]
    fits = schedule.total <= len(kept.cell)

    def piece(group, carry):
        """Back through all groups where their activations were kept, else through one of them, computed again."""
        kept, gradients = carry
        first = jnp.where(fits, 0, schedule.starts[group])
        last = jnp.where(fits, schedule.total, first + schedule.steps[group])
        again = jnp.where(fits, first, last)
        _, kept = _run(schedule, grouped, kernel, bias, reverse, first, again, kept)
        return kept, _run_back(schedule, kept, kernel, reverse, first, last, cotangent, gradients)

    zeros = (
        jnp.zeros((grouped.shape[0] * grouped.shape[1], *grouped.shape[2:]), grouped.dtype),
        jnp.zeros(kernel.shape, bias.dtype),
        jnp.zeros_like(bias),
    )
    pieces = jnp.where(fits, 1, len(schedule.steps))
    _, (of_inputs, of_kernel, of_bias) = jax.lax.fori_loop(0, pieces, piece, (kept, zeros))
    of_inputs = jnp.swapaxes(of_inputs.reshape(grouped.shape), 1, 2).reshape(-1, *inputs.shape[1:])
    inverse = jnp.argsort(schedule.order.reshape(-1)[: len(inputs)])
    return of_inputs[inverse], None, of_kernel.astype(kernel.dtype), of_bias


_final_state.defvjp(_forward, _backward)


def _run(schedule, inputs, kernel, bias, reverse, first, last, kept):
    """Steps first..last−1 of the schedule, which begin and end with a group.

    Args:
        schedule: of the sequences.
        inputs: (G, T, n, D), see `_grouped`.
        kernel: (D + H, 4H).
        bias: (4H,).
        reverse: see `lstm_final_state`.
        first, last: () int32.
        kept: activations to overwrite from the front, or None.

    Returns:
        (G, n, H) states at the end of each group that was run, and the activations.
    """
    dtype, rows, hidden = inputs.dtype, inputs.shape[2], len(bias) // 4

    def step(k, carry):
        h, c, states, kept = carry
        group, number, position, is_real = schedule.at(k, reverse)
        h, c = jnp.where(number == 0, 0, h), jnp.where(number == 0, 0, c)
        operand = jnp.concatenate([inputs[group, position], h.astype(dtype)], axis=-1)
        gates = jnp.dot(operand, kernel, preferred_element_type=bias.dtype) + bias
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = jnp.where(is_real, f * c + i * g, c)
        h = jnp.where(is_real, o * jnp.tanh(c), h)
        if kept is not None:
            new = _Activations(operand, jnp.concatenate([i, f, g, o], axis=-1).astype(dtype), c)
            kept = _Activations(
                *(jax.lax.dynamic_update_index_in_dim(a, b, k - first, 0) for a, b in zip(kept, new, strict=True))
            )
        return h, c, jax.lax.dynamic_update_index_in_dim(states, h, group, 0), kept

    zeros = jnp.zeros((rows, hidden), bias.dtype)
    states = jnp.zeros((len(schedule.steps), rows, hidden), bias.dtype)
    _, _, states, kept = jax.lax.fori_loop(first, last, step, (zeros, zeros, states, kept))
    return states, kept


def _run_back(schedule, kept, kernel, reverse, first, last, cotangent, gradients):
    """Adds the gradients of the steps that `_run` did.

    Args:
        schedule: of the sequences.
        kept: activations of the steps, the first one's at 0.
        kernel: (D + H, 4H).
        reverse: see `lstm_final_state`.
        first, last: as given to `_run`.
        cotangent: (G, n, H) of the states.
        gradients: of the grouped inputs (G·T, n, D), the kernel and the bias.

    Returns:
        The three gradients.
    """
    dtype, cell_dtype = kept.operand.dtype, kept.cell.dtype
    rows, hidden = kept.cell.shape[1:]
    steps = len(gradients[0]) // len(schedule.steps)
    width = len(kernel) - hidden
    chunk = _chunk(rows)
    chunks = -(-(last - first) // chunk)

    def step(k, dh, dc, of_inputs):
        group, number, position, is_real = schedule.at(k, reverse)
        is_end = number == schedule.steps[group] - 1
        dh, dc = jnp.where(is_end, cotangent[group], dh), jnp.where(is_end, 0, dc)
        i, f, g, o = jnp.split(kept.gates[k - first].astype(cell_dtype), 4, axis=-1)
        tanh_c = jnp.tanh(kept.cell[k - first])
        c_before = jnp.where(number == 0, 0, kept.cell[jnp.maximum(k - first - 1, 0)])
        through_c = dc + dh * o * (1 - tanh_c**2)
        of_gates = [
            through_c * g * i * (1 - i),
            through_c * c_before * f * (1 - f),
            through_c * i * (1 - g**2),
            dh * tanh_c * o * (1 - o),
        ]
        of_gates = jnp.where(is_real, jnp.concatenate(of_gates, axis=-1), 0).astype(dtype)
        of_operand = jax.lax.dot_general(of_gates, kernel, (((1,), (1,)), ((), ())), preferred_element_type=cell_dtype)
        of_inputs = jax.lax.dynamic_update_index_in_dim(
            of_inputs, of_operand[:, :width].astype(dtype), group * steps + position, 0
        )
        dh = of_operand[:, width:] + jnp.where(is_real, 0, dh)
        dc = jnp.where(is_real, through_c * f, dc)
        return dh, dc, of_inputs, of_gates

    def backward_chunk(number, carry):
        state, of_gates, of_kernel, of_bias = carry
        offset = (chunks - 1 - number) * chunk
        count = jnp.minimum(chunk, last - first - offset)

        def backward_step(number, carry):
            state, of_gates = carry
            place = count - 1 - number
            *state, new = step(first + offset + place, *state)
            return tuple(state), jax.lax.dynamic_update_index_in_dim(of_gates, new, place, 0)

        state, of_gates = jax.lax.fori_loop(0, count, backward_step, (state, of_gates))
        # The last chunk may be longer than what there is. Behind it nothing was ever written into `kept`.
        is_step = (jnp.arange(chunk) < count)[:, None, None]
        operand = jnp.where(is_step, jax.lax.dynamic_slice_in_dim(kept.operand, offset, chunk), 0)
        of_kernel += jnp.einsum("krc,krg->cg", operand, of_gates, preferred_element_type=cell_dtype)
        of_bias += jnp.sum(jnp.where(is_step, of_gates, 0).astype(cell_dtype), axis=(0, 1))
        return state, of_gates, of_kernel, of_bias

    of_inputs, of_kernel, of_bias = gradients
    zeros = jnp.zeros((rows, hidden), cell_dtype)
    of_gates = jnp.zeros((chunk, rows, 4 * hidden), dtype)
    (_, _, of_inputs), _, of_kernel, of_bias = jax.lax.fori_loop(
        0, chunks, backward_chunk, ((zeros, zeros, of_inputs), of_gates, of_kernel, of_bias)
    )
    return of_inputs, of_kernel, of_bias


def _chunk(rows: int) -> int:
    """Steps whose gradient of the weights is one product."""
    return max(WEIGHT_GRADIENT_ROWS // rows, 1)


def _grouped(schedule: _Schedule, inputs: jax.Array) -> jax.Array:
    """(B, T, D) → (G, T, n, D), so that a step of a group lies together."""
    return jnp.swapaxes(inputs[schedule.order], 1, 2)


def _ungrouped(schedule: _Schedule, states: jax.Array, rows: int) -> jax.Array:
    """(G, n, H) → (B, H)."""
    states = states.reshape(-1, states.shape[-1])[:rows]
    return jnp.zeros_like(states).at[schedule.order.reshape(-1)[:rows]].set(states)
