"""The training step against Adam and clipping in NumPy, and what it must not change."""

import jax
import numpy as np
import pytest

from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.losses import registry, total_loss
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.training.optimizer import learning_rate, merge_groups, split_groups
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from tests import tiny

ROWS = len(tiny.WORDS) + 3


@pytest.fixture(scope="module")
def run():
    config = tiny.small_config("unused", optim__clip_norm=0.05, optim__lr=1e-2)
    mesh = make_mesh(jax.devices()[:1])
    model = build_model(config.model, table_rows=ROWS)
    variables = init_variables(model, jax.random.key(0), config.model, image_size=32)
    step = make_train_step(model, registry.build(config.loss), config, mesh, 10)
    return config, mesh, model, variables, step


def batch(seed, image_value=None):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    if image_value is not None:
        image[3, 4] = image_value
    return {
        "image": image,
        "ingredients": np.pad(rng.integers(2, ROWS, (8, 5)), ((0, 0), (0, 15))).astype(np.int32),
        "words": np.pad(rng.integers(2, ROWS, (8, 3, 6)), ((0, 0), (0, 17), (0, 0))).astype(np.int32),
        "num_sentences": np.full(8, 3, np.int32),
        "class_id": np.array([1, 1, 2, 2, 0, 0, 0, 0], np.int32),
        "image_class_id": np.array([1, 1, 2, 2, 0, 0, 0, 0], np.int32),
        "match": np.ones(8, np.int32),
    }


def copy(state):
    """Copies a state before it is donated."""
    return jax.tree.map(np.array, jax.device_get(state))


def loss_gradients(config, model):
    """Returns a function of parameters, batch statistics and a batch that computes the gradients of the loss."""

    def loss(params, batch_stats, step_batch):
        (image, recipe), _ = model.apply(
            {"params": params, "batch_stats": batch_stats}, step_batch, train=True, mutable=["batch_stats"]
        )
        return total_loss(config.loss, image, recipe, step_batch["class_id"], np.ones(8))[0]

    return jax.jit(jax.grad(loss))


def two_biases(group):
    """Returns 2 for each leaf that is the sum of two LSTM biases in PyTorch, 1 for other leaves."""
    paths = [[entry.key for entry in path] for path, _ in jax.tree.leaves_with_path(group)]
    is_lstm = [any("lstm" in name for name in path) and path[-1] == "bias" for path in paths]
    return [1 + lstm for lstm in is_lstm]


def adam(params, gradients, moments, count, lr, copies):
    """One Adam update of flat lists of arrays by Kingma and Ba's equations, which applies to each of the two biases."""
    new_params, new_moments = [], []
    for p, g, (m, v), n in zip(params, gradients, moments, copies, strict=True):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = lr * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)
        new_params.append(p - n * step)
        new_moments.append((m, v))
    return new_params, new_moments


def clip(groups, copies, norm):
    leaves = [
        (leaf, n) for group, counts in zip(groups, copies, strict=True) for leaf, n in zip(group, counts, strict=True)
    ]
    total = np.sqrt(sum(n * np.sum(np.square(leaf, dtype=np.float64)) for leaf, n in leaves))
    assert total > norm  # otherwise nothing is clipped
    return [[leaf * norm / total for leaf in group] for group in groups]


def test_frozen_and_unfrozen_steps_equal_adam_in_numpy(run):
    config, mesh, model, variables, train_step = run
    state = create_state(model, registry.build(config.loss), variables, mesh)
    expected = {name: jax.tree.leaves(copy(group)) for name, group in split_groups(variables["params"], model).items()}
    moments = {name: [(0 * leaf, 0 * leaf) for leaf in group] for name, group in expected.items()}
    counts = {"new": 0, "backbone": 0}
    gradients_of = loss_gradients(config, model)
    for number, frozen in enumerate([True, True, False, False]):
        trained = ["new"] if frozen else ["backbone", "new"]
        before = copy(state)
        groups = split_groups(jax.device_get(gradients_of(before.params, before.batch_stats, batch(number))), model)
        copies = [two_biases(groups[name]) for name in trained]
        clipped = clip([jax.tree.leaves(groups[name]) for name in trained], copies, config.optim.clip_norm)
        for name, gradients, of_each in zip(trained, clipped, copies, strict=True):
            counts[name] += 1
            # Each step starts from the actual state before it, so rounding does not accumulate.
            start = jax.tree.leaves(split_groups(before.params, model)[name])
            expected[name], moments[name] = adam(
                start, gradients, moments[name], counts[name], config.optim.lr, of_each
            )
        state = train_step(state, batch(number), frozen=frozen)
        for name, group in split_groups(copy(state).params, model).items():
            for leaf, should_be in zip(jax.tree.leaves(group), expected[name], strict=True):
                np.testing.assert_allclose(leaf, should_be, atol=2e-4 * 10 * config.optim.lr, err_msg=name)
    assert int(state.step) == 4
    assert counts == {"new": 4, "backbone": 2}


