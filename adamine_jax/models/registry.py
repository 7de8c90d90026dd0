"""Towers by name, and their config sections."""

from collections.abc import Callable, Sequence

import ml_collections
import numpy as np

from adamine_jax.base import rules
from adamine_jax.base.errors import UserError
from adamine_jax.base.registry import Registry
from adamine_jax.models.base import ImageTower, RecipeTower
from adamine_jax.recipes.crops import Resizing
from adamine_jax.recipes.texts import EncodedRecipe

IMAGE_TOWERS = Registry(
    "image tower",
    {
        "resnet": "adamine_jax.models.image.resnet_tower:ResNetTower",
        "vit": "adamine_jax.models.image.vit_tower:VisionTransformer",
        "features": "adamine_jax.models.image.features:FeatureTower",
    },
)
"""Maps a name to an `ImageTower`; a name of the form `package.module:Name` is imported."""

RECIPE_TOWERS = Registry(
    "recipe tower",
    {
        "lstm": "adamine_jax.models.recipe.hierarchical_lstm:HierarchicalLSTM",
        "bag": "adamine_jax.models.recipe.bag:BagOfWords",
        "features": "adamine_jax.models.recipe.bag:RecipeFeatures",
        "transformer": "adamine_jax.models.recipe.transformer:HierarchicalTransformer",
        "pretrained": "adamine_jax.models.recipe.pretrained:PretrainedText",
    },
)
"""Maps a name to a `RecipeTower`, likewise."""

TOWERS = {"image": IMAGE_TOWERS, "recipe": RECIPE_TOWERS}

RULES = {
    "dtype": rules.one_of("float32", "bfloat16", "float64"),
    "remat": rules.BOOLEAN,
    "embedding_dim": rules.integer(1),
    "head": rules.one_of("tanh", "linear", "none"),
}
"""Accepted values of the fields that both towers share."""


def image_tower(config_model: ml_collections.ConfigDict) -> type[ImageTower]:
    """Returns the class of the image tower that `config.model` names."""
    return IMAGE_TOWERS(config_model.image.name)


def recipe_tower(config_model: ml_collections.ConfigDict) -> type[RecipeTower]:
    """Returns the class of the recipe tower that `config.model` names."""
    return RECIPE_TOWERS(config_model.recipe.name)


def section(modality: str, name: str) -> ml_collections.ConfigDict:
    """Returns the config section of a tower, its name and its defaults; `modality` is 'image' or 'recipe'."""
    fields = ml_collections.ConfigDict({"name": name})
    fields.update(TOWERS[modality](name).defaults())
    return fields


def check(config: ml_collections.ConfigDict) -> None:
    """Checks `config.model`.

    Raises:
        UserError: A field is invalid or contradicts another.
    """
    rules.check(config.model, RULES, "model")
    for modality, towers in TOWERS.items():
        tower, fields = towers(config.model[modality].name), config.model[modality]
        rules.check(fields, tower.rules, f"model.{modality}")
        tower.check(fields, config)
        if config.model.head == "none" and not tower.ends_alone:
            raise UserError(
                f"config.model.head = 'none': the tower {fields.name!r} has no output of its own; use 'linear'"
            )


def resizing(config_model: ml_collections.ConfigDict) -> Resizing:
    """Returns how photos are resized for the image tower that `config.model` names."""
    return image_tower(config_model).resizing(config_model.image)


def recipe_fields(
    config_model: ml_collections.ConfigDict,
) -> Callable[[Sequence[EncodedRecipe]], dict[str, np.ndarray]]:
    """Returns the function that makes the batch fields of the recipe tower that `config.model` names."""
    tower = recipe_tower(config_model)
    return lambda recipes: tower.make_batch(config_model.recipe, recipes)
