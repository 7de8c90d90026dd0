"""Compares the formulas for the communication and computation of a step with programs compiled for several devices."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax import losses
from adamine_jax.config import set_tower
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.losses import blocks, registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.training.optimizer import split_groups
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks import scaling
from benchmarks.hlo_costs import CompiledProgram
from configs import adamine
from tests import tiny

ROWS = len(tiny.WORDS) + 3


def shapes(mesh, size, **fields):
    """Returns global arrays sharded over their rows, given (shape of a row, dtype) by name."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return {
        name: jax.ShapeDtypeStruct((size, *shape), dtype, sharding=sharding) for name, (shape, dtype) in fields.items()
    }


def compiled_loss(devices, size, dim):
    """Compiles the loss and both gradients, sharded like the embeddings."""
    mesh = make_mesh(jax.devices()[:devices])
    sharded, replicated = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("data",), ()))

    def loss(image, recipe, class_id, image_class_id, match):
        config = adamine.get_config().loss
        return losses.total_loss(config, image, recipe, class_id, match, image_class_id=image_class_id)[0]

    compute = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), out_shardings=(replicated, (sharded, sharded)))
    embeddings, numbers = ((dim,), jnp.float32), ((), jnp.int32)
    arrays = shapes(mesh, size, image=embeddings, recipe=embeddings, class_id=numbers, other=numbers, match=numbers)
    return compute.lower(*arrays.values()).compile()


def compiled_step(devices, size, dim, frozen, **fields):
    """Returns a compiled training step, its number of trained parameters and of BatchNorm channels."""
    features = fields.pop("features", 0)
    config = tiny.small_config("unused", model__embedding_dim=dim, **fields)
    if features:
        set_tower(config, "image", "features")
        config.model.image.feature_dim = features
    mesh = make_mesh(jax.devices()[:devices])
    model, loss = build_model(config.model, table_rows=ROWS), registry.build(config.loss)

    def create():
        variables = init_variables(model, jax.random.key(0), config.model, image_size=32)
        return create_state(model, loss, variables, mesh)

    replicated = NamedSharding(mesh, PartitionSpec())
    state = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated), jax.eval_shape(create)
    )
    numbers = ((), jnp.int32)
    batch = shapes(
        mesh,
        size,
        image=((features,), jnp.float32) if features else ((32, 32, 3), jnp.uint8),
        ingredients=((20,), jnp.int32),
        words=((20, 6), jnp.int32),
        num_sentences=numbers,
        class_id=numbers,
        image_class_id=numbers,
        match=numbers,
    )
    step = make_train_step(model, loss, config, mesh, 10)
    trained = split_groups(state.params, model)["new"] if frozen else state.params
    params, channels = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (trained, state.batch_stats))
    return step.lower(state, batch, frozen=frozen).compile(), params, channels // 2


def sent(compiled):
    """Returns the (gathered, reduced, other) bytes."""
    costs = CompiledProgram(compiled.as_text()).costs()
    by_kind = {kind: costs.sent(kind) for kind in {each.kind for each in costs.collectives}}
    return by_kind.pop("all-gather", 0), by_kind.pop("all-reduce", 0), sum(by_kind.values())


@pytest.mark.parametrize(("devices", "size", "dim"), [(8, 64, 24), (4, 96, 40)])
def test_communication_of_a_step_on_features(devices, size, dim):
    """There is no BatchNorm, and all parameters are trained."""
    fields = {"features": 12, "model__recipe__instructions": "none"}
    compiled, params, channels = compiled_step(devices, size, dim, False, **fields)
    gathered, reduced, other = sent(compiled)
    assert channels == 0
    assert gathered == scaling.gathered_bytes(size, dim)
    assert reduced == scaling.reduced_bytes(size, dim, params, 0)
    assert other == 8


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("depth", "dtype"), [(18, "float32"), (50, "bfloat16")])
def test_communication_of_a_step_on_images(depth, dtype, frozen):
    fields = {"model__image__depth": depth, "model__dtype": dtype}
    compiled, params, channels = compiled_step(8, 64, 24, frozen, **fields)
    gathered, reduced, other = sent(compiled)
    assert channels > 100
    assert gathered == scaling.gathered_bytes(64, 24)
    assert reduced == scaling.reduced_bytes(64, 24, params, channels, frozen)
    assert other == 8


