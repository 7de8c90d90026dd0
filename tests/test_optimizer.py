"""Rates by pattern, layer-wise decay, freezing and the moving average, compared with AdamW written out in NumPy."""

import fnmatch
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import unflatten_dict

from adamine_jax.base.errors import UserError
from adamine_jax.config import checks, preset, set_tower
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.runs import workdir
from adamine_jax.train import train
from adamine_jax.training import optimizer
from adamine_jax.training.parameter_rates import parameter_names, rates
from tests import tiny
from tests.faults import runs

RATES = (("image_tower/fc/*", 0.5), ("recipe_tower/fc/bias", 0.0), ("recipe_tower/*", 3.0, 2), ("*", 1.0))
STEPS_PER_EPOCH = 4
GOLDEN = np.load(Path(__file__).parent / "golden" / "contrastive.npz")


def adamw(name, start, gradients, optim, factor, first):
    """Returns the parameter after each step, in float64."""
    count = 2 if "lstm" in name and name.endswith("bias") else 1  # PyTorch has two biases, here they are one
    value, m, v, after = start.astype(float), 0.0, 0.0, []
    for step, gradient in enumerate(gradients):
        gradient = gradient * (factor != 0) * (step >= first)
        m, v, own = 0.9 * m + 0.1 * gradient, optim.b2 * v + (1 - optim.b2) * gradient**2, max(step - first, 0) + 1
        update = count * m / (1 - 0.9**own) / (np.sqrt(v / (1 - optim.b2**own)) + 1e-8)
        if start.ndim > 1 and not name.endswith(("bias", "scale")):
            update = update + optim.weight_decay * value
        if step >= first:
            value = value - optim.lr * factor * update
        after.append(value)
    return after


def test_twenty_steps_are_those_of_adamw_with_the_same_groups():
    with jax.enable_x64(True):
        config = tiny.small_config("unused", optim__weight_decay=0.1, optim__rates=RATES, optim__b2=0.98)
        config.optim.clip_norm = 1e9
        model = build_model(config.model, table_rows=20)
        params = init_variables(model, jax.random.key(0), config.model, image_size=32)["params"]
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
        rng, names = np.random.default_rng(0), parameter_names(params)
        gradients = {name: 100 * rng.standard_normal((20, *leaf.shape)) for name, leaf in names.items()}
        structure = jax.tree.structure(params)
        found = rates(model, params, config.optim, STEPS_PER_EPOCH)
        states = {name: optimizer.adam().init(group) for name, group in optimizer.split_groups(params, model).items()}
        ours = params

        @jax.jit
        def update(ours, given, states, step):
            given, optim = optimizer.split_groups(given, model), config.optim
            return optimizer.update(model, ours, given, states, optim, optim.lr, found, step)[:2]

        for step in range(20):
            given = jax.tree.unflatten(structure, [gradients[name][step] for name in names])
            ours, states = update(ours, given, states, step)
            if step in (3, 9, 19):
                for name, value in parameter_names(ours).items():
                    _, factor, epoch = next((*entry, 0)[:3] for entry in RATES if fnmatch.fnmatch(name, entry[0]))
                    start = np.asarray(names[name])
                    first = epoch * STEPS_PER_EPOCH
                    expected = adamw(name, start, gradients[name][: step + 1], config.optim, factor, first)[-1]
                    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-12, err_msg=name)


def test_twenty_steps_are_those_of_pytorch():
    """Groups, layer-wise decay, warm-up, cosine decay, clipping and the average; `tests/golden/make_contrastive.py`."""
    model, _, config = vision_model()
    config.optim.update({"lr": 0.01, "weight_decay": 0.1, "clip_norm": 4.0, "warmup_steps": 5, "decay_steps": 10})
    config.optim.decay, config.epochs = "cosine", 1
    config.optim.layer_decay = 0.5
    config.optim.rates = (("image_tower/vit/*", 0.2), ("image_tower/fc/*", 0.5), ("recipe_tower/fc/bias", 0.0))
    names = [f"{tower}_tower/fc/{kind}" for tower in ("image", "recipe") for kind in ("kernel", "bias")]
    stacked = "image_tower/vit/transformer/qkv_kernel"

    def tree(key, step=...):
        arrays = {name: GOLDEN[f"{name}/{key}"][step] for name in names}
        arrays[stacked] = np.stack([GOLDEN[f"{stacked}/{layer}/{key}"][step] for layer in range(3)])
        return unflatten_dict({tuple(name.split("/")): array for name, array in arrays.items()})

    with jax.enable_x64(True):
        params = average = tree("start")
        found = rates(model, params, config.optim, 20)
        rate = optimizer.learning_rate(config, 20)
        states = {name: optimizer.adam().init(group) for name, group in optimizer.split_groups(params, model).items()}

        @jax.jit
        def update(params, average, given, states, step):
            given, optim = optimizer.split_groups(given, model), config.optim
            params, states, _ = optimizer.update(model, params, given, states, optim, rate(step), found, step)
            return params, optimizer.averaged(average, params, 0.9, step), states

        for step in range(20):
            params, average, states = update(params, average, tree("gradients", step), states, jnp.int32(step))
            for name, value in parameter_names(params).items():
                np.testing.assert_allclose(
                    value, parameter_names(tree("values", step))[name], rtol=1e-6, atol=1e-9, err_msg=f"{step} {name}"
                )
        for name, value in parameter_names(average).items():
            np.testing.assert_allclose(value, parameter_names(tree("average"))[name], rtol=1e-6, err_msg=name)


