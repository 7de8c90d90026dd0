"""Models of the presets."""

import jax
import pytest

from adamine_jax.models.adamine import build_model, init_variables
from configs import adamine


def test_the_paper_model_has_the_papers_shapes():
    config = adamine.get_config()
    model = build_model(config.model, table_rows=30_167 + 3)
    variables = jax.eval_shape(
        lambda: init_variables(model, jax.random.key(0), config.model, image_size=config.data.image_size)
    )
    params = variables["params"]
    assert params["image_tower"]["fc"]["kernel"].shape == (2048, 1024)
    assert params["recipe_tower"]["fc"]["kernel"].shape == (600 + 1024, 1024)
    assert params["recipe_tower"]["table"].shape == (30_170, 300)
    resnet = sum(leaf.size for leaf in jax.tree.leaves(params["image_tower"]["resnet"]))
    assert resnet == 44_549_160 - 2048 * 1000 - 1000  # torchvision's count, without its classifier
    assert (config.batch_size, config.epochs, config.unfreeze_epoch, config.optim.lr) == (100, 80, 20, 1e-4)


@pytest.mark.parametrize(("part", "columns"), [("ingredients", 1024), ("instructions", 600)])
def test_the_recipe_tower_may_read_one_part_only(part, columns):
    config = adamine.get_config()
    with config.ignore_type():
        config.model.recipe[part] = {"ingredients": False, "instructions": "none"}[part]
    model = build_model(config.model, table_rows=100)
    variables = jax.eval_shape(lambda: init_variables(model, jax.random.key(0), config.model, image_size=224))
    assert variables["params"]["recipe_tower"]["fc"]["kernel"].shape == (columns, 1024)
