"""Initial values: what they depend on, and their distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from adamine_jax.models import initial


class Declaring(nn.Module):
    start: initial.Initializer
    names: tuple[str, ...] = ("a", "b")

    @nn.compact
    def __call__(self, dtype):
        return [self.param(name, self.start, (100, 200), dtype) for name in self.names]


def draw(init, seed=0, names=("a", "b"), dtype=jnp.float32):
    return initial.initial_variables(Declaring(init, names), jax.random.key(seed), dtype=dtype)["params"]


def test_values_depend_on_key_and_path_alone():
    values, again, other = (draw(initial.normal(1), seed) for seed in (0, 0, 1))
    alone = draw(initial.normal(1), names=("b",))
    np.testing.assert_array_equal(values["a"], again["a"])
    np.testing.assert_array_equal(values["b"], alone["b"])
    assert np.mean(values["a"] == values["b"]) < 0.01
    assert np.mean(values["a"] == other["a"]) < 0.01


def test_shapes_can_be_asked_for_without_drawing():
    values = draw(initial.normal(1))
    shapes = jax.eval_shape(lambda: draw(initial.normal(1)))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), values
    )


@pytest.mark.parametrize(
    ("init", "std", "largest"),
    [
        (initial.normal(0.5), 0.5, np.inf),
        (initial.uniform(0.3), 0.3 / np.sqrt(3), 0.3),
        (initial.sum_of_two_uniforms(0.3), 0.3 * np.sqrt(2 / 3), 0.6),
        (initial.constant(2), 0, 2),
    ],
)
def test_distributions(init, std, largest):
    values = np.asarray(draw(init)["a"])
    assert values.dtype == np.float32
    assert values.std() == pytest.approx(std, rel=0.02)
    assert np.abs(values).max() <= largest
    assert abs(values.mean() - (largest == 2) * 2) < 0.01


def test_word_tables():
    table = np.asarray(draw(initial.declare(initial.word_table))["a"])
    np.testing.assert_array_equal(table[0], 0)
    np.testing.assert_allclose(np.linalg.norm(table[1:], axis=1), 1, atol=0.25)


def test_float64():
    with jax.enable_x64(True):
        assert draw(initial.normal(1), dtype=jnp.float64)["a"].dtype == jnp.float64