def vision_model(depth=3):
    config = preset("adamine")
    set_tower(config, "image", "vit")
    config.model.image.update({"depth": depth, "width": 8, "heads": 2, "mlp": 16, "patch": 16})
    model = build_model(config.model, table_rows=20)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0), config.model, image_size=32))
    return model, shapes["params"], config


def test_layer_decay_is_that_of_beit():
    model, params, config = vision_model()
    config.optim.layer_decay, config.optim.rates = 0.5, (("image_tower/vit/*", 0.1),)
    found = rates(model, params, config.optim, 1)
    stacked = found["image_tower/vit/transformer/qkv_kernel"].factor
    np.testing.assert_allclose(np.ravel(stacked), [0.0125, 0.025, 0.05])
    assert stacked.shape == (3, 1, 1)
    assert found["image_tower/vit/patches_kernel"].factor == pytest.approx(0.1 * 0.5**4)
    assert found["image_tower/vit/positions"].factor == pytest.approx(0.1 * 0.5**4)
    assert found["image_tower/vit/post_norm_scale"].factor == pytest.approx(0.1)
    assert found["image_tower/fc/kernel"].factor == 1
    assert found["recipe_tower/fc/kernel"].factor == 1


def test_a_pattern_without_a_parameter_is_refused():
    model, params, config = vision_model()
    config.optim.rates = (("image_towr/*", 0.1),)
    with pytest.raises(UserError, match=r"config\.optim\.rates: 'image_towr/\*' matches no parameter; names are for"):
        rates(model, params, config.optim, 1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rates", (("a",),), r"config\.optim\.rates = \(\('a',\),\): must be a tuple of \(pattern, factor\)"),
        ("rates", (("a", -1.0),), r"config\.optim\.rates"),
        ("layer_decay", 0.0, r"config\.optim\.layer_decay = 0\.0: must be a number above 0, at most 1"),
        ("average", 1.0, r"config\.optim\.average = 1\.0"),
    ],
)
def test_wrong_values_are_refused(field, value, message):
    config = preset("adamine")
    config.optim[field] = value
    with pytest.raises(UserError, match=message):
        checks.check(config)


def test_layer_decay_without_a_transformer_is_refused():
    config = tiny.small_config("unused", optim__layer_decay=0.5)
    model = build_model(config.model, table_rows=20)
    params = jax.eval_shape(lambda: init_variables(model, jax.random.key(0), config.model, image_size=32))["params"]
    with pytest.raises(UserError, match=r"layer_decay = 0\.5: no tower has a pretrained transformer"):
        rates(model, params, config.optim, 1)


def test_steps_and_epochs_of_the_warm_up_exclude_each_other():
    config = preset("adamine")
    config.optim.warmup_steps, config.optim.warmup_epochs = 10, 0.5
    with pytest.raises(UserError, match=r"config\.optim\.warmup_steps and config\.optim\.warmup_epochs: give only one"):
        checks.check(config)
    config.optim.warmup_epochs, config.optim.lr = 0.0, 0.5
    assert float(optimizer.learning_rate(config, 1000)(4)) == 0.25


def test_the_average_follows_the_parameters():
    rng, decay = np.random.default_rng(0), 0.9
    average = expected = rng.standard_normal(5).astype(np.float32)
    for step in range(200):
        new = rng.standard_normal(5).astype(np.float32)
        average = optimizer.averaged(average, new, decay, step)
        share = min(decay, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * new
    np.testing.assert_allclose(average, expected, rtol=1e-5)


def test_the_average_is_evaluated_saved_and_resumed(tiny_data, tmp_path):
    features = str(tiny.write_image_features(tiny_data, tmp_path / "photos.npy"))
    fields = {
        "data__image_features": features,
        "optim__average": 0.9,
        "optim__rates": (("recipe_tower/*", 0.5, 1),),
        "checkpoint__every_steps": 4,
    }
    whole = tiny.small_config(tiny_data, bag=True, **fields)
    train(whole, tmp_path / "whole")
    runs.train_in_two_parts(whole, tmp_path / "parts")
    runs.assert_same_bits(*(workdir.load(tmp_path / name, "last").variables for name in ("whole", "parts")))
    train(tiny.small_config(tiny_data, bag=True, **{**fields, "optim__average": 0.0}), tmp_path / "plain")
    plain, average = (workdir.load(tmp_path / name, "last").variables["params"] for name in ("plain", "whole"))
    assert not np.array_equal(plain["image_tower"]["fc"]["kernel"], average["image_tower"]["fc"]["kernel"])


def test_the_learning_rate_warms_up_and_falls_as_a_cosine():
    config = tiny.small_config("unused", epochs=10, optim__lr=0.5)
    config.optim.decay_epochs, config.optim.decay, config.optim.warmup_epochs = 8, "cosine", 0.5
    rate = optimizer.learning_rate(config, 20)
    np.testing.assert_allclose([float(rate(step)) for step in (0, 4, 9, 40)], [0.05, 0.25, 0.5, 0.5], rtol=1e-6)
    expected = optax.cosine_decay_schedule(0.5, 160)
    for step in (41, 120, 199, 200):
        np.testing.assert_allclose(float(rate(step)), float(expected(step - 40)), rtol=1e-5, atol=1e-7)
