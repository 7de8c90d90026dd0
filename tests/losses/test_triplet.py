"""The losses against plain Python loops, and at their edges."""

import jax
import ml_collections
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.losses import total_loss
from adamine_jax.losses.distances import normalize

MARGIN = 0.3


def distance(x, y):
    return 1 - np.dot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y))


def naive(strategy, image, recipe, class_id, match, num_negatives, aggregation):
    """(loss, bad_pairs) of one strategy, entry by entry as the definition reads."""
    of = {"I": image, "R": recipe}
    anchor, positive, negative = (of[letter] for letter in strategy[-3:])
    everyone = range(len(image))
    rows = []
    if strategy.startswith("S"):
        negatives = {
            i: [j for j in everyone if class_id[j] not in (0, class_id[i])] for i in everyone if class_id[i] != 0
        }
        fewest = min(map(len, negatives.values()), default=0)
        for i, others in negatives.items():
            same = [j for j in everyone if class_id[j] == class_id[i] and j != i]
            if same:
                to_positive = distance(anchor[i], positive[same[0]])
                rows.append([max(0, to_positive - distance(anchor[i], negative[j]) + MARGIN) for j in others[:fewest]])
    else:
        matched = [i for i in everyone if match[i] > 0]
        for i in matched:
            to_match = distance(anchor[i], positive[i])
            costs = [max(0, to_match - distance(anchor[i], negative[j]) + MARGIN) for j in matched]
            costs[matched.index(i)] = 0
            rows.append(costs)
    if num_negatives:
        rows = [sorted(row, reverse=True)[:num_negatives] for row in rows]
    entries = np.array([cost for row in rows for cost in row])
    kept = len(entries) if aggregation == "mean" else np.sum(entries > 0)
    if not len(entries):
        return 0.0, 0.0
    return (entries.sum() / kept if kept else 0.0), np.mean(entries == 0)


STRATEGIES = ("IRR", "RII", "IRI", "RIR", "SIRR", "SRII", "SIII", "SRRR")


@settings(max_examples=30, deadline=None)
@given(
    size=st.sampled_from([2, 5, 9]),
    classes=st.sampled_from([0, 1, 2, 9]),
    mismatched=st.sampled_from([0, 0.5, 1]),
    num_negatives=st.sampled_from([None, 1, 3, 50]),
    aggregation=st.sampled_from(["valid", "mean"]),
    seed=st.integers(0, 10**6),
)
def test_every_strategy_equals_a_plain_loop(size, classes, mismatched, num_negatives, aggregation, seed):
    rng = np.random.default_rng(seed)
    image, recipe = rng.normal(size=(2, size, 4)).astype(np.float32)
    class_id = rng.integers(0, classes + 1, size)
    match = np.where(rng.random(size) < mismatched, -1, 1)
    config = ml_collections.ConfigDict(
        {
            "strategies": STRATEGIES,
            "weights": tuple(0.5 for _ in STRATEGIES),
            "margin": MARGIN,
            "num_negatives": num_negatives,
            "aggregation": aggregation,
        }
    )
    loss, metrics = total_loss(config, image, recipe, class_id, match)
    expected = {s: naive(s, image, recipe, class_id, match, num_negatives, aggregation) for s in STRATEGIES}
    for strategy, (value, bad_pairs) in expected.items():
        np.testing.assert_allclose(metrics[f"loss_{strategy}"], 0.5 * value, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(metrics[f"bad_pairs_{strategy}"], bad_pairs, atol=1e-6)
    np.testing.assert_allclose(loss, np.mean([0.5 * value for value, _ in expected.values()]), rtol=1e-4, atol=1e-6)


def adamine(**changes):
    config = {"strategies": STRATEGIES, "weights": (1.0,) * 8, "margin": MARGIN, "num_negatives": None}
    return ml_collections.ConfigDict(config | {"aggregation": "valid"} | changes)


def loss_and_gradients(image, recipe, class_id, match, config=None):
    def loss(image, recipe):
        return total_loss(config or adamine(), image, recipe, class_id, match)[0]

    return jax.value_and_grad(loss, argnums=(0, 1))(image, recipe)


@pytest.mark.parametrize(
    ("class_id", "match"),
    [
        ([0, 0, 0, 0], [-1, -1, -1, -1]),  # nothing takes part
        ([1, 2, 3, 4], [1, -1, -1, -1]),  # one pair, every class alone
    ],
)
def test_with_nothing_left_the_loss_and_its_gradient_are_zero(class_id, match):
    image, recipe = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    loss, gradients = loss_and_gradients(image, recipe, np.array(class_id), np.array(match))
    assert loss == 0
    assert not np.any(gradients[0])
    assert not np.any(gradients[1])


@pytest.mark.parametrize("kind", ["duplicates", "zeros", "tiny", "bfloat16"])
def test_degenerate_embeddings_give_finite_losses_and_gradients(kind):
    image, recipe = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    if kind == "duplicates":
        image[:] = recipe[:] = image[0]
    elif kind == "zeros":
        image[2] = recipe[3] = 0
    elif kind == "tiny":
        image[2] = 1e-30
    else:
        image, recipe = image.astype(jax.numpy.bfloat16), recipe.astype(jax.numpy.bfloat16)
    loss, gradients = loss_and_gradients(image, recipe, np.array([0, 1, 1, 2, 2, 3]), np.ones(6))
    assert np.isfinite(loss)
    assert loss > 0
    for gradient in gradients:
        assert np.isfinite(gradient.astype(np.float32)).all()
        if kind == "zeros":
            assert np.abs(gradient).max() < 10


def test_a_mismatched_photo_carries_its_own_class_in_semantic_triplets():
    rng = np.random.default_rng(1)
    image, recipe = rng.normal(size=(2, 5, 4)).astype(np.float32)
    of_recipe, of_image = np.array([1, 1, 2, 2, 0]), np.array([1, 2, 2, 1, 2])
    config = adamine(strategies=("SIRR",), weights=(1.0,))
    _, metrics = total_loss(config, image, recipe, of_recipe, np.ones(5), image_class_id=of_image)

    costs = []
    negatives = {i: [j for j in range(5) if j != i and of_recipe[j] not in (0, of_image[i])] for i in range(5)}
    fewest = min(map(len, negatives.values()))
    for i in range(5):
        same = [j for j in range(5) if j != i and of_recipe[j] == of_image[i]]
        to_positive = distance(image[i], recipe[same[0]])
        costs += [max(0, to_positive - distance(image[i], recipe[j]) + MARGIN) for j in negatives[i][:fewest]]
    np.testing.assert_allclose(metrics["loss_SIRR"], np.sum(costs) / np.sum(np.array(costs) > 0), rtol=1e-5)


def test_a_zero_row_stays_zero_when_normalised():
    rows = normalize(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)
