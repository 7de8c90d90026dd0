"""AdaMine: an image tower and a recipe tower with a shared embedding space."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh, PartitionSpec

from adamine_jax.base.errors import UserError
from adamine_jax.distributed.mesh import by_rows
from adamine_jax.models import registry
from adamine_jax.models.base import COMMON_FIELDS, ImageTower, Parts, RecipeTower, Shared
from adamine_jax.recipes.texts import EncodedRecipe

# Rows 0 and 1 of a word table are padding and end; the last row is the unknown word.
FIRST_WORD_ROW = 2

TOWERS = ("image_tower", "recipe_tower")
"""Branches of the model's parameters. Any other trained parameters belong to the loss."""


class AdaMine(nn.Module):
    """Both towers, each followed by the head and L2 normalisation.

    Parameters: `image_tower/…` and `recipe_tower/…`. Batch statistics, if the image tower has any: `image_tower/…` in
    the collection `batch_stats`, mutable in training.

    Attributes:
        image_tower: Maps images to vectors.
        recipe_tower: Maps recipes to vectors of the same length.
        head: 'tanh', or 'linear' or 'none' for no further function.
    """

    image_tower: ImageTower
    recipe_tower: RecipeTower
    head: str = "tanh"

    def __call__(
        self, batch: Mapping[str, jax.Array], *, train: bool, use_running_average: bool | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Embeds the images and recipes of a batch.

        Args:
            batch: `image` as `embed_images` takes it, and the fields of the recipe tower.
            train: Whether BatchNorm uses and updates batch statistics.
            use_running_average: Overrides `train` for BatchNorm; None means `not train`.

        Returns:
            Images (B, D) and recipes (B, D): float32 unit rows (float64 in a float64 model).
        """
        image = self.embed_images(batch["image"], train=train, use_running_average=use_running_average)
        return image, self.embed_recipes(batch, train=train)

    def embed_images(self, images: jax.Array, *, train: bool, use_running_average: bool | None = None) -> jax.Array:
        """Embeds images as (B, D) unit rows; see `images_with_parts`."""
        return self.images_with_parts(images, train=train, use_running_average=use_running_average)["image"]

    def images_with_parts(
        self,
        images: jax.Array,
        *,
        train: bool,
        use_running_average: bool | None = None,
        keys: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        """Embeds images.

        Args:
            images: (B, S, S, 3) RGB in 0..255, uint8 or floating, or (B, F) features; see `ImageTower`.
            train: As in `__call__`.
            use_running_average: As in `__call__`.
            keys: (B,) PRNG keys, for towers with `needs_keys`.

        Returns:
            `image` (B, D) unit rows and, if the tower returns parts, `image_parts` and `image_parts_mask`.
        """
        average = not train if use_running_average is None else use_running_average
        outputs = self.image_tower(images, train=train, use_running_average=average, keys=keys)
        return self._embeddings("image", outputs)

    def image_features(self, images: jax.Array) -> jax.Array:
        """Maps images (B, S, S, 3) to the backbone's features (B, F), with the running batch statistics."""
        return self.image_tower.features(images, use_running_average=True)

    def embed_recipes(self, batch: Mapping[str, jax.Array], *, train: bool = False) -> jax.Array:
        """Embeds recipes, given as the fields of the recipe tower, as (B, D) unit rows.

        On a mesh, use the function `embed_recipes`.
        """
        return self.recipes_with_parts(batch, train=train)["recipe"]

    def recipes_with_parts(
        self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Returns `recipe` (B, D) and, if the tower returns parts, `recipe_parts` and `recipe_parts_mask`."""
        return self._embeddings("recipe", self.recipe_tower(batch, train=train, keys=keys))

    @property
    def backbone(self) -> tuple[tuple[str, str], ...]:
        """(tower, submodule) of every pretrained submodule."""
        image, recipe = (tuple(tower.backbone) for tower in (self.image_tower, self.recipe_tower))
        return (*(("image_tower", name) for name in image), *(("recipe_tower", name) for name in recipe))

    @property
    def parts(self) -> dict[str, int]:
        """Number of parts of an embedding by modality, for towers that return parts."""
        counts = {"image": self.image_tower.parts, "recipe": self.recipe_tower.parts}
        return {modality: count for modality, count in counts.items() if count}

    def _embeddings(self, name: str, outputs: jax.Array | Parts) -> dict[str, jax.Array]:
        def head(x: jax.Array) -> jax.Array:
            return _unit_rows(jnp.tanh(x) if self.head == "tanh" else x)

        if not isinstance(outputs, Parts):
            return {name: head(outputs)}
        return {name: head(outputs.whole), f"{name}_parts": head(outputs.parts), f"{name}_parts_mask": outputs.mask}


def _unit_rows(x: jax.Array) -> jax.Array:
    """Computes x / max(‖x‖₂, 1e-12). A row of zeros stays zero and has a finite gradient."""
    squared_norm = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squared_norm, 1e-24))


def embed_recipes(model: AdaMine, params: dict[str, Any], batch: Mapping[str, jax.Array], mesh: Mesh) -> jax.Array:
    """Embeds recipes on a mesh as (B, D) unit rows; see `recipes_with_parts`."""
    return recipes_with_parts(model, params, batch, mesh)["recipe"]


def recipes_with_parts(
    model: AdaMine,
    params: dict[str, Any],
    batch: Mapping[str, jax.Array],
    mesh: Mesh,
    *,
    train: bool = False,
    keys: jax.Array | None = None,
) -> dict[str, jax.Array]:
    """Embeds recipes on a mesh. Each device runs the tower on its own rows, so a tower may sort them by length.

    Args:
        model: The model.
        params: The model's parameters, replicated.
        batch: The fields of the recipe tower, their rows sharded over all devices. Other fields are ignored.
        mesh: A mesh of `make_mesh`.
        train: Whether the tower runs in training mode.
        keys: (B,) PRNG keys, for towers with `needs_keys`.

    Returns:
        The fields of `AdaMine.recipes_with_parts`, sharded like the batch.
    """
    fields = {name: field for name, field in batch.items() if name not in COMMON_FIELDS}
    fields = model.recipe_tower.global_fields(batch) | fields
    if keys is not None:
        fields["keys"] = keys

    def embed(recipe_tower: dict[str, Any], fields: dict[str, jax.Array]) -> dict[str, jax.Array]:
        rows = {name: field for name, field in fields.items() if name != "keys"}
        variables = {"params": {"recipe_tower": recipe_tower}}
        outputs: Any = model.apply(variables, rows, train=train, keys=fields.get("keys"), method="recipes_with_parts")
        return outputs

    if mesh.size == 1:  # shard_map would copy all gradients
        return embed(params["recipe_tower"], fields)
    rows = by_rows(mesh).spec
    embed = jax.shard_map(embed, mesh=mesh, in_specs=(PartitionSpec(), rows), out_specs=rows, check_vma=False)
    return embed(params["recipe_tower"], fields)


def build_model(config_model: ml_collections.ConfigDict, *, table_rows: int) -> AdaMine:
    """Builds the model that `config.model` describes. The config must have passed `config.checks.check`.

    Args:
        config_model: The section `config.model`; see `configs/adamine.py`.
        table_rows: Rows of the word tables: words of the vocabulary + 3.

    Raises:
        UserError: `dtype` is float64 and JAX does not compute in 64 bits.
    """
    config = config_model
    if config.dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise UserError("config.model.dtype = 'float64': set JAX_ENABLE_X64=1 in the environment, or use 'float32'")
    # Parameters are float32 whatever the compute dtype, except in float64, which is for tests.
    param_dtype = jnp.dtype("float64" if config.dtype == "float64" else "float32")
    dim = 0 if config.head == "none" else config.embedding_dim
    shared = Shared(dim, table_rows, config.remat, jnp.dtype(config.dtype), param_dtype)
    return AdaMine(
        registry.image_tower(config).build(config.image, shared),
        registry.recipe_tower(config).build(config.recipe, shared),
        config.head,
    )


def init_variables(
    model: AdaMine,
    rng: jax.Array,
    config_model: ml_collections.ConfigDict,
    *,
    image_size: int,
    word_vectors: np.ndarray | None = None,
) -> dict[str, Any]:
    """Draws a model's initial variables.

    Args:
        model: A model from `build_model`.
        rng: A PRNG key; the same key gives the same values.
        config_model: The section `config.model`.
        image_size: S, height and width of an image in pixels.
        word_vectors: (V, word_dim), copied to rows 2..V + 1 of every word table. Row 0 is zero. The other rows, or all
            of them if this is None, are random with expected norm 1.

    Returns:
        {'params': …, 'batch_stats': …}; see `AdaMine`. `batch_stats` is empty if the image tower has none.

    Raises:
        UserError: The shape of the word vectors does not fit the word tables.
    """
    image = jnp.zeros((1, image_size, image_size, 3), jnp.uint8)
    if not model.image_tower.reads_photos:
        image = jnp.zeros((1, type(model.image_tower).feature_dim(config_model.image)))
    batch = {"image": image, **registry.recipe_fields(config_model)([EncodedRecipe()])}
    # jit removes the computation of the embeddings, which are not used.
    variables = {"batch_stats": {}, **jax.jit(functools.partial(model.init, train=False))(rng, batch)}
    if word_vectors is None:
        return variables
    recipe_tower = dict(variables["params"]["recipe_tower"])
    for name in model.recipe_tower.word_tables:
        if name in recipe_tower:
            recipe_tower[name] = _with_word_vectors(recipe_tower[name], word_vectors)
    return {**variables, "params": {**variables["params"], "recipe_tower": recipe_tower}}


def load_weights(config_model: ml_collections.ConfigDict, variables: dict[str, Any]) -> dict[str, Any]:
    """Loads the weight files that the towers' sections name into a model's variables.

    Raises:
        UserError: A file cannot be read or contains the weights of another network.
    """
    for modality, towers in registry.TOWERS.items():
        section, name = config_model[modality], f"{modality}_tower"
        if section.get("weights"):
            own = {collection: tree[name] for collection, tree in variables.items() if name in tree}
            loaded = towers(section.name).load_weights(section, own)
            variables = {
                collection: {**tree, name: loaded[collection]} if collection in loaded else tree
                for collection, tree in variables.items()
            }
    return variables


def published_multiplicity(model: AdaMine, params: Any) -> Any:
    """Returns `Tower.published_multiplicity` of each tower's parameters, and 1 for those of the loss."""
    towers = {"image_tower": type(model.image_tower), "recipe_tower": type(model.recipe_tower)}
    return {
        name: towers[name].published_multiplicity(tree) if name in towers else jax.tree.map(lambda _: 1, tree)
        for name, tree in params.items()
    }


def _with_word_vectors(table: jax.Array, word_vectors: np.ndarray) -> jax.Array:
    rows, word_dim = table.shape
    if word_vectors.shape != (rows - 3, word_dim):
        raise UserError(
            f"the word vectors have shape {word_vectors.shape}, the word table needs ({rows - 3}, {word_dim}); "
            "set config.model.recipe.word_dim to the length of the vectors, or convert the data set again"
        )
    return table.at[FIRST_WORD_ROW : rows - 1].set(jnp.asarray(word_vectors, table.dtype))
