"""The fully connected layer, and PyTorch's initialisers as Flax initialisers."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.initializers import Initializer
from jax.typing import DTypeLike


def uniform(bound: float) -> Initializer:
    """Returns an initialiser that draws from U(−bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def lstm_bias(bound: float, forget_bias: float) -> Initializer:
    """Returns an initialiser that draws U(−bound, bound) twice and adds: PyTorch's LSTM has two biases.

    `forget_bias` is added to the second quarter, the forget gates. A larger value gives the LSTM a longer memory at
    the start (Jozefowicz et al., *An Empirical Exploration of Recurrent Network Architectures*, 2015).
    """

    def init(key: jax.Array, shape: tuple[int], dtype) -> jax.Array:
        hidden = shape[0] // 4
        bias = jax.random.uniform(key, (2, *shape), dtype, -bound, bound).sum(axis=0)
        return bias.at[hidden : 2 * hidden].add(forget_bias)

    return init


def word_table(key: jax.Array, shape: tuple[int, int], dtype) -> jax.Array:
    """Draws normal rows of expected norm 1, like word vectors. Row 0, the padding, is zero."""
    rows = jax.random.normal(key, shape, dtype) / shape[1] ** 0.5
    return rows.at[0].set(0)


def dropout(x: jax.Array, rate: float, keys: jax.Array) -> jax.Array:
    """Sets a share of the values (B, F) to zero and scales the others by 1 / (1 − rate).

    The (B,) PRNG keys of the rows decide which, so that the result does not depend on the number of devices.
    """
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0)


class Linear(nn.Module):
    """Computes x · kernel + bias in the precision of the parameters, both initialised with U(±1/√fan_in).

    It is the last layer of each tower. It is small and determines the similarities, so it stays in float32 whatever
    the dtype of the tower.

    Attributes:
        features: Length of the output.
        param_dtype: Dtype of `kernel` (D, features), `bias` (features,) and the output.
    """

    features: int
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, D) of any floating dtype to (B, features) of `param_dtype`."""
        init = uniform(1 / math.sqrt(x.shape[-1]))
        kernel = self.param("kernel", init, (x.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", init, (self.features,), self.param_dtype)
        return x.astype(self.param_dtype) @ kernel + bias
