"""Final states of LSTMs over padded sequences, computed without the steps of the padding.

Sequences are sorted by length and split into groups, and each group stops at its longest sequence. The number of steps
depends on the data, so the loops below have dynamic lengths. Shapes stay static. JAX differentiates only loops of fixed
length, so the gradient is written by hand:

    forward     z = x·W + h₋·U + b,   i, f, o = σ(z),   g = tanh(z),   c = f∘c₋ + i∘g,   h = o∘tanh(c)

    backward    ĉ = ∂L/∂c = dc + dh∘o∘(1 − tanh²(c)),   where dh and dc are the gradients from the next step
                δ = ∂L/∂z = ( ĉ∘g∘i(1 − i),   ĉ∘c₋∘f(1 − f),   ĉ∘i∘(1 − g²),   dh∘tanh(c)∘o(1 − o) )
                dh₋ = δ·Uᵀ,   dc₋ = ĉ∘f,   dx = δ·Wᵀ
                dW = Σ xᵀ·δ,   dU = Σ h₋ᵀ·δ,   db = Σ δ,   summed over steps and sequences

h₋ and c₋ are the states before the step. Steps are collected into chunks, so that dW and dU are one product per chunk.

In the loops a state is (H, n), one column per sequence: XLA:CPU computes products with 32 columns twice as fast as
products with 32 rows.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.models.recipe import groups as tilings
from adamine_jax.models.recipe.groups import Groups, Plan

KEPT_BYTES = 2**28
"""Maximum size of the activations kept for the gradient of all steps. Beyond it there is room for a quarter of the
padded steps, about twice what recipes of Recipe1M use of 20 sentences of 48 words. If the steps do not fit, activations
are recomputed group by group."""


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
    """Returns the hidden state of an LSTM after the last real step of each sequence (Hochreiter & Schmidhuber, 1997).

    The equations are PyTorch's, without peepholes, with the gates in the order i, f, g, o; see the module docstring.
    Cell arithmetic uses the precision of `bias` (float32), products that of `inputs`. Rows are independent: on a mesh,
    call this inside `jax.shard_map`, so that each device sorts its own rows.

    Args:
        inputs: (B, T, D), real steps first, then padding (any finite values).
        lengths: (B,) integers in 0..T, the number of real steps. 0 gives the zero state.
        input_kernel: (D, 4H), W.
        recurrent_kernel: (H, 4H), U.
        bias: (4H,), b.
        reverse: Whether to read each sequence from its last real step to its first.
        remat: Whether to keep the activations of only one group and recompute the others: less memory, a third more
            time.

    Returns:
        (B, H) in the bias's dtype.
    """
    inputs, lengths, bias = jnp.asarray(inputs), jnp.asarray(lengths), jnp.asarray(bias)
    kernels = _Kernels(*(jnp.asarray(kernel).astype(inputs.dtype) for kernel in (input_kernel, recurrent_kernel)))

    def planned(plan: Plan) -> Callable[..., jax.Array]:
        return lambda *arguments: _final_state(*arguments, reverse, remat, plan)

    cpu, accelerator = (tiling.plan(*inputs.shape[:2]) for tiling in (tilings.CPU, tilings.ACCELERATOR))
    if cpu == accelerator:  # few and short sequences: one program for all platforms, traced in half of the time
        return planned(cpu)(inputs, lengths, kernels, bias)
    return jax.lax.platform_dependent(inputs, lengths, kernels, bias, cpu=planned(cpu), default=planned(accelerator))


class _Kernels(NamedTuple):
    """W (D, 4H) and U (H, 4H)."""

    input: jax.Array
    recurrent: jax.Array

    def transposed(self) -> "_Kernels":
        """Returns Wᵀ and Uᵀ. Call it outside the loops: XLA:CPU would transpose in every step."""
        return _Kernels(self.input.T, self.recurrent.T)


class _Activations(NamedTuple):
    """Activations of K consecutive steps, kept for the gradient.

    Attributes:
        operand: (C, D + H, k·n), x and h₋ of k steps per chunk, the operand of a product of the weight gradient.
        gates: (K, 4H, n), i, f, g, o.
        cell: (K, H, n), c.
    """

    operand: jax.Array
    gates: jax.Array
    cell: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _final_state(inputs, lengths, kernels, bias, reverse, remat, plan):
    groups = Groups.by_length(lengths, plan.size)
    states, _ = _run(groups, inputs, kernels.transposed(), bias, reverse, 0, groups.total, None)
    return groups.ungroup(states, len(inputs))


def _forward(inputs, lengths, kernels, bias, reverse, remat, plan):
    # Whether the inputs need a gradient must be known when the backward pass is traced. The values of residuals are
    # traced, but their structure is static: () if the inputs do, None if they do not (precomputed sentence vectors).
    wanted = () if inputs.perturbed else None
    inputs, lengths, bias = (argument.value for argument in (inputs, lengths, bias))
    kernels = _Kernels(*(kernel.value for kernel in kernels))
    groups, dtype = Groups.by_length(lengths, plan.size), inputs.dtype
    (count, size), chunk = groups.order.shape, plan.chunk
    steps, width, hidden = *inputs.shape[1:], len(bias) // 4
    room = count * steps
    if remat:
        room = steps
    elif room * size * (width + 6 * hidden) * dtype.itemsize > KEPT_BYTES:
        room = max(room // 4, steps)
    room = -(-room // chunk) * chunk
    kept = _Activations(
        jax.lax.empty((room // chunk, width + hidden, chunk * size), dtype),
        jax.lax.empty((room, 4 * hidden, size), dtype),
        jax.lax.empty((room, hidden, size), bias.dtype),
    )
    states, kept = _run(groups, inputs, kernels.transposed(), bias, reverse, 0, groups.total, kept)
    return groups.ungroup(states, len(inputs)), (groups, kept, inputs, kernels, bias, wanted)


def _backward(reverse, remat, plan, residuals, cotangent):
    groups, kept, inputs, kernels, bias, wanted = residuals
    transposed = kernels.transposed()
    cotangent = jnp.swapaxes(cotangent[groups.order], 1, 2)
    input_gradient = None if wanted is None else jnp.zeros_like(inputs)
    zeros = (input_gradient, jnp.zeros((kept.operand.shape[1], len(bias)), bias.dtype), jnp.zeros_like(bias))
    fits = groups.total <= len(kept.cell)

    def piece(group, carry):
        """Backpropagates through all groups if their activations were kept, else through one that is recomputed."""
        kept, gradients = carry
        first = jnp.where(fits, 0, groups.starts[group])
        last = jnp.where(fits, groups.total, first + groups.steps[group])
        stop = jnp.where(fits, first, last)  # recompute nothing if all fit
        _, kept = _run(groups, inputs, transposed, bias, reverse, first, stop, kept)
        return kept, _run_back(groups, kept, kernels, reverse, first, last, cotangent, gradients)

    if len(kept.cell) >= len(groups.steps) * inputs.shape[1]:  # all fit whatever the lengths; compile no recomputation
        gradients = _run_back(groups, kept, kernels, reverse, 0, groups.total, cotangent, zeros)
    else:
        _, gradients = jax.lax.fori_loop(0, jnp.where(fits, 1, len(groups.steps)), piece, (kept, zeros))
    input_gradient, kernel_gradient, bias_gradient = gradients
    kernel_gradients = _Kernels(*jnp.split(kernel_gradient.astype(inputs.dtype), [inputs.shape[2]]))
    return input_gradient, None, kernel_gradients, bias_gradient


_final_state.defvjp(_forward, _backward, symbolic_zeros=True)


def _run(groups, inputs, transposed, bias, reverse, first, last, kept):
    """Runs the steps first..last−1, which are those of one or more whole groups.

    Args:
        groups: The groups of the sequences.
        inputs: (B, T, D).
        transposed: The kernels, (4H, D) and (4H, H).
        bias: (4H,).
        reverse: See `lstm_final_state`.
        first, last: () int32.
        kept: Activations to overwrite from index 0, or None.

    Returns:
        (G, H, n) final states of the groups that were run, and the activations.
    """
    dtype, size, hidden = inputs.dtype, groups.order.shape[1], len(bias) // 4
    chunk = kept.operand.shape[2] // size if kept else 1

    def product(kernel, columns):
        return jnp.dot(kernel, columns, preferred_element_type=bias.dtype)

    def step(k, carry):
        h, c, states, kept = carry
        group, number, position, is_real = groups.at(k, reverse)
        h, c = jnp.where(number == 0, 0, h), jnp.where(number == 0, 0, c)
        x, h_before = inputs[groups.order[group], position].T, h.astype(dtype)
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
    states = jnp.zeros((len(groups.steps), hidden, size), bias.dtype)
    _, _, states, kept = jax.lax.fori_loop(first, last, step, (zeros, zeros, states, kept))
    return states, kept


def _run_back(groups, kept, kernels, reverse, first, last, cotangent, gradients):
    """Adds the gradients of the steps first..last−1.

    Args:
        groups: The groups of the sequences.
        kept: Activations of the steps, from index 0.
        kernels: (D, 4H) and (H, 4H).
        reverse: See `lstm_final_state`.
        first, last: As in `_run`.
        cotangent: (G, H, n), gradient of the final states.
        gradients: Gradients of the inputs (None if not needed), the kernels (D + H, 4H) and the bias.

    Returns:
        The updated gradients.
    """
    dtype, cell_dtype = kept.operand.dtype, kept.cell.dtype
    hidden, size = kept.cell.shape[1:]
    chunk = kept.operand.shape[2] // size
    chunks = -(-(last - first) // chunk)

    def step(k, dh, dc):
        group, number, _, is_real = groups.at(k, reverse)
        is_end = number == groups.steps[group] - 1
        dh, dc = jnp.where(is_end, cotangent[group], dh), jnp.where(is_end, 0, dc)
        i, f, g, o = jnp.split(kept.gates[k - first].astype(cell_dtype), 4)
        tanh_c = jnp.tanh(kept.cell[k - first])
        c_before = jnp.where(number == 0, 0, kept.cell[jnp.maximum(k - first - 1, 0)])
        c_gradient = dc + dh * o * (1 - tanh_c**2)
        gate_gradient = [
            c_gradient * g * i * (1 - i),
            c_gradient * c_before * f * (1 - f),
            c_gradient * i * (1 - g**2),
            dh * tanh_c * o * (1 - o),
        ]
        gate_gradient = jnp.where(is_real, jnp.concatenate(gate_gradient), 0).astype(dtype)
        dh_before = jnp.dot(kernels.recurrent, gate_gradient, preferred_element_type=cell_dtype)
        return dh_before + jnp.where(is_real, 0, dh), jnp.where(is_real, c_gradient * f, dc), gate_gradient

    def backward_chunk(number, carry):
        state, gate_gradient, input_gradient, kernel_gradient, bias_gradient = carry
        offset = (chunks - 1 - number) * chunk
        count = jnp.minimum(chunk, last - first - offset)

        def backward_step(number, carry):
            state, gate_gradient = carry
            place = count - 1 - number
            *state, new = step(first + offset + place, *state)
            return tuple(state), jax.lax.dynamic_update_slice_in_dim(gate_gradient, new, place * size, 1)

        state, gate_gradient = jax.lax.fori_loop(0, count, backward_step, (state, gate_gradient))
        # The last chunk may be incomplete. Mask the steps beyond it: `kept` is uninitialised there.
        is_step = jnp.arange(chunk * size) < count * size
        operand, gate_gradient = (
            jnp.where(is_step, kept.operand[offset // chunk], 0),
            jnp.where(is_step, gate_gradient, 0),
        )
        kernel_gradient += jnp.einsum("ck,gk->cg", operand, gate_gradient, preferred_element_type=cell_dtype)
        bias_gradient += jnp.sum(gate_gradient.astype(cell_dtype), axis=1)

        if input_gradient is not None:
            group, _, position, is_real = groups.at(first + offset + jnp.arange(chunk), reverse)
            row = jnp.where(is_real & is_step.reshape(chunk, size), groups.order[group], len(input_gradient))
            dx = jnp.einsum("gk,dg->kd", gate_gradient, kernels.input, preferred_element_type=cell_dtype).astype(dtype)
            input_gradient = input_gradient.at[row, position[:, None]].set(dx.reshape(*row.shape, -1), mode="drop")
        return state, gate_gradient, input_gradient, kernel_gradient, bias_gradient

    zeros = jnp.zeros((hidden, size), cell_dtype)
    gate_gradient = jnp.zeros((4 * hidden, chunk * size), dtype)
    _, _, *gradients = jax.lax.fori_loop(0, chunks, backward_chunk, ((zeros, zeros), gate_gradient, *gradients))
    return tuple(gradients)
