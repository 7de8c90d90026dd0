"""The loss between the parts of a recipe equals a loop over its definition."""

import itertools

import jax
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.config import checks, preset, set_loss, set_tower
from adamine_jax.losses import registry


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def loop(parts, mask, group, maps, temperature):
    """The mean over the ordered pairs of parts of the cross-entropy in both directions."""
    totals = []
    for place, (one, other) in enumerate(itertools.permutations(range(3), 2)):
        rows = [row for row in range(len(mask)) if mask[row, one] and mask[row, other]]
        mapped, costs = unit(parts[:, one] @ maps[place]), []
        for row in rows:
            counted = [each for each in rows if each == row or group[each] != group[row]]
            for anchor, others in ((mapped[row], parts[:, other]), (parts[row, other], mapped)):
                logits = {each: anchor @ others[each] / temperature for each in counted}
                costs.append(np.log(sum(np.exp(logit) for logit in logits.values())) - logits[row])
        totals.append(np.mean(costs) if costs else 0.0)
    return np.mean(totals)


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_parts_find_each_other(share):
    rng, section = np.random.default_rng(0), registry.section("parts")
    section.temperature = 0.2
    loss = registry.build(section)
    with jax.enable_x64(True):
        parts, mask = unit(rng.standard_normal((9, 3, 6))), rng.random((9, 3)) < share
        group = rng.integers(0, 6, 9).astype(np.int32)
        params = jax.tree.map(
            lambda leaf: leaf.astype("float64"), loss.init(jax.random.key(0), embedding_dim=6, num_classes=2)
        )

        def compute(params, parts):
            embeddings = {"recipe_parts": parts, "recipe_parts_mask": mask}
            return loss(params, embeddings, {"group": group, "match": np.full(9, -1)}, key=jax.random.key(0))

        (value, _), gradients = jax.jit(jax.value_and_grad(compute, argnums=(0, 1), has_aux=True))(params, parts)
        maps = np.asarray(params["part_maps"])
        np.testing.assert_allclose(value, loop(parts, mask, group, maps, 0.2), rtol=1e-6)
        for place in ((0, 0, 1), (3, 2, 2), (8, 1, 5)):
            ends = []
            for sign in (1, -1):
                moved = parts.copy()
                moved[place] += sign * 1e-6
                ends.append(loop(unit(moved), mask, group, maps, 0.2))
            np.testing.assert_allclose(gradients[1][place], (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-7)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_a_tower_without_parts_is_refused():
    config = preset("adamine")
    set_loss(config, [("infonce", 1.0), ("parts", 0.5)])
    with pytest.raises(UserError, match=r"the loss 'parts' needs config\.model\.recipe\.part_embeddings=True"):
        checks.check(config)


def test_text_with_a_loss_that_needs_photos_is_refused():
    config = preset("adamine")
    set_tower(config, "recipe", "lstm")
    config.data.text_share = 0.25
    with pytest.raises(UserError, match=r"text_share = 0\.25: the loss 'triplet' learns nothing from recipes without"):
        checks.check(config)


def test_a_part_finds_the_photo_of_its_recipe():
    rng, section = np.random.default_rng(1), registry.section("parts")
    section.temperature, section.photos = 0.2, 0.7
    loss = registry.build(section)
    with jax.enable_x64(True):
        image, parts = unit(rng.standard_normal((9, 6))), unit(rng.standard_normal((9, 3, 6)))
        mask, match = rng.random((9, 3)) < 0.7, np.where(rng.random(9) < 0.8, 1, -1)
        group = rng.integers(0, 6, 9).astype(np.int32)
        params = loss.init(jax.random.key(0), embedding_dim=6, num_classes=2)
        embeddings = {"image": image, "recipe_parts": parts, "recipe_parts_mask": mask}
        value, _ = jax.jit(loss)(params, embeddings, {"group": group, "match": match}, key=jax.random.key(0))
        maps = np.asarray(params["part_maps"], np.float64)
        costs = []
        for place in range(3):
            rows = [row for row in range(9) if mask[row, place] and match[row] > 0]
            ones = []
            for row in rows:
                counted = [each for each in rows if each == row or group[each] != group[row]]
                for anchor, others in ((image[row], parts[:, place]), (parts[row, place], image)):
                    logits = {each: anchor @ others[each] / 0.2 for each in counted}
                    ones.append(np.log(sum(np.exp(logit) for logit in logits.values())) - logits[row])
            costs.append(np.mean(ones))
        expected = loop(parts, mask, group, maps, 0.2) + 0.7 * np.mean(costs)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
