"""Forty training steps against the same steps in PyTorch, stored in `tests/golden/trajectory.npz`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.losses import registry
from adamine_jax.models.adamine import build_model
from adamine_jax.models.image import torchvision
from adamine_jax.training.state import create_state, zero_sums
from adamine_jax.training.step import make_train_step
from configs import adamine
from tests.golden import make_trajectory


# In float32, rounding alone makes the second case diverge: PyTorch's two precisions differ by 1e-2.
@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [
        ("resnet18", "float64", 1e-6),
        pytest.param("resnet50", "float64", 1e-6, marks=pytest.mark.slow),
        pytest.param("resnet18", "float32", 1e-3, marks=pytest.mark.slow),
    ],
)
def test_losses_and_gradient_norms_are_pytorchs_at_every_step(name, dtype, tolerance):
    case, golden = make_trajectory.CASES[name], np.load(make_trajectory.GOLDEN)
    golden = {key.removeprefix(f"{name}/"): golden[key] for key in golden if key.startswith(f"{name}/")}
    weights, batches = make_trajectory.random_weights(case), make_trajectory.random_batches(case)
    digest = make_trajectory.digest(weights, batches)
    assert digest == pytest.approx(golden["digest"], rel=1e-9), "NumPy draws something else now"
    is_clipped = golden["grad_norm"] > case.clip_norm
    assert np.mean(is_clipped) > 0.9

    losses, norms, state = trajectory(case, weights, batches, dtype)
    np.testing.assert_allclose(losses, golden["loss"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(norms, golden["grad_norm"], rtol=10 * tolerance)
    expected = {key: golden[f"final/{key}"] for key in make_trajectory.FINAL}
    expected["words.bias"] = expected.pop("words.bias_ih_l0") + expected.pop("words.bias_hh_l0")
    final = final_arrays(state)
    assert set(final) == set(expected)
    for key, array in final.items():
        np.testing.assert_allclose(array, expected[key], rtol=0, atol=tolerance, err_msg=key)


def trajectory(case, weights, batches, dtype):
    """Trains a model; returns the loss and the gradient norm of every step, and the final state."""
    with jax.enable_x64(dtype == "float64"):
        config, mesh = config_of(case, dtype), make_mesh(jax.devices()[:1])
        variables = jax.tree.map(lambda array: np.asarray(array, dtype), variables_of(weights))
        model, loss = build_model(config.model, table_rows=case.table_rows), registry.build(config.loss)
        state = create_state(model, loss, variables, mesh)
        step = make_train_step(model, loss, config, mesh, case.steps)
        losses, norms = [], []
        for number, batch in enumerate(batches):
            state = dataclasses.replace(state, sums=zero_sums(model, loss, state.params, mesh))
            state = step(state, jax.tree.map(jnp.asarray, batch), frozen=number < case.frozen_steps)
            losses.append(float(state.sums["loss"]))
            norms.append(float(state.sums["grad_norm"]))
        assert int(state.step) == case.steps
        assert int(state.skipped) == 0
        return losses, norms, jax.device_get(state)


def config_of(case, dtype):
    config = adamine.get_config()
    config.update_from_flattened_dict(
        {
            "model.dtype": dtype,
            "model.image.depth": case.depth,
            "model.image.width": case.width,
            "model.embedding_dim": case.embedding_dim,
            "model.recipe.max_words": case.max_words,
            "model.recipe.word_dim": case.word_dim,
            "model.recipe.ingredient_hidden": case.hidden,
            "model.recipe.sentence_hidden": case.hidden,
            "model.recipe.instruction_hidden": case.hidden,
            "optim.lr": case.learning_rate,
            "optim.clip_norm": case.clip_norm,
        }
    )
    return config


LSTMS = {
    ("ingredient_lstm", "forward"): "ingredients.{}_l0",
    ("ingredient_lstm", "backward"): "ingredients.{}_l0_reverse",
    ("sentence_lstm",): "words.{}_l0",
    ("instruction_lstm",): "sentences.{}_l0",
}
"""LSTMs by path in the recipe tower, and the names of PyTorch's arrays."""


def variables_of(weights):
    """Converts PyTorch's arrays to variables."""
    resnet = {name.removeprefix("resnet."): array for name, array in weights.items() if name.startswith("resnet.")}
    resnet = torchvision.from_state_dict(resnet).variables
    recipe_tower = {"table": weights["table"], "fc": linear(weights, "recipe_fc")}
    for path, name in LSTMS.items():
        for leaf, array in lstm(weights, name).items():
            torchvision.put_leaf(recipe_tower, (*path, leaf), array)
    image_tower = {"resnet": resnet["params"], "fc": linear(weights, "image_fc")}
    return {
        "params": {"image_tower": image_tower, "recipe_tower": recipe_tower},
        "batch_stats": {"image_tower": {"resnet": resnet["batch_stats"]}},
    }


def linear(weights, name):
    return {"kernel": weights[f"{name}.weight"].T, "bias": weights[f"{name}.bias"]}


def lstm(weights, name):
    biases = [weights[name.format(bias)].astype(np.float64) for bias in ("bias_ih", "bias_hh")]
    return {
        "input_kernel": weights[name.format("weight_ih")].T,
        "recurrent_kernel": weights[name.format("weight_hh")].T,
        "bias": sum(biases),
    }


def final_arrays(state):
    """Returns the arrays of `make_trajectory.FINAL` in PyTorch's layout, with two biases replaced by their sum."""
    image_tower, recipe_tower = state.params["image_tower"], state.params["recipe_tower"]
    resnet, stats = image_tower["resnet"], state.batch_stats["image_tower"]["resnet"]
    return {
        "resnet.conv1.weight": resnet["conv1"]["kernel"].transpose(3, 2, 0, 1),
        "resnet.bn1.running_mean": stats["bn1"]["mean"],
        "resnet.layer4.1.bn2.bias": resnet["layer4_1"]["bn2"]["bias"],
        "resnet.layer4.1.bn2.running_mean": stats["layer4_1"]["bn2"]["mean"],
        "image_fc.bias": image_tower["fc"]["bias"],
        "table": recipe_tower["table"],
        "words.bias": recipe_tower["sentence_lstm"]["bias"],
        "ingredients.weight_hh_l0_reverse": recipe_tower["ingredient_lstm"]["backward"]["recurrent_kernel"].T,
        "recipe_fc.bias": recipe_tower["fc"]["bias"],
    }
