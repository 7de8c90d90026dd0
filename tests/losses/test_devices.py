"""The loss and its gradient do not depend on the number of devices or processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.losses import total_loss
from tests import xla
from tests.losses import loss_config

LOSSES = {
    "adamine": {},
    "in blocks": {"block": 16},
    "three hardest, in blocks": {"num_negatives": 3, "block": 16},
    "random": {"num_negatives": 3, "sampling": "random"},
    "all positives": {"semantic_positives": "all", "semantic_negatives": "all"},
    "lifted": {"strategies": ("LIFT",), "weights": (1.0,)},
    "pairwise_plus": {"name": "pairwise_plus"},
    "infonce": {"name": "infonce", "temperature": 0.5, "exclude": "class", "label_smoothing": 0.1},
    "infonce, in blocks": {"name": "infonce", "temperature": 0.5, "block": 16},
    "circle, in blocks": {"name": "circle", "block": 16},
}
IN_TWO_PROCESSES = ("adamine", "in blocks", "three hardest, in blocks", "infonce, in blocks")


def batch():
    rng = np.random.default_rng(0)
    image, recipe = rng.normal(size=(2, 64, 32)).astype(np.float32)
    recipe += 2 * image
    class_id = rng.integers(0, 6, 64).astype(np.int32)
    match = np.where(rng.random(64) < 0.9, 1.0, -1.0).astype(np.float32)
    return image, recipe, class_id, match


def loss_and_gradients(arrays, mesh, fields):
    """Returns the loss and gradients of a sharded batch, replicated over the mesh."""
    config = loss_config(**fields)

    def loss(image, recipe, class_id, match):
        return total_loss(config, image, recipe, class_id, match, key=jax.random.key(0))[0]

    replicated = NamedSharding(mesh, PartitionSpec())
    compute = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), out_shardings=replicated)
    return jax.device_get(compute(*arrays))


def on_devices(count, fields):
    mesh = make_mesh(jax.devices()[:count])
    sharded = NamedSharding(mesh, PartitionSpec("data"))
    return loss_and_gradients([jax.device_put(array, sharded) for array in batch()], mesh, fields)


def assert_same(one, other):
    assert one[0] > 0
    np.testing.assert_allclose(one[0], other[0], rtol=1e-6)
    for side, other_side in zip(one[1], other[1], strict=True):
        assert np.abs(side - other_side).max() / np.abs(side).max() <= 1e-5


@pytest.mark.parametrize("name", LOSSES)
def test_one_and_eight_devices_compute_the_same_gradients(name):
    assert_same(on_devices(1, LOSSES[name]), on_devices(8, LOSSES[name]))


PROCESS = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
address, process, out = sys.argv[1:]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(address, num_processes=2, process_id=int(process))
assert (jax.process_count(), len(jax.local_devices()), len(jax.devices())) == (2, 2, 4)
from adamine_jax.distributed.mesh import local_rows, make_mesh
from tests.losses.test_devices import IN_TWO_PROCESSES, LOSSES, batch, loss_and_gradients
mesh = make_mesh()
sharded = NamedSharding(mesh, PartitionSpec("data"))
found = {}
for name in IN_TWO_PROCESSES:
    arrays = [jax.make_array_from_process_local_data(sharded, array[local_rows(64)]) for array in batch()]
    loss, (image, recipe) = loss_and_gradients(arrays, mesh, LOSSES[name])
    found |= {f"{name}/loss": loss, f"{name}/image": image, f"{name}/recipe": recipe}
np.savez(out, **found)
"""


@pytest.mark.slow  # `make test` has a run in two processes, in tests/test_processes.py
def test_two_processes_with_two_devices_each_compute_the_gradients_of_one_device(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, address, str(number), str(tmp_path / f"{number}.npz")],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": xla.flags(2)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    for number in range(2):
        found = np.load(tmp_path / f"{number}.npz")
        for name in IN_TWO_PROCESSES:
            other = found[f"{name}/loss"], (found[f"{name}/image"], found[f"{name}/recipe"])
            assert_same(on_devices(1, LOSSES[name]), other)
