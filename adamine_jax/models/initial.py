"""PyTorch's initial values, as Flax initialisers: functions of (key, shape, dtype)."""

import jax
from flax.linen.initializers import Initializer


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
