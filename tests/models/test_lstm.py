"""Final states of LSTMs against a NumPy loop without padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.models.recipe.lstm import LSTM, BidirectionalLSTM, lstm_final_state

WIDTH, HIDDEN, STEPS = 3, 4, 6


def random_kernels(rng, width=WIDTH, hidden=HIDDEN):
    shapes = {"input_kernel": (width, 4 * hidden), "recurrent_kernel": (hidden, 4 * hidden), "bias": (4 * hidden,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def naive_final_state(sequence, kernels, reverse):
    """One sequence (T, D) without padding, in float64."""
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


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, STEPS), min_size=4, max_size=4),
    reverse=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_final_states_are_those_of_a_naive_loop_whatever_the_padding(lengths, reverse, seed):
    rng = np.random.default_rng(seed)
    kernels = random_kernels(rng)
    inputs = rng.standard_normal((4, STEPS, WIDTH)).astype(np.float32)
    states = final_state(inputs, np.array(lengths), **kernels, reverse=reverse)
    for sequence, length, state in zip(inputs, lengths, states, strict=True):
        np.testing.assert_allclose(state, naive_final_state(sequence[:length], kernels, reverse), atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_and_neighbours_make_no_difference_at_all(reverse):
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
def test_gradients_are_zero_not_nan_where_nothing_is_real(reverse):
    kernels = random_kernels(np.random.default_rng(0))
    inputs = np.ones((2, STEPS, WIDTH), np.float32)

    def loss(kernels, inputs, lengths):
        return jnp.sum(final_state(inputs, lengths, **kernels, reverse=reverse) + 1)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    gradients = gradient(kernels, inputs, jnp.zeros(2, int))
    jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0), gradients)
    _, of_inputs = gradient(kernels, inputs, jnp.array([2, 0]))
    assert np.all(of_inputs[0, :2] != 0)
    np.testing.assert_array_equal(of_inputs[0, 2:], 0)
    np.testing.assert_array_equal(of_inputs[1], 0)


def test_both_directions_forward_first():
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((2, STEPS, WIDTH)).astype(np.float32)
    lengths = np.array([4, STEPS])
    params = {"forward": random_kernels(rng), "backward": random_kernels(rng)}
    states = BidirectionalLSTM(HIDDEN).apply({"params": params}, inputs, lengths)
    for sequence, length, state in zip(inputs, lengths, states, strict=True):
        for name, part in zip(("forward", "backward"), np.split(state, 2), strict=True):
            wanted = naive_final_state(sequence[:length], params[name], reverse=name == "backward")
            np.testing.assert_allclose(part, wanted, atol=1e-5)


def test_bfloat16_inputs_are_close_and_the_state_is_float32():
    rng = np.random.default_rng(2)
    kernels = {name: 0.3 * array for name, array in random_kernels(rng, 16, 16).items()}
    inputs = jnp.asarray(rng.standard_normal((8, 10, 16)), jnp.float32)
    lengths = np.arange(8)
    exact = final_state(inputs, lengths, **kernels)
    rounded = final_state(inputs.astype(jnp.bfloat16), lengths, **kernels)
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, exact, atol=0.02)


def test_initial_values_are_pytorchs():
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
        draws = 2 if name == "bias" else 1  # PyTorch's two biases, added
        assert np.abs(array).max() <= draws * bound
        assert array.std() == pytest.approx(bound * np.sqrt(draws / 3), rel=0.1)
