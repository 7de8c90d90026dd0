"""InfoNCE, SigLIP and circle loss equal loops over the pairs, in value and gradient, in blocks or not."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.config import checks, preset, set_loss
from adamine_jax.losses import registry, total_loss
from adamine_jax.losses.contrastive.circle import circle_loss
from adamine_jax.losses.contrastive.infonce import infonce_loss
from adamine_jax.losses.contrastive.pairs import pair_batch
from adamine_jax.losses.contrastive.siglip import siglip_loss

NAMES = ("infonce", "infonce, smoothed", "siglip", "circle")


def sigmoid_cost(logit):
    return np.log1p(np.exp(-abs(logit))) + max(-logit, 0)


def candidates(anchor, matched, anchor_group, group):
    """The rows that count for an anchor: its own, and matched ones of other groups."""
    return [
        row
        for row in range(len(matched))
        if matched[row] and (row == anchor or anchor_group[anchor] < 0 or anchor_group[anchor] != group[row])
    ]


def infonce(similarity, own, counted, smoothing=0.0):
    logits = {row: 7.0 * similarity[row] for row in counted}
    target = (1 - smoothing) * logits[own] + smoothing * np.mean(list(logits.values()))
    return np.log(sum(np.exp(logit) for logit in logits.values())) - target


def siglip(similarity, own, counted):
    return sum(sigmoid_cost((5.0 * similarity[row] - 2.0) * (1 if row == own else -1)) for row in counted)


def circle(similarity, own, counted, gradient_of=None):
    margin, gamma = 0.25, 8.0
    # The weights have no gradient: they are those of the unmoved similarities.
    fixed = similarity if gradient_of is None else gradient_of
    negatives = [
        np.exp(gamma * max(fixed[row] + margin, 0) * (similarity[row] - margin)) for row in counted if row != own
    ]
    positive = np.exp(-gamma * max(1 + margin - fixed[own], 0) * (similarity[own] - 1 + margin))
    return np.log1p(positive * sum(negatives))


def loop(name, image, recipe, matched, image_group, recipe_group, fixed=None):
    """The definitions, one anchor at a time; `fixed` are the embeddings that weights without gradients are of."""
    total, anchors = 0.0, [row for row in range(len(matched)) if matched[row]]
    sides = ((image, recipe, image_group, recipe_group), (recipe, image, recipe_group, image_group))
    fixed_sides = (fixed, fixed and fixed[::-1])
    for (one, other, group, other_group), fixed_side in zip(sides, fixed_sides, strict=True):
        for own in anchors:
            counted, similarity = candidates(own, matched, group, other_group), other @ one[own]
            if name == "circle":
                weights = None if fixed_side is None else fixed_side[1] @ fixed_side[0][own]
                total += circle(similarity, own, counted, weights) / 2
            elif name == "siglip":
                total += siglip(similarity, own, counted) / 2  # each pair is met from both sides
            else:
                total += infonce(similarity, own, counted, 0.2 if "smoothed" in name else 0.0) / 2
    return total / max(len(anchors), 1)


def computed(name, pairs, block=0):
    if name == "circle":
        return circle_loss(pairs, margin=0.25, gamma=8.0, block=block)
    if name == "siglip":
        return siglip_loss(pairs, 5.0, -2.0, block=block)
    return infonce_loss(pairs, 7.0, label_smoothing=0.2 if "smoothed" in name else 0.0, block=block)


def unit(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def draw(rows, seed, matched_share=0.8, classes=3):
    rng = np.random.default_rng(seed)
    image, recipe = unit(rng.standard_normal((rows, 5))), unit(rng.standard_normal((rows, 5)))
    match = np.where(rng.random(rows) < matched_share, 1, -1)
    class_id, image_class_id = rng.integers(0, classes + 1, (2, rows))
    batch = {"match": match, "class_id": class_id, "image_class_id": image_class_id}
    batch["group"] = rng.integers(0, rows, rows).astype(np.int32)
    return image, recipe, batch


@pytest.mark.parametrize("block", [0, 3])
def test_pytorch_has_the_same_values_and_gradients(block):
    """`tests/golden/make_contrastive.py`."""
    golden = np.load(Path(__file__).parents[1] / "golden" / "contrastive.npz")
    batch = {"match": np.ones(7, int), "class_id": np.zeros(7, int), "image_class_id": np.zeros(7, int)}
    batch["group"] = np.arange(7)
    calls = {
        "infonce": (("temperature",), lambda pairs, temperature: infonce_loss(pairs, 1 / temperature, block=block)),
        "siglip": (("scale", "bias"), functools.partial(siglip_loss, block=block)),
    }
    with jax.enable_x64(True):
        for name, (scalars, loss) in calls.items():

            def of(image, recipe, *given, loss=loss):
                sides = {"image": image, "recipe": recipe}
                norms = {side: x / jnp.linalg.norm(x, axis=1, keepdims=True) for side, x in sides.items()}
                return loss(pair_batch(norms, batch, "none"), *given)[0]

            given = {"infonce": (0.1,), "siglip": (7.0, -3.0)}[name]
            arguments = (golden["image"], golden["recipe"], *map(jnp.float64, given))
            value, gradients = jax.jit(jax.value_and_grad(of, argnums=range(len(arguments))))(*arguments)
            np.testing.assert_allclose(value, golden[f"{name}/value"], rtol=1e-6)
            for key, gradient in zip(("image", "recipe", *scalars), gradients, strict=True):
                np.testing.assert_allclose(gradient, golden[f"{name}/{key}"], rtol=1e-5, atol=1e-8, err_msg=key)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    exclude=st.sampled_from(["none", "class", "duplicates"]),
    rows=st.integers(1, 9),
    block=st.integers(0, 4),
    seed=st.integers(0, 1000),
    matched_share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_values_and_gradients(name, exclude, rows, block, seed, matched_share):
    image, recipe, batch = draw(rows, seed, matched_share)
    with jax.enable_x64(True):

        def loss(image, recipe):
            pairs = pair_batch({"image": image, "recipe": recipe}, batch, exclude)
            return computed(name, pairs, block)[0], (pairs.matched, pairs.image_group, pairs.recipe_group)

        compute = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (value, pairs), gradients = jax.device_get(compute(image, recipe))
    matched, *groups = pairs
    of = functools.partial(loop, name, matched=matched, image_group=groups[0], recipe_group=groups[1])
    np.testing.assert_allclose(value, of(image, recipe), rtol=1e-6, atol=1e-12)
    sides, step = [image, recipe], 1e-5
    for side, gradient in enumerate(gradients):
        for place in np.ndindex(image.shape):
            ends = []
            for sign in (1, -1):
                moved = sides[side].copy()
                moved[place] += sign * step
                both = [unit(moved) if number == side else other for number, other in enumerate(sides)]
                ends.append(of(*both, fixed=(image, recipe)))
            numeric = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(gradient[place], numeric, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_change_nothing_in_float32(name):
    image, recipe, batch = draw(50, 1, 0.9)

    def loss(image, block):
        return computed(name, pair_batch({"image": image, "recipe": recipe}, batch, "class"), block)

    compute = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    (value, accuracy), gradient = compute(image.astype(np.float32), 0)
    for block in (7, 16, 49):
        (other, other_accuracy), other_gradient = compute(image.astype(np.float32), block)
        np.testing.assert_allclose(other, value, rtol=1e-5)
        assert other_accuracy == accuracy
        np.testing.assert_allclose(other_gradient, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["infonce", "siglip", "circle"])
def test_accuracy_is_the_share_of_anchors_that_find_their_pair(name):
    image, recipe, batch = draw(40, 2)
    recipe[::2] = image[::2]
    similarity, kept = image @ recipe.T, batch["match"] > 0
    similarity[:, ~kept] = -np.inf
    rows = (similarity.argmax(1) == np.arange(40))[kept]
    columns = ((image @ recipe.T)[kept].argmax(0) == np.cumsum(kept) - 1)[kept]
    expected = np.mean(rows) if name == "siglip" else (np.mean(rows) + np.mean(columns)) / 2
    pairs = {"image": image, "recipe": recipe}
    _, accuracy = jax.jit(lambda pairs: computed(name, pair_batch(pairs, batch)))(pairs)
    np.testing.assert_allclose(accuracy, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["infonce", "siglip", "circle"])
def test_nan_in_nan_out_and_metrics(name):
    section = registry.section(name)
    if name == "infonce":
        section.learned_temperature, section.temperature = True, 0.07
    loss = registry.build(section)
    image, recipe, batch = draw(8, 3, 1.0)
    params = loss.init(jax.random.key(0), embedding_dim=5, num_classes=4)

    def compute(params, image):
        embeddings = {"image": image, "recipe": recipe, "has_image": np.ones(8, bool)}
        return loss(params, embeddings, batch, key=jax.random.key(0))

    compute = jax.jit(jax.value_and_grad(compute, has_aux=True))
    (value, metrics), gradients = compute(params, image)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf) and leaf != 0 for leaf in jax.tree.leaves(gradients))
    distances = 2 - 2 * np.sum(image * recipe, axis=1)
    np.testing.assert_allclose(metrics["alignment"], distances.mean(), rtol=1e-5)
    pairs = [np.exp(-2 * np.sum((s[i] - s[j]) ** 2)) for s in (image, recipe) for i in range(8) for j in range(i)]
    np.testing.assert_allclose(metrics["uniformity"], np.log(np.mean(pairs)), rtol=1e-4)
    if name != "circle":
        np.testing.assert_allclose(metrics["temperature"], 0.07 if name == "infonce" else 0.1, rtol=1e-5)
    image[0, 0] = np.nan
    assert np.isnan(compute(params, image)[0][0])


def test_a_learned_temperature_stays_in_its_bounds():
    section = registry.section("infonce")
    section.learned_temperature = True
    image, recipe, batch = draw(8, 3, 1.0)
    embeddings = {"image": image, "recipe": recipe, "has_image": np.ones(8, bool)}
    loss = registry.build(section)

    @jax.jit
    def value(log_scale, embeddings):
        return loss({"log_scale": log_scale}, embeddings, batch, key=jax.random.key(0))

    _, metrics = value(np.float32(9), embeddings)
    np.testing.assert_allclose(metrics["temperature"], 0.01, rtol=1e-5)
    slope = jax.jit(jax.grad(lambda scale, pairs: value(scale, pairs)[0]))
    assert slope(np.float32(9), embeddings) > 0  # random pairs want a higher temperature
    assert slope(np.float32(9), embeddings | {"image": recipe}) == 0  # these would go on to a lower one
    section.temperature = 0.005
    with pytest.raises(UserError, match=r"temperature = 0\.005: a learned temperature starts at 0\.01 or more"):
        checks.check(_with(section))


def _with(section):
    config = preset("adamine")
    config.loss = section
    return config


def test_parameters_and_groups_of_the_plain_function():
    image, recipe, batch = draw(6, 4, 1.0)
    arguments = image, recipe, batch["class_id"], batch["match"]
    section = registry.section("infonce")
    section.exclude = "duplicates"
    compute = jax.jit(lambda group: total_loss(section, *arguments, group=group)[0])
    values = [float(compute(group)) for group in (None, np.arange(6), np.zeros(6))]
    assert values[0] == values[1] > 0.1
    assert values[2] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="parameters, log_scale, logit_bias: pass those of `init`"):
        total_loss(registry.section("siglip"), *arguments)


@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_a_temperature_that_is_not_positive_is_refused(name):
    config = preset("adamine")
    set_loss(config, name)
    checks.check(config)
    config.loss.temperature = 0
    with pytest.raises(UserError, match=r"config\.loss\.temperature = 0\.0: must be a number > 0"):
        checks.check(config)
