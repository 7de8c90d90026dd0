"""Distributions of the initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.models import layers


@pytest.mark.parametrize(
    ("init", "std", "largest"),
    [
        (layers.uniform(0.3), 0.3 / np.sqrt(3), 0.3),
        (layers.lstm_bias(0.3, 0.0), 0.3 * np.sqrt(2 / 3), 0.6),
    ],
)
def test_uniform_values_have_the_standard_deviation_of_pytorch(init, std, largest):
    values = np.asarray(init(jax.random.key(0), (300, 200), jnp.float32))
    assert values.std() == pytest.approx(std, rel=0.02)
    assert 0.95 * largest < np.abs(values).max() <= largest
    assert abs(values.mean()) < 0.01


def test_word_table_rows_have_unit_norm_except_the_zero_padding_row():
    table = np.asarray(layers.word_table(jax.random.key(0), (100, 200), jnp.float32))
    np.testing.assert_array_equal(table[0], 0)
    np.testing.assert_allclose(np.linalg.norm(table[1:], axis=1), 1, atol=0.25)


def test_the_forget_bias_is_added_to_the_second_quarter():
    values, plain = (layers.lstm_bias(0.1, forget)(jax.random.key(0), (40,), jnp.float32) for forget in (3.0, 0.0))
    np.testing.assert_allclose(values - plain, np.repeat([0.0, 3.0, 0.0, 0.0], 10), atol=1e-6)
