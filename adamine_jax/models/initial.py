"""PyTorch's initial values, as Flax initialisers: functions of (key, shape, dtype)."""

import jax
from flax.linen.initializers import Initializer


def uniform(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def sum_of_two_uniforms(bound: float) -> Initializer:
    """U(−bound, bound) + U(−bound, bound): PyTorch's LSTMs have two biases that are only ever added."""
    return lambda key, shape, dtype: jax.random.uniform(key, (2, *shape), dtype, -bound, bound).sum(axis=0)


def word_table(key: jax.Array, shape: tuple[int, int], dtype) -> jax.Array:
    """Normal rows of expected norm one, like the word vectors that replace most of them; row 0, padding, is zero."""
    rows = jax.random.normal(key, shape, dtype) / shape[1] ** 0.5
    return rows.at[0].set(0)
