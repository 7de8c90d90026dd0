"""A batch that is embedded in parts has the loss and the gradients of the whole batch."""

import jax
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.config import set_loss, set_tower
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import tiny


def config_for(tiny_data, recipe, **fields):
    """Towers with dropout, and without BatchNorm, whose statistics are those of a part."""
    config = tiny.small_config(tiny_data, epochs=1, unfreeze_epoch=0, train__log_every_steps=1, **fields)
    set_tower(config, "image", "vit")
    config.model.image.update({"depth": 2, "width": 16, "heads": 2, "mlp": 32, "patch": 16})
    if recipe == "bag":
        set_tower(config, "recipe", "bag")
        config.model.recipe.dropout = 0.3
    config.model.dtype = "float64"
    return config


def results(config, directory, devices):
    train(config, directory, make_mesh(jax.devices()[:devices]))
    lines = [line for line in read_metrics(directory / "metrics.jsonl") if line["split"] == "train"]
    names = [name for name in lines[0] if "seconds" not in name and "memory" not in name and name != "split"]
    return [[line[name] for name in names] for line in lines], workdir.load(directory, "last").variables


@pytest.mark.parametrize(
    ("recipe", "loss", "devices"),
    [
        pytest.param("lstm", "adamine", 2, marks=pytest.mark.slow),
        ("bag", "infonce", 1),
        pytest.param("bag", "infonce", 4, marks=pytest.mark.slow),
    ],
)
def test_all_steps_are_those_of_whole_batches(recipe, loss, devices, tiny_data, tmp_path):
    with jax.enable_x64(True):
        found = []
        for parts in (1, 2):
            config = config_for(tiny_data, recipe, accumulate=parts)
            if loss != "adamine":
                set_loss(config, loss)
            found.append(results(config, tmp_path / str(parts), devices))
        (whole, trained), (in_parts, also_trained) = found
        assert len(whole) == 6
        np.testing.assert_allclose(in_parts, whole, rtol=1e-10)
        for one, other in zip(jax.tree.leaves(also_trained), jax.tree.leaves(trained), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10)


def test_batch_statistics_are_those_of_the_parts(tiny_data, tmp_path):
    config = tiny.small_config(tiny_data, epochs=1, unfreeze_epoch=0, accumulate=2)
    lines, _ = results(config, tmp_path / "run", 1)
    assert np.isfinite(lines).all()


def test_parts_that_do_not_divide_the_batch_are_refused(tiny_data, tmp_path):
    config = tiny.small_config(tiny_data, accumulate=3)
    message = r"batch_size = 8: not divisible by the 2 devices times config\.accumulate = 3; use 6 or 12"
    with pytest.raises(UserError, match=message):
        train(config, tmp_path / "run", make_mesh(jax.devices()[:2]))
