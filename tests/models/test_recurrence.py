"""The grouped LSTM loops and their hand-written gradient match a plain scan differentiated by JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.models.recipe import groups, recurrence

ROWS, STEPS, WIDTH, HIDDEN = 150, 7, 3, 4
"""The rows form five groups; the last one is incomplete."""


def plain_final_state(inputs, lengths, input_kernel, recurrent_kernel, bias, reverse):
    """Runs all steps of all rows and masks the padding."""

    def step(state, x):
        h, c = state
        x, t = x
        i, f, g, o = jnp.split(x @ input_kernel + h @ recurrent_kernel + bias, 4, axis=-1)
        new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
        real = (t < lengths)[:, None]
        return (jnp.where(real, new_h, h), jnp.where(real, new_c, c)), None

    zeros = jnp.zeros((len(inputs), len(recurrent_kernel)))
    (h, _), _ = jax.lax.scan(
        step, (zeros, zeros), (inputs.swapaxes(0, 1), jnp.arange(inputs.shape[1])), reverse=reverse
    )
    return h


def case(seed, longest=STEPS):
    rng = np.random.default_rng(seed)
    shapes = [(ROWS, STEPS, WIDTH), (WIDTH, 4 * HIDDEN), (HIDDEN, 4 * HIDDEN), (4 * HIDDEN,)]
    inputs, *kernels = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return inputs, kernels, rng.integers(0, longest + 1, ROWS), rng.standard_normal((ROWS, HIDDEN)).astype(np.float32)


def compiled(function):
    """Returns a jitted (states, gradients of Σ states · weights with respect to inputs and kernels)."""

    def run(inputs, kernels, lengths, weights):
        states, pull = jax.vjp(lambda inputs, kernels: function(inputs, lengths, *kernels), inputs, kernels)
        return states, pull(weights)

    return jax.jit(run)


OURS = {
    (reverse, remat): compiled(functools.partial(recurrence.lstm_final_state, reverse=reverse, remat=remat))
    for reverse in (False, True)
    for remat in (False, True)
}
PLAIN = {reverse: compiled(functools.partial(plain_final_state, reverse=reverse)) for reverse in (False, True)}


def assert_same(ours, plain):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(np.abs(b).max())))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), longest=st.integers(0, STEPS), reverse=st.booleans(), remat=st.booleans())
def test_states_and_gradients_match_a_plain_scan(seed, longest, reverse, remat):
    inputs, kernels, lengths, weights = case(seed, longest)
    arguments = (inputs, kernels, lengths, weights)
    assert_same(OURS[reverse, remat](*arguments), PLAIN[reverse](*arguments))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("longest", [1, 2, STEPS])
def test_activations_that_do_not_fit_are_recomputed(monkeypatch, longest, reverse):
    """There is room for a quarter of the steps: short batches fit, long ones do not."""
    monkeypatch.setattr(recurrence, "KEPT_BYTES", 0)
    # 15 groups of 7 steps: a quarter of 105 is 26, rounded up to 28 by chunks of 4.
    monkeypatch.setattr(groups, "CPU", groups.Tiling(group=10, max_groups=None, columns=40))
    arguments = case(0, longest)
    steps = sum(np.sort(arguments[2])[::-1][::10])
    assert (steps <= 28) == (longest < STEPS)
    ours = compiled(functools.partial(recurrence.lstm_final_state, reverse=reverse))
    assert_same(ours(*arguments), PLAIN[reverse](*arguments))


def test_the_groups_of_accelerators_give_the_same(monkeypatch):
    """A few large groups, and products of several steps for the gradient of the kernels."""
    monkeypatch.setattr(groups, "CPU", groups.Tiling(group=20, max_groups=2, columns=200))
    arguments = case(2)
    assert_same(compiled(recurrence.lstm_final_state)(*arguments), PLAIN[False](*arguments))


def test_the_groups_are_those_of_the_platform_for_which_the_program_is_lowered():
    inputs, kernels, lengths, _ = case(0)
    traced = jax.jit(recurrence.lstm_final_state).trace(np.repeat(inputs, 4, axis=0), np.repeat(lengths, 4), *kernels)
    texts = {name: traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "cuda", "tpu")}
    assert {name: f"tensor<{HIDDEN}x32xf32>" in text for name, text in texts.items()} == {
        "cpu": True, "cuda": False, "tpu": False
    }  # fmt: skip
    assert all(f"tensor<{HIDDEN}x256xf32>" in texts[name] for name in ("cuda", "tpu"))


def test_a_group_stops_at_its_longest_sequence(monkeypatch):
    """A group runs 2 steps if its longest row has 2 of 7, and none if all its rows are empty."""
    runs = []

    def counted(gates):
        jax.debug.callback(lambda: runs.append(1))
        return jax.lax.tanh(gates)

    monkeypatch.setattr(recurrence.jnp, "tanh", counted)
    inputs, kernels, _, _ = case(0)
    lengths = np.zeros(ROWS, int)
    lengths[[3, 80]] = 1, 2
    jax.block_until_ready(recurrence.lstm_final_state(inputs, lengths, *kernels))
    jax.effects_barrier()
    assert len(runs) == 2 * 2  # tanh(g) and tanh(c) in each step


def test_bfloat16_inputs_give_an_accurate_float32_state_and_gradients():
    inputs, kernels, lengths, weights = case(1)
    exact = OURS[False, False](inputs, kernels, lengths, weights)
    rounded = OURS[False, False](jnp.asarray(inputs, jnp.bfloat16), kernels, lengths, weights)
    assert rounded[0].dtype == jnp.float32
    np.testing.assert_allclose(rounded[0], exact[0], atol=0.02)
    for a, b in zip(jax.tree.leaves(rounded), jax.tree.leaves(exact), strict=True):
        assert np.linalg.norm(np.asarray(a, np.float32) - b) < 0.03 * np.linalg.norm(b)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_gradient_of_the_inputs_is_skipped_if_unused(reverse):
    inputs, kernels, lengths, weights = case(2)

    def loss(kernels, inputs=inputs):
        return jnp.sum(weights * recurrence.lstm_final_state(inputs, lengths, *kernels, reverse=reverse))

    def scatters(gradient):
        return str(jax.make_jaxpr(gradient)(kernels, inputs)).count("= scatter[")

    _, (_, kernel_gradients) = OURS[reverse, False](inputs, kernels, lengths, weights)
    assert_same(jax.jit(jax.grad(loss))(kernels), kernel_gradients)
    forms = 2  # that of CPUs and that of accelerators
    assert scatters(jax.grad(loss)) == scatters(jax.grad(loss, argnums=(0, 1))) - forms
