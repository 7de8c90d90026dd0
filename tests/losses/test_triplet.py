"""Triplet losses, in one block and in several, match naive loops; edge cases."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.losses import adamine_loss, metric_names, total_loss
from adamine_jax.losses.distances import normalize
from tests.losses import loss_config, naive

STRATEGIES = ("IRR", "RII", "IRI", "RIR", "SIRR", "SRII", "SIII", "SRRR")

OPTIONS = {
    "adaptive mining": {},
    "mean": {"aggregation": "mean"},
    "hardest": {"num_negatives": 1, "aggregation": "mean"},
    "three hardest": {"num_negatives": 3},
    "more than available": {"num_negatives": 50, "aggregation": "mean"},
    "semi-hard": {"sampling": "semi_hard"},
    "two semi-hard": {"sampling": "semi_hard", "num_negatives": 2},
    "all negatives": {"semantic_negatives": "all"},
    "all positives": {"semantic_positives": "all"},
    "all of both, three hardest": {"semantic_positives": "all", "semantic_negatives": "all", "num_negatives": 3},
}
IN_BLOCKS = ("adaptive mining", "three hardest", "two semi-hard", "all of both, three hardest")
CASES = [
    pytest.param(name, block, marks=() if not block or name in IN_BLOCKS else pytest.mark.slow)
    for name in OPTIONS
    for block in (0, 4)
]


def config_of(strategies=STRATEGIES, **fields):
    return loss_config(**{"strategies": strategies, "weights": (0.5,) * len(strategies)} | fields)


@functools.cache
def compiled(fields):
    config = config_of(**dict(fields))

    def loss(image, recipe, recipe_class, match, image_class, key):
        return total_loss(config, image, recipe, recipe_class, match, image_class_id=image_class, key=key)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


def run(image, recipe, recipe_class, match, image_class=None, key=None, **fields):
    """Returns ((loss, metrics), (image gradient, recipe gradient))."""
    image_class = recipe_class if image_class is None else image_class
    return compiled(tuple(sorted(fields.items())))(image, recipe, recipe_class, match, image_class, key)


@st.composite
def batches(draw, sizes=(2, 9)):
    """Draws batches with no, one, few or only singleton classes, and with all, some or no pairs matched."""
    size = draw(st.sampled_from(sizes))
    classes = draw(st.sampled_from([0, 1, 2, 4, 9]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    image, recipe = rng.normal(size=(2, size, 4)).astype(np.float32)
    recipe_class = rng.integers(draw(st.sampled_from([0, 1])) if classes else 0, classes + 1, size)
    match = np.where(rng.random(size) < draw(st.sampled_from([0, 0.5, 1])), -1, 1)
    image_class = np.where(match > 0, recipe_class, rng.permutation(recipe_class))
    return image, recipe, recipe_class, match, image_class


@pytest.mark.parametrize(("name", "block"), CASES)
def test_every_strategy_matches_a_naive_loop(name, block):
    @settings(max_examples=25, deadline=None)
    @given(batches(sizes=[2, 9] if name in ("adaptive mining", "three hardest") and not block else [9]))
    def check(batch):
        (loss, metrics), gradients = run(*batch, block=block, **OPTIONS[name])
        expected = {strategy: naive.triplet(strategy, *batch, **OPTIONS[name]) for strategy in STRATEGIES}
        for strategy, (value, bad_pairs) in expected.items():
            np.testing.assert_allclose(metrics[f"loss_{strategy}"], 0.5 * value, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(metrics[f"bad_pairs_{strategy}"], bad_pairs, atol=1e-6)
        mean = np.mean([0.5 * value for value, _ in expected.values()])
        np.testing.assert_allclose(loss, mean, rtol=1e-4, atol=1e-6)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        if mean == 0:
            assert not np.any(gradients)

    check()


@pytest.mark.parametrize(("name", "block"), CASES)
def test_gradients_match_finite_differences_of_the_naive_loop(name, block):
    rng = np.random.default_rng(5)
    image, recipe = rng.normal(size=(2, 9, 4)).astype(np.float32)
    recipe_class = np.array([1, 1, 0, 2, 2, 2, 3, 0, 1])
    match = np.array([1, 1, 1, -1, 1, 1, 1, 1, 1])
    batch = (recipe_class, match)
    _, gradients = run(image, recipe, *batch, block=block, **OPTIONS[name])

    def loss(embeddings):
        return np.mean([0.5 * naive.triplet(s, *embeddings, *batch, **OPTIONS[name])[0] for s in STRATEGIES])

    wide, step = np.stack([image, recipe]).astype(np.float64), 1e-6
    for _ in range(5):  # random directions
        direction = rng.normal(size=wide.shape)
        difference = (loss(wide + step * direction) - loss(wide - step * direction)) / (2 * step)
        np.testing.assert_allclose(np.sum(np.stack(gradients) * direction), difference, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["adaptive mining", "hardest", "semi-hard", "all of both, three hardest"])
def test_a_permuted_batch_permutes_the_gradients(name):
    # Not with the first positive or the first negatives of a class, which depend on the order.
    strategies = STRATEGIES if name.startswith("all of both") else STRATEGIES[:4]

    @settings(max_examples=10, deadline=None)
    @given(batches(sizes=[9]), st.integers(0, 10**6))
    def check(batch, seed):
        order = np.random.default_rng(seed).permutation(len(batch[0]))
        (loss, _), gradients = run(*batch, strategies=strategies, **OPTIONS[name])
        (permuted_loss, _), permuted = run(*(array[order] for array in batch), strategies=strategies, **OPTIONS[name])
        np.testing.assert_allclose(permuted_loss, loss, rtol=1e-5, atol=1e-7)
        for side, permuted_side in zip(gradients, permuted, strict=True):
            np.testing.assert_allclose(permuted_side, side[order], rtol=1e-4, atol=1e-6)

    check()


@pytest.mark.parametrize(
    ("recipe_class", "match"),
    [
        ([0] * 9, [-1] * 9),  # no anchors
        ([0] * 9, [1] + [-1] * 8),  # one pair, without negatives
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], [-1] * 9),  # no positives
        ([1] * 9, [-1] * 9),  # one class, without negatives
    ],
)
@pytest.mark.parametrize("block", [0, 4])
def test_the_loss_and_its_gradient_are_zero_without_triplets(recipe_class, match, block):
    image, recipe = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    (loss, _), gradients = run(image, recipe, np.array(recipe_class), np.array(match), block=block)
    assert loss == 0
    assert not np.any(gradients)


@pytest.mark.parametrize("kind", ["duplicates", "zeros", "tiny", "bfloat16"])
@pytest.mark.parametrize("name", ["adaptive mining", "mean", "three hardest", "semi-hard", "all positives"])
def test_degenerate_embeddings_give_finite_losses_and_gradients(name, kind):
    image, recipe = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    if kind == "duplicates":
        image[:] = recipe[:] = image[0]
    elif kind == "zeros":
        image[2] = recipe[3] = 0
    elif kind == "tiny":
        image[2] = 1e-30
    else:
        image, recipe = image.astype(jax.numpy.bfloat16), recipe.astype(jax.numpy.bfloat16)
    batch = np.array([0, 1, 1, 2, 2, 3, 0, 0, 2]), np.ones(9, int)
    (loss, _), gradients = run(image, recipe, *batch, block=0, **OPTIONS[name])
    assert np.isfinite(loss)
    if not (kind == "duplicates" and "semi-hard" in name):  # no negative is farther than the positive
        assert loss > 0
    for gradient in gradients:
        assert gradient.dtype == image.dtype
        assert np.isfinite(gradient.astype(np.float32)).all()
        if kind == "zeros":
            assert np.abs(gradient).max() < 10


@pytest.mark.parametrize("name", ["adaptive mining", "hardest"])
@pytest.mark.parametrize("side", [0, 1])
def test_a_nan_embedding_makes_the_loss_nan(name, side):
    embeddings = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    embeddings[side, 4, 1] = np.nan
    (loss, _), _ = run(*embeddings, np.array([0, 1, 1, 2, 2, 3, 0, 0, 2]), np.ones(9, int), block=0, **OPTIONS[name])
    assert np.isnan(loss)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("adaptive mining", 16),
        ("three hardest", 1),
        pytest.param("adaptive mining", 1, marks=pytest.mark.slow),
        pytest.param("two semi-hard", 16, marks=pytest.mark.slow),
        pytest.param("all negatives", 1, marks=pytest.mark.slow),
    ],
)
def test_results_do_not_depend_on_the_block_size(name, block):
    rng = np.random.default_rng(3)
    image, recipe = rng.normal(size=(2, 40, 8)).astype(np.float32)
    image[11], recipe[30] = image[3], recipe[2]  # ties: the first negative is selected
    batch = image, recipe, rng.integers(0, 6, 40), np.where(rng.random(40) < 0.9, 1, -1)
    (loss, metrics), gradients = run(*batch, **OPTIONS[name])
    (in_blocks, metrics_in_blocks), gradients_in_blocks = run(*batch, block=block, **OPTIONS[name])
    np.testing.assert_allclose(in_blocks, loss, rtol=1e-6)
    for metric, value in metrics.items():
        np.testing.assert_allclose(metrics_in_blocks[metric], value, rtol=1e-6, atol=1e-7, err_msg=metric)
    for side, side_in_blocks in zip(gradients, gradients_in_blocks, strict=True):
        np.testing.assert_allclose(side_in_blocks, side, rtol=1e-4, atol=1e-7)


def test_random_negatives_depend_on_the_key_but_not_on_the_block_size():
    rng = np.random.default_rng(3)
    image, recipe = rng.normal(size=(2, 40, 8)).astype(np.float32)
    batch, strategies = (image, recipe, rng.integers(0, 6, 40), np.ones(40)), ("IRR", "SRII", "RIR")

    def loss(seed, **fields):
        (value, _), _ = run(*batch, key=jax.random.key(seed), sampling="random", strategies=strategies, **fields)
        return float(value)

    whole = loss(0, num_negatives=3)
    np.testing.assert_allclose(loss(0, num_negatives=3, block=7), whole, rtol=1e-6)
    assert loss(1, num_negatives=3) != whole
    everything = run(*batch, strategies=strategies)[0][0]
    np.testing.assert_allclose(loss(2, num_negatives=100), everything, rtol=1e-6)
    np.testing.assert_allclose(np.mean([loss(s, num_negatives=3) for s in range(40)]), everything, rtol=0.03)


def test_random_sampling_requires_a_key():
    config = config_of(sampling="random", num_negatives=2)
    with pytest.raises(ValueError, match="requires a key"):
        shapes(config, *np.ones((2, 2, 3), np.float32), np.zeros(2, int), np.ones(2))


def shapes(config, *arguments, **named):
    """Returns the shapes and dtypes of a loss and its metrics, without computing them."""
    return jax.eval_shape(lambda arguments, named: total_loss(config, *arguments, **named), arguments, named)


def test_metric_names_lists_the_metrics():
    batch = np.eye(2, 3, dtype=np.float32), np.ones((2, 3), np.float32), np.zeros(2, int), np.ones(2)
    logits = {f"{side}_logits": np.zeros((2, 4), np.float32) for side in ("image", "recipe")}
    for fields in (
        {},
        {"strategies": ("LIFT", "IRR")},
        {"name": "pairwise"},
        {"name": "pairwise_plus", "classifier_weight": 0.01},
    ):
        config = config_of(**fields)
        assert set(shapes(config, *batch, **logits)[1]) == set(metric_names(config))


def test_normalising_a_zero_row_returns_zeros():
    rows = normalize(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_embeddings_of_different_precision_are_compared_in_the_wider_one():
    image, recipe = np.random.default_rng(1).normal(size=(2, 6, 4))
    batch = np.array([1, 1, 2, 2, 0, 0]), np.ones(6)
    with jax.enable_x64(True):
        (loss, _), _ = run(image.astype(np.float32), recipe, *batch)
        (narrow, _), _ = run(image.astype(np.float32), recipe.astype(np.float32), *batch)
    assert loss.dtype == np.float64
    np.testing.assert_allclose(loss, narrow, rtol=1e-5)


def test_x64_mode_does_not_widen_the_loss():
    with jax.enable_x64(True):
        loss, metrics = jax.eval_shape(adamine_loss, *np.ones((2, 4, 4), np.float32), np.zeros(4, int))
    assert {value.dtype for value in (loss, *metrics.values())} == {np.dtype(np.float32)}
