"""A row without an image does not affect the loss of the other rows, and its image embedding has no gradient."""

import functools

import jax
import numpy as np
import pytest

from adamine_jax.losses import registry

CASES = {
    "instances": ("triplet", {"strategies": ("IRR", "RII"), "weights": (1.0, 1.0)}),
    "classes": ("triplet", {"strategies": ("SIRR", "SRII"), "weights": (1.0, 1.0), "semantic_negatives": "all"}),
    "lifted": ("triplet", {"strategies": ("LIFT",), "weights": (1.0,)}),
    "pairwise": ("pairwise", {}),
    "pairwise_plus": ("pairwise_plus", {}),
    "infonce": ("infonce", {"learned_temperature": True, "label_smoothing": 0.1}),
    "siglip": ("siglip", {"exclude": "class"}),
    "circle": ("circle", {}),
    "classifier": ("triplet", {"strategies": ("IRR",), "weights": (1.0,), "classifier_weight": 0.2}),
}


def batch(seed, rows=12):
    rng = np.random.default_rng(seed)
    image, recipe = rng.normal(size=(2, rows, 5)).astype(np.float32)
    numbers = {"class_id": rng.integers(0, 3, rows), "match": np.where(rng.random(rows) < 0.8, 1, -1)}
    numbers |= {"image_class_id": numbers["class_id"]}
    return image, recipe, {name: values.astype(np.int32) for name, values in numbers.items()}


@functools.cache
def value_and_gradient(case):
    name, fields = CASES[case]
    section = registry.section(name)
    section.update(fields)
    loss = registry.build(section)
    params = loss.init(jax.random.key(0), embedding_dim=5, num_classes=3)

    def compute(image, recipe, numbers, has_image):
        embeddings = {"image": image, "recipe": recipe, "has_image": has_image}
        return loss(params, embeddings, numbers, key=jax.random.key(1))[0]

    return jax.jit(jax.value_and_grad(compute))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_a_missing_image_does_not_affect_the_loss(case, seed):
    image, recipe, numbers = batch(seed)
    has_image = np.arange(12) % 4 != 1
    value, gradient = value_and_gradient(case)(image, recipe, numbers, has_image)
    assert value > 0
    assert not np.any(gradient[~has_image])
    assert np.any(gradient[has_image])
    for missing in (7 * image[::-1], np.nan):
        changed = np.where(has_image[:, None], image, missing)
        changed_value, changed_gradient = value_and_gradient(case)(changed, recipe, numbers, has_image)
        np.testing.assert_allclose(changed_value, value, rtol=1e-6)
        np.testing.assert_allclose(changed_gradient, gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", ["instances", "lifted", "pairwise", "pairwise_plus"])
def test_pairs_without_an_image_are_excluded_from_the_mean(case):
    image, recipe, numbers = batch(5)
    has_image = np.arange(12) % 4 != 1
    value, _ = value_and_gradient(case)(image, recipe, numbers, has_image)
    kept = {name: values[has_image] for name, values in numbers.items()}
    alone, _ = value_and_gradient(case)(image[has_image], recipe[has_image], kept, np.ones(9, bool))
    np.testing.assert_allclose(value, alone, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_images_has_a_finite_loss(case):
    image, recipe, numbers = batch(8)
    value, gradient = value_and_gradient(case)(image, recipe, numbers, np.zeros(12, bool))
    assert np.isfinite(value)
    assert not np.any(gradient)