@pytest.mark.parametrize("kept", [True, False])
def test_communication_in_blocks(monkeypatch, kept):
    """The blocks form a loop, in which the similarities are kept or recomputed."""
    for module in (blocks, scaling):
        monkeypatch.setattr(module, "LARGEST_KEPT", 128 if kept else 100)
    monkeypatch.setattr(blocks, "KEPT_BLOCK", 128 * 32)
    monkeypatch.setattr(blocks, "RECOMPUTED_BLOCK", 32)
    compiled = compiled_loss(8, 128, 24)
    found = CompiledProgram(compiled.as_text()).costs().collectives
    assert {each.times for each in found} == {1, 4}
    gathered, reduced, _ = sent(compiled)
    assert gathered == scaling.gathered_bytes(128, 24)
    reductions = [each for each in found if each.kind == "all-reduce" and each.shape[-1:] == (24,)]
    matrices = sum(each.bytes * each.times for each in reductions)
    assert matrices == 3 * 4 * 128 * 24
    assert reduced - matrices <= 4 * (10 * 128 + 18)


def test_the_products_of_the_loss_are_divided_among_the_devices():
    """Comparisons and sums, which are counted too, are few compared with the products of long embeddings."""
    size, dim = 512, 256
    for devices in (1, 8):
        flops = compiled_loss(devices, size, dim).cost_analysis()["flops"]
        assert scaling.loss_flops(size, dim) / devices == pytest.approx(flops, rel=0.1)


def test_a_prediction_calculated_by_hand():
    machine = scaling.Machine("hypothetical", 4, peak=2e11, utilisation=0.5, loss_peak=1e11, bandwidth=2e9)
    params, channels, flops = scaling.paper_model()
    seconds = scaling.step_seconds(machine, 100, dim=1000)
    assert seconds["towers"] == pytest.approx(25 * flops["full"] / 1e11)
    assert seconds["loss"] == pytest.approx(6 * 100**2 * 1000 / 4 / 5e10)
    numbers = sum(params.values()) + 3 * channels
    assert seconds["gradients"] == pytest.approx(2 * 0.75 * 4 * numbers / 1e9)
    pairs = 4 * (4 * 100_000 + 2200) + 2 * 4 * (3 * 100_000 + 1000 + 18)
    assert seconds["embeddings"] == pytest.approx(0.75 * pairs / 1e9)


@pytest.mark.parametrize("phase", ["full", "frozen", "cached"])
@pytest.mark.parametrize("machine", scaling.MACHINES, ids=lambda machine: machine.name)
def test_the_share_is_reached_at_the_limits(machine, phase):
    batch, devices = scaling.limits(machine, phase)
    tower = scaling.paper_model()[2][phase] * batch / machine.peak / machine.utilisation
    loss = scaling.loss_flops(round(batch), 1024) / machine.loss_peak / scaling.LOSS_USED
    assert loss / (loss + tower) == pytest.approx(scaling.NEGLIGIBLE, rel=1e-3)
    sending = scaling.step_seconds(machine, 1000)["embeddings"] * machine.devices / (machine.devices - 1)
    tower = tower / batch * 1000
    assert sending * (devices - 1) == pytest.approx(tower * 0.05 / 0.95, rel=1e-2)


def test_the_documentation_contains_the_tables():
    """The first block is a sentence, which may have line breaks anywhere."""
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    sentence, *tables = scaling.tables()
    assert sentence in " ".join(page.split())
    for table in tables:
        assert table in page
