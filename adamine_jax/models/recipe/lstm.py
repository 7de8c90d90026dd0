"""LSTM layers that return their final states."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.models import layers
from adamine_jax.models.recipe.recurrence import lstm_final_state


class LSTM(nn.Module):
    """One direction of an LSTM layer; see `lstm_final_state`.

    All parameters are initialised with U(±1/√hidden). PyTorch's LSTM adds two biases; this one has a single bias,
    initialised with the sum of two draws.

    Attributes:
        hidden: H.
        reverse: Whether to read the sequences backwards.
        remat: Whether to recompute activations in the backward pass instead of keeping them.
        forget_bias: See `layers.lstm_bias`.
        param_dtype: Dtype of `input_kernel` (D, 4H), `recurrent_kernel` (H, 4H) and `bias` (4H,).
    """

    hidden: int
    reverse: bool = False
    remat: bool = False
    forget_bias: float = 0.0
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        """Maps (B, T, D) and lengths (B,) to the final hidden state (B, hidden)."""
        bound = 1 / math.sqrt(self.hidden)
        kernel_init, bias_init = layers.uniform(bound), layers.lstm_bias(bound, self.forget_bias)
        gates = 4 * self.hidden
        return lstm_final_state(
            inputs,
            lengths,
            self.param("input_kernel", kernel_init, (inputs.shape[-1], gates), self.param_dtype),
            self.param("recurrent_kernel", kernel_init, (self.hidden, gates), self.param_dtype),
            self.param("bias", bias_init, (gates,), self.param_dtype),
            reverse=self.reverse,
            remat=self.remat,
        )


class BidirectionalLSTM(nn.Module):
    """Concatenates the final states of a forward and a backward LSTM.

    Attributes:
        hidden: H of each direction.
        remat, forget_bias, param_dtype: As in `LSTM`.
    """

    hidden: int
    remat: bool = False
    forget_bias: float = 0.0
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        """Maps (B, T, D) and lengths (B,) to (B, 2·hidden)."""
        options = {"remat": self.remat, "forget_bias": self.forget_bias, "param_dtype": self.param_dtype}
        forward = LSTM(self.hidden, **options, name="forward")
        backward = LSTM(self.hidden, reverse=True, **options, name="backward")
        return jnp.concatenate([forward(inputs, lengths), backward(inputs, lengths)], axis=-1)
