"""The loss is a function of the global batch: its gradient must not know how many devices there are."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.devices import make_mesh
from adamine_jax.losses import total_loss
from configs import adamine


def gradients(image, recipe, class_id, match, count):
    mesh = make_mesh(jax.devices()[:count])
    sharded = NamedSharding(mesh, PartitionSpec("data"))
    arrays = [jax.device_put(array, sharded) for array in (image, recipe, class_id, match)]

    @jax.jit
    def loss_and_gradients(*arrays):
        def loss(image, recipe):
            return total_loss(adamine.get_config().loss, image, recipe, *arrays[2:])[0]

        return jax.value_and_grad(loss, argnums=(0, 1))(*arrays[:2])

    return jax.device_get(loss_and_gradients(*arrays))


@pytest.mark.parametrize("seed", range(3))
def test_one_device_and_eight_give_the_same_gradients(seed):
    rng = np.random.default_rng(seed)
    image, recipe = rng.normal(size=(2, 64, 32)).astype(np.float32)
    recipe += 2 * image
    class_id = rng.integers(0, 6, 64).astype(np.int32)
    match = np.where(rng.random(64) < 0.9, 1.0, -1.0).astype(np.float32)

    loss, one = gradients(image, recipe, class_id, match, 1)
    loss_of_eight, eight = gradients(image, recipe, class_id, match, 8)
    assert loss > 0
    np.testing.assert_allclose(loss, loss_of_eight, rtol=1e-6)
    for side, other in zip(one, eight, strict=True):
        assert np.abs(side - other).max() / np.abs(side).max() <= 1e-5