def test_a_frozen_resnet_keeps_its_parameters_but_not_its_statistics(run):
    config, mesh, model, variables, train_step = run
    state = train_step(create_state(model, registry.build(config.loss), variables, mesh), batch(0), frozen=True)
    for new, old in zip(
        jax.tree.leaves(split_groups(state.params, model)["backbone"]),
        jax.tree.leaves(split_groups(variables["params"], model)["backbone"]),
        strict=True,
    ):
        np.testing.assert_array_equal(new, old)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(state.opt_state["backbone"]))
    changed = jax.tree.map(lambda new, old: np.any(new != old), state.batch_stats, variables["batch_stats"])
    assert all(jax.tree.leaves(changed))

    with_frozen = tiny.small_config("unused", freeze_batch_stats=True)
    state = make_train_step(model, registry.build(config.loss), with_frozen, mesh, 10)(
        create_state(model, registry.build(config.loss), variables, mesh), batch(0), frozen=True
    )
    for new, old in zip(jax.tree.leaves(state.batch_stats), jax.tree.leaves(variables["batch_stats"]), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_step_that_is_not_finite_changes_nothing_but_its_counts(run):
    config, mesh, model, variables, train_step = run
    state = train_step(create_state(model, registry.build(config.loss), variables, mesh), batch(0), frozen=False)
    before = copy(state)
    after = copy(train_step(state, batch(1, image_value=np.nan), frozen=False))
    assert (before.step, before.skipped, before.streak) == (1, 0, 0)
    assert (after.step, after.skipped, after.streak) == (2, 1, 1)
    for field in ("params", "batch_stats", "opt_state", "sums"):
        for new, old in zip(
            jax.tree.leaves(getattr(after, field)), jax.tree.leaves(getattr(before, field)), strict=True
        ):
            assert new.tobytes() == old.tobytes()
    recovered = train_step(jax.device_put(after), batch(2), frozen=False)
    assert (int(recovered.skipped), int(recovered.streak)) == (1, 0)
    assert recovered.sums["steps"] == 2


def test_groups_split_and_merge_to_the_same_tree(run):
    _, _, model, variables, _ = run
    groups = split_groups(variables["params"], model)
    assert set(groups) == {"new", "backbone"}
    assert "resnet" not in groups["new"]["image_tower"]
    assert "fc" in groups["new"]["image_tower"]
    merged = merge_groups(groups)
    assert jax.tree.structure(merged) == jax.tree.structure(dict(variables["params"]))


def test_the_learning_rate_is_constant_or_falls_to_zero_at_the_end():
    config = tiny.small_config("unused", epochs=10, optim__lr=0.5)
    assert [learning_rate(config, 7)(step) for step in (0, 69)] == [0.5, 0.5]
    config.optim.decay_epochs = 4
    rates = [float(learning_rate(config, 7)(step)) for step in (0, 42, 56, 63, 70)]
    np.testing.assert_allclose(rates, [0.5, 0.5, 0.25, 0.125, 0], atol=1e-6)
    config.optim.decay_epochs = 40  # longer than the run
    for config.optim.decay in ("linear", "cosine"):
        rates = [float(learning_rate(config, 7)(step)) for step in (0, 35, 70)]
        np.testing.assert_allclose(rates, [0.5, 0.25, 0], atol=1e-6)
