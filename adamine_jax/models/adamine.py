"""AdaMine: an image tower and a recipe tower that end in one embedding space."""

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
from adamine_jax.models import registry
from adamine_jax.models.base import COMMON_FIELDS, ImageTower, Parts, RecipeTower, Shared
from adamine_jax.recipes.texts import EncodedRecipe

# A word table begins with padding and end, and closes with the unknown word.
FIRST_WORD_ROW = 2

TOWERS = ("image_tower", "recipe_tower")
"""The parameters of a model; whatever else is trained belongs to the loss."""


class AdaMine(nn.Module):
    """Both towers, each closed by tanh and L2 normalisation.

    Parameters: `image_tower/…` and `recipe_tower/…`. Batch statistics, where the image tower has any:
    `image_tower/…` in the collection `batch_stats`, mutable in training.

    Attributes:
        image_tower: Photos to vectors.
        recipe_tower: Recipes to vectors of the same length.
    """

    image_tower: ImageTower
    recipe_tower: RecipeTower

    def __call__(
        self, batch: Mapping[str, jax.Array], *, train: bool, use_running_average: bool | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Embeds matched photos and recipes.

        Args:
            batch: `image` as `embed_images` takes it, and the fields of the recipe tower.
            train: Whether BatchNorm uses (and updates) batch statistics.
            use_running_average: Overrules that for BatchNorm alone; None means `not train`.

        Returns:
            Photos (B, D) and recipes (B, D): float32 unit rows (float64 in a float64 model).
        """
        image = self.embed_images(batch["image"], train=train, use_running_average=use_running_average)
        return image, self.embed_recipes(batch, train=train)

    def embed_images(self, images: jax.Array, *, train: bool, use_running_average: bool | None = None) -> jax.Array:
        """Embeds photos as (B, D) unit rows; see `images_with_parts`."""
        return self.images_with_parts(images, train=train, use_running_average=use_running_average)["image"]

    def images_with_parts(
        self,
        images: jax.Array,
        *,
        train: bool,
        use_running_average: bool | None = None,
        keys: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        """Embeds photos.

        Args:
            images: (B, S, S, 3) RGB, uint8 or floating, of values 0..255, or (B, F) features; see `ImageTower`.
            train: As in `__call__`.
            use_running_average: As in `__call__`.
            keys: (B,) PRNG keys, for towers that need them.

        Returns:
            `image` (B, D) unit rows and, where the tower gives parts, `image_parts` and `image_parts_mask`.
        """
        average = not train if use_running_average is None else use_running_average
        outputs = self.image_tower(images, train=train, use_running_average=average, keys=keys)
        return _closed("image", outputs)

    def image_features(self, images: jax.Array) -> jax.Array:
        """Maps photos (B, S, S, 3) to the backbone's features (B, F), with the stored batch statistics."""
        return self.image_tower.features(images, use_running_average=True)

    def embed_recipes(self, batch: Mapping[str, jax.Array], *, train: bool = False) -> jax.Array:
        """Embeds recipes, given as the recipe tower takes them, as (B, D) unit rows.

        Over a mesh, see the function `embed_recipes`.
        """
        return self.recipes_with_parts(batch, train=train)["recipe"]

    def recipes_with_parts(
        self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """As `images_with_parts`: `recipe` (B, D), and `recipe_parts` and `recipe_parts_mask` where there are any."""
        return _closed("recipe", self.recipe_tower(batch, train=train, keys=keys))

    @property
    def backbone(self) -> tuple[tuple[str, str], ...]:
        """(tower, submodule) of everything that is pretrained."""
        image, recipe = (tuple(tower.backbone) for tower in (self.image_tower, self.recipe_tower))
        return (*(("image_tower", name) for name in image), *(("recipe_tower", name) for name in recipe))

    @property
    def parts(self) -> dict[str, int]:
        """How many parts an embedding of a side has, of those that have some."""
        counts = {"image": self.image_tower.parts, "recipe": self.recipe_tower.parts}
        return {side: count for side, count in counts.items() if count}


def _closed(side: str, outputs: jax.Array | Parts) -> dict[str, jax.Array]:
    if not isinstance(outputs, Parts):
        return {side: _head(outputs)}
    return {side: _head(outputs.whole), f"{side}_parts": _head(outputs.parts), f"{side}_parts_mask": outputs.mask}


def _head(x: jax.Array) -> jax.Array:
    """tanh, then x / max(‖x‖₂, 1e-12): a row of zeros stays one and has a finite gradient."""
    x = jnp.tanh(x)
    squared_norm = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squared_norm, 1e-24))


