"""Recipes without a photo do not affect the loss of the others, and their image rows have no gradient."""

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
    "classifier": ("triplet", {"strategies": ("IRR",), "weights": (1.0,), "classifier_weight": 0.2}),
}


def batch(seed, rows=12):
    rng = np.random.default_rng(seed)
    image, recipe = rng.normal(size=(2, rows, 5)).astype(np.float32)
    numbers = {"class_id": rng.integers(0, 3, rows), "match": np.where(rng.random(rows) < 0.8, 1, -1)}
    numbers |= {"image_class_id": numbers["class_id"]}
    return image, recipe, {name: values.astype(np.int32) for name, values in numbers.items()}


def value_and_gradient(case, image, recipe, numbers, has_image):
    name, fields = CASES[case]
    section = registry.section(name)
    section.update(fields)
    loss = registry.build(section)
    params = loss.init(jax.random.key(0), embedding_dim=5, num_classes=3)

    def compute(image):
        embeddings = {"image": image, "recipe": recipe, "has_image": has_image}
        return loss(params, embeddings, numbers, key=jax.random.key(1))[0]

    return jax.value_and_grad(compute)(image)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_an_image_that_is_missing_changes_nothing(case, seed):
    image, recipe, numbers = batch(seed)
    has_image = np.arange(12) % 4 != 1
    value, gradient = value_and_gradient(case, image, recipe, numbers, has_image)
    other = np.where(has_image[:, None], image, 7 * image[::-1])
    np.testing.assert_allclose(value_and_gradient(case, other, recipe, numbers, has_image)[0], value, rtol=1e-5)
    assert value > 0
    assert not np.any(gradient[~has_image])
    assert np.any(gradient[has_image])


@pytest.mark.parametrize("case", ["instances", "lifted", "pairwise", "pairwise_plus"])
def test_pairs_without_a_photo_do_not_count(case):
    image, recipe, numbers = batch(5)
    has_image = np.arange(12) % 4 != 1
    value, _ = value_and_gradient(case, image, recipe, numbers, has_image)
    kept = {name: values[has_image] for name, values in numbers.items()}
    alone, _ = value_and_gradient(case, image[has_image], recipe[has_image], kept, np.ones(9, bool))
    np.testing.assert_allclose(value, alone, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_missing_image_may_contain_anything(case):
    image, recipe, numbers = batch(7)
    has_image = np.arange(12) % 4 != 1
    broken = np.where(has_image[:, None], image, np.nan)
    value, gradient = value_and_gradient(case, broken, recipe, numbers, has_image)
    np.testing.assert_allclose(value, value_and_gradient(case, image, recipe, numbers, has_image)[0], rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_any_image_costs_something_finite(case):
    image, recipe, numbers = batch(8)
    value, gradient = value_and_gradient(case, image, recipe, numbers, np.zeros(12, bool))
    assert np.isfinite(value)
    assert not np.any(gradient)
