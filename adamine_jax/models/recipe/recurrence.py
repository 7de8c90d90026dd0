"""Final states of LSTMs over padded sequences, at the cost of the steps that are real.

The sequences are sorted by length and cut into groups, and a group runs as far as its longest sequence. How many
steps that makes is known only from the data, so the loops below have dynamic lengths; shapes stay static, and the
gradient, which JAX has for loops of fixed length only, is written out.

Within the loops a state is (H, n), a sequence a column: as rows, 32 sequences would get half the rate from the
products of XLA's CPU backend. For accelerators it is assumed not to matter.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.models.recipe.schedule import Schedule

WEIGHT_GRADIENT_COLUMNS = 256
"""Columns over which the weights' gradient is one product."""

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
    kernels = _Kernels(*(jnp.asarray(kernel).astype(inputs.dtype) for kernel in (input_kernel, recurrent_kernel)))
    return _final_state(inputs, lengths, kernels, bias, reverse, remat)


class _Kernels(NamedTuple):
    """Of the inputs (D, 4H) and of the state (H, 4H)."""

    input: jax.Array
    recurrent: jax.Array

    def transposed(self) -> "_Kernels":
        """Made outside the loops: XLA's CPU backend would do it in every step."""
        return _Kernels(self.input.T, self.recurrent.T)


class _Activations(NamedTuple):
    """Of consecutive steps, for the gradient.

    Attributes:
        operand: (C, D + H, k·n), x and the h before the step, of k steps side by side; their gradient of the weights
            is one product.
        gates: (K, 4H, n), i, f, g, o.
        cell: (K, H, n), c after the step.
    """

    operand: jax.Array
    gates: jax.Array
    cell: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _final_state(inputs, lengths, kernels, bias, reverse, remat):
    schedule = Schedule.of(lengths)
    states, _ = _run(schedule, inputs, kernels.transposed(), bias, reverse, 0, schedule.total, None)
    return schedule.ungroup(states, len(inputs))