def embed_recipes(model: AdaMine, params: dict[str, Any], batch: Mapping[str, jax.Array], mesh: Mesh) -> jax.Array:
    """Embeds recipes over a mesh as (B, D) unit rows; see `recipes_with_parts`."""
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
    """Embeds recipes over a mesh, each device its own rows: a tower may sort them by length, and stop at its longest.

    Args:
        model: Both towers.
        params: Its parameters, replicated.
        batch: As the recipe tower takes it, sharded over 'data'; fields that it does not read may be there.
        mesh: With the axis 'data'.
        train: Whether the tower is trained.
        keys: (B,) PRNG keys, for towers that need them.

    Returns:
        As `AdaMine.recipes_with_parts`, sharded over 'data'.
    """
    fields = {name: field for name, field in batch.items() if name not in COMMON_FIELDS}
    fields |= model.recipe_tower.global_fields(batch)
    if keys is not None:
        fields["keys"] = keys

    def embed(recipe_tower: dict[str, Any], fields: dict[str, jax.Array]) -> dict[str, jax.Array]:
        rows = {name: field for name, field in fields.items() if name != "keys"}
        variables = {"params": {"recipe_tower": recipe_tower}}
        outputs: Any = model.apply(variables, rows, train=train, keys=fields.get("keys"), method="recipes_with_parts")
        return outputs

    if mesh.size == 1:  # there shard_map would copy all gradients
        return embed(params["recipe_tower"], fields)
    rows = PartitionSpec("data")
    embed = jax.shard_map(embed, mesh=mesh, in_specs=(PartitionSpec(), rows), out_specs=rows, check_vma=False)
    return embed(params["recipe_tower"], fields)


def build_model(config_model: ml_collections.ConfigDict, *, table_rows: int) -> AdaMine:
    """Builds the model that `config.model` describes; `config.checks.check` has checked it.

    Args:
        config_model: The configuration's `model` section (see `configs/adamine.py`).
        table_rows: Rows of the word tables, words + 3.

    Raises:
        UserError: `dtype` needs a JAX that computes in 64 bits.
    """
    config = config_model
    if config.dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise UserError("config.model.dtype = 'float64': needs JAX_ENABLE_X64=1 in the environment; or take 'float32'")
    # Parameters are float32; in float64, which is for tests, everything is.
    param_dtype = jnp.dtype("float64" if config.dtype == "float64" else "float32")
    shared = Shared(config.embedding_dim, table_rows, config.remat, jnp.dtype(config.dtype), param_dtype)
    return AdaMine(
        registry.image_tower(config).build(config.image, shared),
        registry.recipe_tower(config).build(config.recipe, shared),
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
        model: From `build_model`.
        rng: A PRNG key; the same key gives the same values.
        config_model: The configuration's `model` section.
        image_size: S, the side of a photo.
        word_vectors: (V, word_dim), put into rows 2..V + 1 of every word table. Row 0 is zero; rows 1 and V + 2, and
            all of them where this is None, are random of expected norm one.

    Returns:
        {'params': …, 'batch_stats': …}, see `AdaMine`; no statistics where the image tower has none.

    Raises:
        UserError: The word vectors do not fit the tables.
    """
    image = jnp.zeros((1, image_size, image_size, 3), jnp.uint8)
    if not model.image_tower.reads_photos:
        image = jnp.zeros((1, type(model.image_tower).feature_dim(config_model.image)))
    batch = {"image": image, **registry.recipe_fields(config_model)([EncodedRecipe()])}
    # Under jit the embeddings, which nobody asked for, are never computed.
    variables = {"batch_stats": {}, **jax.jit(functools.partial(model.init, train=False))(rng, batch)}
    if word_vectors is None:
        return variables
    recipe_tower = dict(variables["params"]["recipe_tower"])
    for name in model.recipe_tower.word_tables:
        if name in recipe_tower:
            recipe_tower[name] = _with_word_vectors(recipe_tower[name], word_vectors)
    return {**variables, "params": {**variables["params"], "recipe_tower": recipe_tower}}


def load_weights(config_model: ml_collections.ConfigDict, variables: dict[str, Any]) -> dict[str, Any]:
    """Puts the weights of the files that the towers' sections name into a model's variables.

    Raises:
        UserError: A file cannot be read, or holds the weights of another network.
    """
    for side, towers in registry.TOWERS.items():
        section, name = config_model[side], f"{side}_tower"
        if section.get("weights"):
            own = {collection: tree[name] for collection, tree in variables.items() if name in tree}
            loaded = towers(section.name).load_weights(section, own)
            variables = {
                collection: {**tree, name: loaded[collection]} if collection in loaded else tree
                for collection, tree in variables.items()
            }
    return variables


def copies(model: AdaMine, params: Any) -> Any:
    """What each tower's `copies` says of its parameters; 1 for those of the loss."""
    towers = {"image_tower": type(model.image_tower), "recipe_tower": type(model.recipe_tower)}
    return {
        name: towers[name].copies(tree) if name in towers else jax.tree.map(lambda _: 1, tree)
        for name, tree in params.items()
    }


def _with_word_vectors(table: jax.Array, word_vectors: np.ndarray) -> jax.Array:
    rows, word_dim = table.shape
    if word_vectors.shape != (rows - 3, word_dim):
        raise UserError(
            f"the word vectors are {' × '.join(map(str, word_vectors.shape))}, the word table takes {rows - 3} × "
            f"{word_dim}: set model.recipe.word_dim to the vectors' length, or convert the dataset again"
        )
    return table.at[FIRST_WORD_ROW : rows - 1].set(jnp.asarray(word_vectors, table.dtype))
