"""Lifted, pairwise and classification losses match naive implementations; edge cases."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import FrozenConfigDict

from adamine_jax.losses import total_loss
from adamine_jax.losses.retrieval import classification_loss
from tests.losses import loss_config, naive


@functools.cache
def compiled(config):
    def loss(image, recipe, class_id, match, arguments):
        return total_loss(config, image, recipe, class_id, match, **arguments)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


def run(config, image, recipe, class_id, match, **arguments):
    return compiled(FrozenConfigDict(config))(image, recipe, class_id, match, arguments)


@settings(max_examples=20, deadline=None)
@given(matched=st.sampled_from([0, 1, 2, 6]), seed=st.integers(0, 10**6), published=st.booleans())
def test_the_lifted_loss_matches_a_naive_loop(matched, seed, published):
    image, recipe = np.random.default_rng(seed).normal(size=(2, 6, 4)).astype(np.float32)
    match = np.where(np.arange(6) < matched, 1, -1)
    config = loss_config(strategies=("LIFT",), weights=(2.0,), lifted_published_scale=published)
    (loss, metrics), gradients = run(config, image, recipe, np.zeros(6, int), match)
    expected, bad_pairs = naive.lifted(image, recipe, match, published_scale=published)
    np.testing.assert_allclose(loss, 2 * expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["bad_pairs_LIFT"], bad_pairs, atol=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    if matched < 2:
        assert not np.any(gradients)


def test_the_lifted_loss_does_not_overflow():
    image, recipe = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    config = loss_config(strategies=("LIFT",), weights=(1.0,), margin=200.0)
    (loss, _), gradients = run(config, image, recipe, np.zeros(6, int), np.ones(6))
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", ["pairwise", "pairwise_plus"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0, 0.5, 1]))
def test_pairwise_losses_match_a_naive_loop(name, seed, share):
    rng = np.random.default_rng(seed)
    image, recipe = rng.normal(size=(2, 7, 3)).astype(np.float32)
    match = np.where(rng.random(7) < share, 1, -1)
    config = loss_config(name=name, margin=0.1 if name == "pairwise" else 0.3)
    (loss, metrics), gradients = run(config, image, recipe, np.zeros(7, int), match)
    costs = []
    for x, y, m in zip(image, recipe, match, strict=True):
        d = naive.distance(x, y)
        if name == "pairwise":
            costs.append(d if m > 0 else max(0, (1 - d) - 0.1))
        else:
            costs.append(max(0, d - 0.3) if m > 0 else max(0, 0.9 - d))
    np.testing.assert_allclose(loss, np.mean(costs), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["bad_pairs"], np.mean(np.array(costs) == 0), atol=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("keep_background", [False, True])
@pytest.mark.parametrize("classes", [[0, 2, 1, 0], [0, 0, 0, 0], [3, 3, 1, 2]])
def test_the_cross_entropy_is_averaged_over_classed_items(classes, keep_background):
    logits = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    kept = [i for i in range(4) if classes[i] or keep_background]
    entropies = [np.log(np.sum(np.exp(logits[i]))) - logits[i][classes[i]] for i in kept]
    compute = jax.jit(jax.value_and_grad(classification_loss), static_argnums=2)
    loss, gradient = compute(logits, np.array(classes), keep_background)
    np.testing.assert_allclose(loss, np.mean(entropies) if kept else 0, rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert np.any(gradient) == bool(kept)


def test_the_classifier_is_weighted_and_uses_the_class_of_the_image():
    rng = np.random.default_rng(0)
    image, recipe = rng.normal(size=(2, 5, 4)).astype(np.float32)
    image_logits, recipe_logits = rng.normal(size=(2, 5, 3)).astype(np.float32)
    recipe_class, image_class, match = np.array([1, 1, 2, 0, 2]), np.array([1, 2, 2, 0, 0]), np.ones(5)
    arguments = {"image_class_id": image_class, "image_logits": image_logits, "recipe_logits": recipe_logits}
    (plain, _), _ = run(loss_config(), image, recipe, recipe_class, match, **arguments)
    config = loss_config(classifier_weight=0.1)
    (loss, metrics), _ = run(config, image, recipe, recipe_class, match, **arguments)
    cross_entropy = jax.jit(classification_loss)
    image_loss, recipe_loss = cross_entropy(image_logits, image_class), cross_entropy(recipe_logits, recipe_class)
    np.testing.assert_allclose(loss, 0.8 * plain + 0.1 * image_loss + 0.1 * recipe_loss, rtol=1e-6)
    np.testing.assert_allclose(metrics["loss_class_image"], image_loss, rtol=1e-6)
    with pytest.raises(ValueError, match="image_logits"):
        jax.eval_shape(functools.partial(total_loss, config), image, recipe, recipe_class, match)