def _forward(inputs, lengths, kernels, bias, reverse, remat):
    # A residual's value is traced, its structure is not: () says that the inputs' gradient is wanted, None that it is
    # not, as for given sentence vectors.
    wanted = () if inputs.perturbed else None
    inputs, lengths, bias = (argument.value for argument in (inputs, lengths, bias))
    kernels = _Kernels(*(kernel.value for kernel in kernels))
    schedule, dtype = Schedule.of(lengths), inputs.dtype
    groups, size = schedule.order.shape
    steps, width, hidden = *inputs.shape[1:], len(bias) // 4
    room = groups * steps
    if remat:
        room = steps
    elif room * size * (width + 6 * hidden) * dtype.itemsize > KEPT_BYTES:
        room = max(room // 4, steps)
    chunk = _chunk(size)
    room = -(-room // chunk) * chunk
    kept = _Activations(
        jax.lax.empty((room // chunk, width + hidden, chunk * size), dtype),
        jax.lax.empty((room, 4 * hidden, size), dtype),
        jax.lax.empty((room, hidden, size), bias.dtype),
    )
    states, kept = _run(schedule, inputs, kernels.transposed(), bias, reverse, 0, schedule.total, kept)
    return schedule.ungroup(states, len(inputs)), (schedule, kept, inputs, kernels, bias, wanted)


def _backward(reverse, remat, residuals, cotangent):
    schedule, kept, inputs, kernels, bias, wanted = residuals
    transposed = kernels.transposed()
    cotangent = jnp.swapaxes(cotangent[schedule.order], 1, 2)
    fits = schedule.total <= len(kept.cell)

    def piece(group, carry):
        """Back through all groups where their activations were kept, else through one of them, computed again."""
        kept, gradients = carry
        first = jnp.where(fits, 0, schedule.starts[group])
        last = jnp.where(fits, schedule.total, first + schedule.steps[group])
        again = jnp.where(fits, first, last)
        _, kept = _run(schedule, inputs, transposed, bias, reverse, first, again, kept)
        return kept, _run_back(schedule, kept, kernels, reverse, first, last, cotangent, gradients)

    of_inputs = None if wanted is None else jnp.zeros_like(inputs)
    zeros = (of_inputs, jnp.zeros((kept.operand.shape[1], len(bias)), bias.dtype), jnp.zeros_like(bias))
    pieces = jnp.where(fits, 1, len(schedule.steps))
    _, (of_inputs, of_kernel, of_bias) = jax.lax.fori_loop(0, pieces, piece, (kept, zeros))
    of_kernels = _Kernels(*jnp.split(of_kernel.astype(inputs.dtype), [inputs.shape[2]]))
    return of_inputs, None, of_kernels, of_bias


_final_state.defvjp(_forward, _backward, symbolic_zeros=True)


def _run(schedule, inputs, transposed, bias, reverse, first, last, kept):
    """Steps first..last−1 of the schedule, which begin and end with a group.

    Args:
        schedule: of the sequences.
        inputs: (B, T, D).
        transposed: the kernels, (4H, D) and (4H, H).
        bias: (4H,).
        reverse: see `lstm_final_state`.
        first, last: () int32.
        kept: activations to overwrite from the front, or None.

    Returns:
        (G, H, n) states at the end of each group that was run, and the activations.
    """
    dtype, size, hidden = inputs.dtype, schedule.order.shape[1], len(bias) // 4
    chunk = _chunk(size)

    def product(kernel, columns):
        return jnp.dot(kernel, columns, preferred_element_type=bias.dtype)

    def step(k, carry):
        h, c, states, kept = carry
        group, number, position, is_real = schedule.at(k, reverse)
        h, c = jnp.where(number == 0, 0, h), jnp.where(number == 0, 0, c)
        x, h_before = inputs[schedule.order[group], position].T, h.astype(dtype)
        gates = product(transposed.input, x) + product(transposed.recurrent, h_before) + bias[:, None]
        i, f, g, o = jnp.split(gates, 4)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = jnp.where(is_real, f * c + i * g, c)
        h = jnp.where(is_real, o * jnp.tanh(c), h)
        if kept is not None:
            place = k - first
            at = (place // chunk, jnp.int32(0), place % chunk * size)
            kept = _Activations(
                jax.lax.dynamic_update_slice(kept.operand, jnp.concatenate([x, h_before])[None], at),
                jax.lax.dynamic_update_index_in_dim(kept.gates, jnp.concatenate([i, f, g, o]).astype(dtype), place, 0),
                jax.lax.dynamic_update_index_in_dim(kept.cell, c, place, 0),
            )
        return h, c, jax.lax.dynamic_update_index_in_dim(states, h, group, 0), kept

    zeros = jnp.zeros((hidden, size), bias.dtype)
    states = jnp.zeros((len(schedule.steps), hidden, size), bias.dtype)
    _, _, states, kept = jax.lax.fori_loop(first, last, step, (zeros, zeros, states, kept))
    return states, kept


def _run_back(schedule, kept, kernels, reverse, first, last, cotangent, gradients):
    """Adds the gradients of the steps that `_run` did.

    Args:
        schedule: of the sequences.
        kept: activations of the steps, the first one's at 0.
        kernels: (D, 4H) and (H, 4H).
        reverse: see `lstm_final_state`.
        first, last: as given to `_run`.
        cotangent: (G, H, n) of the states.
        gradients: of the inputs, or None where nobody asks for it, the kernels (D + H, 4H) and the bias.

    Returns:
        The three gradients.
    """
    dtype, cell_dtype = kept.operand.dtype, kept.cell.dtype
    hidden, size = kept.cell.shape[1:]
    chunk = _chunk(size)
    chunks = -(-(last - first) // chunk)

    def step(k, dh, dc):
        group, number, _, is_real = schedule.at(k, reverse)
        is_end = number == schedule.steps[group] - 1
        dh, dc = jnp.where(is_end, cotangent[group], dh), jnp.where(is_end, 0, dc)
        i, f, g, o = jnp.split(kept.gates[k - first].astype(cell_dtype), 4)
        tanh_c = jnp.tanh(kept.cell[k - first])
        c_before = jnp.where(number == 0, 0, kept.cell[jnp.maximum(k - first - 1, 0)])
        through_c = dc + dh * o * (1 - tanh_c**2)
        of_gates = [
            through_c * g * i * (1 - i),
            through_c * c_before * f * (1 - f),
            through_c * i * (1 - g**2),
            dh * tanh_c * o * (1 - o),
        ]
        of_gates = jnp.where(is_real, jnp.concatenate(of_gates), 0).astype(dtype)
        of_h = jnp.dot(kernels.recurrent, of_gates, preferred_element_type=cell_dtype)
        return of_h + jnp.where(is_real, 0, dh), jnp.where(is_real, through_c * f, dc), of_gates

    def backward_chunk(number, carry):
        state, of_gates, of_inputs, of_kernel, of_bias = carry
        offset = (chunks - 1 - number) * chunk
        count = jnp.minimum(chunk, last - first - offset)

        def backward_step(number, carry):
            state, of_gates = carry
            place = count - 1 - number
            *state, new = step(first + offset + place, *state)
            return tuple(state), jax.lax.dynamic_update_slice_in_dim(of_gates, new, place * size, 1)

        state, of_gates = jax.lax.fori_loop(0, count, backward_step, (state, of_gates))
        # The last chunk may be longer than what there is. Behind it nothing was ever written into `kept`.
        is_step = jnp.arange(chunk * size) < count * size
        operand, of_gates = jnp.where(is_step, kept.operand[offset // chunk], 0), jnp.where(is_step, of_gates, 0)
        of_kernel += jnp.einsum("ck,gk->cg", operand, of_gates, preferred_element_type=cell_dtype)
        of_bias += jnp.sum(of_gates.astype(cell_dtype), axis=1)

        if of_inputs is not None:
            group, _, position, is_real = schedule.at(first + offset + jnp.arange(chunk), reverse)
            row = jnp.where(is_real & is_step.reshape(chunk, size), schedule.order[group], len(of_inputs))
            of_x = jnp.einsum("gk,dg->kd", of_gates, kernels.input, preferred_element_type=cell_dtype).astype(dtype)
            of_inputs = of_inputs.at[row, position[:, None]].set(of_x.reshape(*row.shape, -1), mode="drop")
        return state, of_gates, of_inputs, of_kernel, of_bias

    zeros = jnp.zeros((hidden, size), cell_dtype)
    of_gates = jnp.zeros((4 * hidden, chunk * size), dtype)
    _, _, *gradients = jax.lax.fori_loop(0, chunks, backward_chunk, ((zeros, zeros), of_gates, *gradients))
    return tuple(gradients)


def _chunk(size: int) -> int:
    """Steps whose gradient of the weights is one product."""
    return max(WEIGHT_GRADIENT_COLUMNS // size, 1)
