"""Training with a state sharded over devices is training with a state that each device has whole."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from adamine_jax.base.errors import UserError
from adamine_jax.distributed import mesh as meshes
from adamine_jax.distributed.mesh import by_rows, make_mesh, state_shardings
from adamine_jax.losses import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.runs import workdir
from adamine_jax.train import train
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from tests import tiny
from tests.test_state import ROWS, batch


@pytest.fixture(autouse=True)
def sharded_if_small(monkeypatch):
    monkeypatch.setattr(meshes, "SMALLEST_SHARDED", 32)


def losses_of(fsdp, steps):
    """Trains in float64 on eight devices; returns the losses, and the final state."""
    with jax.enable_x64(True):
        config = tiny.small_config("unused", model__dtype="float64")
        mesh, model, loss = (
            make_mesh(fsdp=fsdp),
            build_model(config.model, table_rows=ROWS),
            registry.build(config.loss),
        )
        variables = init_variables(model, jax.random.key(0), config.model, image_size=32)
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        state = create_state(model, loss, variables, mesh)
        step = make_train_step(model, loss, config, mesh, steps)
        losses, total = [], 0.0
        for number in range(steps):
            state = step(state, jax.device_put(batch(number % 3), by_rows(mesh)), frozen=False)
            losses.append(float(state.sums["loss"]) - total)
            total += losses[-1]
        return losses, state


@pytest.fixture(scope="module")
def whole():
    losses, state = losses_of(1, 20)
    return losses, jax.device_get(state)


@pytest.mark.parametrize("fsdp", [2, pytest.param(4, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)])
def test_twenty_steps_give_the_same_losses_and_parameters(fsdp, whole):
    losses, state = losses_of(fsdp, 20)
    np.testing.assert_allclose(losses, whole[0], rtol=0, atol=1e-9)
    for ours, expected in zip(jax.tree.leaves(jax.device_get(state)), jax.tree.leaves(whole[1]), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-7)  # Adam divides by the size of small gradients
    own = sum(shard.data.nbytes for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards[:1])
    assert own < 1.5 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / fsdp


def test_the_longest_axis_that_can_be_is_sharded():
    tree = {
        "matrix": jax.ShapeDtypeStruct((12, 40), np.float32),
        "odd": jax.ShapeDtypeStruct((44, 41), np.float32),
        "small": jax.ShapeDtypeStruct((16,), np.float32),
        "prime": jax.ShapeDtypeStruct((53, 3), np.float32),
    }
    specs = {name: sharding.spec for name, sharding in state_shardings(tree, make_mesh(fsdp=4)).items()}
    assert specs == {
        "matrix": PartitionSpec(None, "fsdp"),
        "odd": PartitionSpec("fsdp"),
        "small": PartitionSpec(),
        "prime": PartitionSpec(),
    }


def test_a_mesh_of_one_axis_has_whole_states():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    shardings = state_shardings({"matrix": jax.ShapeDtypeStruct((512, 64), np.float32)}, mesh)
    assert shardings["matrix"].is_fully_replicated
    assert by_rows(mesh).spec == PartitionSpec(("data",))


def trained(config, directory, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    train(config, directory)
    return jax.device_get(workdir.load(directory, "last").variables)


@pytest.mark.slow
def test_a_run_resumes_on_the_same_and_on_another_mesh(tiny_data, tmp_path):
    config = tiny.small_config(str(tiny_data), mesh__fsdp=4)
    expected = trained(config, tmp_path / "whole")
    for directory, fsdp, rtol in (("same", 4, 0), ("another", 2, 1e-3)):
        trained(config, tmp_path / directory, epochs=1)
        ours = trained(config, tmp_path / directory, mesh__fsdp=fsdp)
        jax.tree.map(lambda a, b, rtol=rtol: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), ours, expected)


def test_devices_that_cannot_be_divided_are_refused():
    with pytest.raises(UserError, match=r"fsdp = 3: does not divide the number of devices, 8; use 1, 2, 4, 8"):
        make_mesh(fsdp=3)
