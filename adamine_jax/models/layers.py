"""The fully connected layer, and PyTorch's initial values as Flax initialisers: functions of (key, shape, dtype)."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.initializers import Initializer
from jax.typing import DTypeLike


def uniform(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def lstm_bias(bound: float, forget_bias: float) -> Initializer:
    """U(−bound, bound) + U(−bound, bound): PyTorch's LSTMs have two biases that are only ever added.

    `forget_bias` is added to the forget gates', the second quarter: with more of it an LSTM begins with a longer
    memory (Jozefowicz et al., *An Empirical Exploration of Recurrent Network Architectures*, 2015).
    """

    def init(key: jax.Array, shape: tuple[int], dtype) -> jax.Array:
        hidden = shape[0] // 4
        bias = jax.random.uniform(key, (2, *shape), dtype, -bound, bound).sum(axis=0)
        return bias.at[hidden : 2 * hidden].add(forget_bias)

    return init


def word_table(key: jax.Array, shape: tuple[int, int], dtype) -> jax.Array:
    """Normal rows of expected norm one, like the word vectors that replace most of them; row 0, padding, is zero."""
    rows = jax.random.normal(key, shape, dtype) / shape[1] ** 0.5
    return rows.at[0].set(0)


class Linear(nn.Module):
    """x · kernel + bias, both from U(±1/√fan_in), computed in the parameters' precision.

    The layers it is used for (one at the end of each tower, the classifier) are small and decide similarities, so
    they stay in float32 whatever the towers compute in.

    Attributes:
        features: length of the output.
        param_dtype: of `kernel` (D, features) and `bias` (features,), and of the result.
    """

    features: int
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, D), any floating dtype, to (B, features) of `param_dtype`."""
        init = uniform(1 / math.sqrt(x.shape[-1]))
        kernel = self.param("kernel", init, (x.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", init, (self.features,), self.param_dtype)
        return x.astype(self.param_dtype) @ kernel + bias
