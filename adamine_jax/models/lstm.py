"""Final states of LSTMs over padded sequences."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.models import initial


def lstm_final_state(
    inputs: jax.Array,
    lengths: jax.Array,
    input_kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array,
    *,
    reverse: bool = False,
) -> jax.Array:
    """Hidden state of an LSTM after the last real step of each sequence (Hochreiter & Schmidhuber, 1997).

    The equations are PyTorch's, without peepholes, gates in the order i, f, g, o:

        i, f, o = σ(x·W + h·U + b),  g = tanh(x·W + h·U + b),  c ← f ∘ c + i ∘ g,  h ← o ∘ tanh(c)

    All input projections are one large product before the loop, which then carries only the recurrent one. Cell
    arithmetic is in the bias's precision (float32), products in that of `inputs`.

    Args:
        inputs: (B, T, D), real steps first, padding (anything finite) behind them.
        lengths: (B,) integers, 0..T: the number of real steps. 0 gives the zero state.
        input_kernel: (D, 4H).
        recurrent_kernel: (H, 4H).
        bias: (4H,).
        reverse: reads each sequence from its last real step to its first.

    Returns:
        (B, H) in the bias's dtype.
    """
    batch, steps, _ = inputs.shape
    hidden = recurrent_kernel.shape[0]
    dtype, cell_dtype = inputs.dtype, bias.dtype
    projected = jnp.swapaxes(inputs, 0, 1) @ input_kernel.astype(dtype) + bias.astype(dtype)
    recurrent_kernel = recurrent_kernel.astype(dtype)
    is_real = jnp.arange(steps)[:, None] < lengths

    def step(state, inputs_of_step):
        c, h = state
        projected, is_real = inputs_of_step
        gates = projected.astype(cell_dtype) + jnp.dot(
            h.astype(dtype), recurrent_kernel, preferred_element_type=cell_dtype
        )
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
        keep = is_real[:, None]
        return (jnp.where(keep, new_c, c), jnp.where(keep, new_h, h)), None

    # Read backwards, padding comes first and leaves the zero state alone: the last real step is the first to count.
    zeros = jnp.zeros((batch, hidden), cell_dtype)
    (_, h), _ = jax.lax.scan(step, (zeros, zeros), (projected, is_real), reverse=reverse)
    return h


class LSTM(nn.Module):
    """One direction of an LSTM layer: see `lstm_final_state`.

    Every parameter starts from U(±1/√hidden). There is one bias: PyTorch's two only ever act as their sum, and that
    sum is how the bias starts here, two draws added.

    Attributes:
        hidden: H.
        reverse: reads backwards.
        param_dtype: of `input_kernel` (D, 4H), `recurrent_kernel` (H, 4H), `bias` (4H,).
    """

    hidden: int
    reverse: bool = False
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        """Maps (B, T, D) and lengths (B,) to the final hidden state (B, hidden)."""
        bound = 1 / math.sqrt(self.hidden)
        kernel_init, bias_init = initial.uniform(bound), initial.sum_of_two_uniforms(bound)
        gates = 4 * self.hidden
        return lstm_final_state(
            inputs,
            lengths,
            self.param("input_kernel", kernel_init, (inputs.shape[-1], gates), self.param_dtype),
            self.param("recurrent_kernel", kernel_init, (self.hidden, gates), self.param_dtype),
            self.param("bias", bias_init, (gates,), self.param_dtype),
            reverse=self.reverse,
        )


class BidirectionalLSTM(nn.Module):
    """Final states of a forward and a backward LSTM, in that order.

    Attributes:
        hidden: H of each direction.
        param_dtype: of the parameters.
    """

    hidden: int
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        """Maps (B, T, D) and lengths (B,) to (B, 2·hidden)."""
        forward = LSTM(self.hidden, param_dtype=self.param_dtype, name="forward")
        backward = LSTM(self.hidden, reverse=True, param_dtype=self.param_dtype, name="backward")
        return jnp.concatenate([forward(inputs, lengths), backward(inputs, lengths)], axis=-1)
