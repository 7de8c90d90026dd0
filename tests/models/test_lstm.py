"""LSTM layers: final states, padding, precision and initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.models.recipe.lstm import LSTM, BidirectionalLSTM, lstm_final_state

WIDTH, HIDDEN, STEPS = 3, 4, 6


def random_kernels(rng, width=WIDTH, hidden=HIDDEN):
    shapes = {"input_kernel": (width, 4 * hidden), "recurrent_kernel": (hidden, 4 * hidden), "bias": (4 * hidden,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def naive_final_state(sequence, kernels, reverse):
    """Returns the final state of one sequence (T, D) without padding, in float64."""
    hidden = kernels["recurrent_kernel"].shape[0]
    h, c = np.zeros(hidden), np.zeros(hidden)
    for x in sequence[::-1] if reverse else sequence:
        gates = x @ kernels["input_kernel"] + h @ kernels["recurrent_kernel"] + kernels["bias"]
        i, f, g, o = gates.reshape(4, hidden)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


final_state = jax.jit(lstm_final_state, static_argnames="reverse")


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_and_other_rows_do_not_affect_a_row(reverse):
    rng = np.random.default_rng(0)
    kernels = random_kernels(rng)
    inputs = rng.standard_normal((4, STEPS, WIDTH)).astype(np.float32)
    lengths = np.array([3, 0, STEPS, 2])
    states = final_state(inputs, lengths, **kernels, reverse=reverse)
    others = inputs.copy()
    others[0, 3:] = 1e6
    others[1:] = rng.standard_normal((3, STEPS, WIDTH))
    again = final_state(others, np.array([3, 5, 1, 0]), **kernels, reverse=reverse)
    np.testing.assert_array_equal(states[0], again[0])
    np.testing.assert_array_equal(states[1], 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_has_a_zero_gradient(reverse):
    kernels = random_kernels(np.random.default_rng(0))
    inputs = np.ones((2, STEPS, WIDTH), np.float32)

    def loss(kernels, inputs, lengths):
        return jnp.sum(final_state(inputs, lengths, **kernels, reverse=reverse) + 1)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    gradients = gradient(kernels, inputs, jnp.zeros(2, int))
    jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0), gradients)
    _, input_gradient = gradient(kernels, inputs, jnp.array([2, 0]))
    assert np.all(input_gradient[0, :2] != 0)
    np.testing.assert_array_equal(input_gradient[0, 2:], 0)
    np.testing.assert_array_equal(input_gradient[1], 0)


def test_both_directions_match_a_naive_loop():
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((2, STEPS, WIDTH)).astype(np.float32)
    lengths = np.array([4, STEPS])
    params = {"forward": random_kernels(rng), "backward": random_kernels(rng)}
    states = jax.jit(BidirectionalLSTM(HIDDEN).apply)({"params": params}, inputs, lengths)
    for sequence, length, state in zip(inputs, lengths, states, strict=True):
        for name, part in zip(("forward", "backward"), np.split(state, 2), strict=True):
            expected = naive_final_state(sequence[:length], params[name], reverse=name == "backward")
            np.testing.assert_allclose(part, expected, atol=1e-5)


def test_initial_values_are_distributed_as_in_pytorch():
    hidden = 100
    params = jax.jit(LSTM(hidden).init)(jax.random.key(0), jnp.zeros((1, 2, 60)), jnp.array([2]))["params"]
    bound = 1 / np.sqrt(hidden)
    assert {name: array.shape for name, array in params.items()} == {
        "input_kernel": (60, 400),
        "recurrent_kernel": (100, 400),
        "bias": (400,),
    }
    for name, array in params.items():
        array = np.asarray(array)
        draws = 2 if name == "bias" else 1  # the sum of PyTorch's two biases
        assert np.abs(array).max() <= draws * bound
        assert array.std() == pytest.approx(bound * np.sqrt(draws / 3), rel=0.1)
