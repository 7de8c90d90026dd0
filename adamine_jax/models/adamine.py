"""AdaMine: a photo tower and a recipe tower that end in one embedding space."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh, PartitionSpec
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.models.image.resnet import LAYOUTS, ResNet
from adamine_jax.models.linear import Linear
from adamine_jax.models.recipe.tower import RecipeTower

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_INGREDIENTS = 20
MAX_SENTENCES = 20

RECIPE_FIELDS = ("ingredients", "words", "sentence_vectors", "num_sentences")
"""What the recipe tower reads of a batch."""

# A word table begins with padding and end, and closes with the unknown word.
FIRST_WORD_ROW = 2


class ImageTower(nn.Module):
    """A ResNet and a linear layer, or the linear layer alone, over features of another encoder.

    Attributes:
        resnet: its parameters are `resnet`, the *image* group of the optimiser; None where all photos are features.
        fc: its parameters are `fc`, which belong to the *recipe* group, being new.
    """

    resnet: ResNet | None
    fc: Linear

    def __call__(self, images: jax.Array, *, use_running_average: bool) -> jax.Array:
        """Embeds photos as (B, embedding_dim), before tanh and normalisation.

        Args:
            images: (B, S, S, 3) of values 0..255; or (B, F) features, which go to the linear layer as they are.
            use_running_average: of BatchNorm.
        """
        return self.fc(images if images.ndim == 2 else self.features(images, use_running_average=use_running_average))

    def features(self, images: jax.Array, *, use_running_average: bool) -> jax.Array:
        """The ResNet's pooled features (B, F) of (B, S, S, 3) photos."""
        mean, std = (255 * jnp.array(value, self.resnet.param_dtype) for value in (IMAGENET_MEAN, IMAGENET_STD))
        return self.resnet((images - mean) / std, use_running_average=use_running_average)


class AdaMine(nn.Module):
    """Both towers, each closed by tanh and L2 normalisation.

    Parameters: `image_tower/{resnet,fc}`, `recipe_tower/…`, and `classifier` where there is one. BatchNorm statistics:
    `image_tower/resnet/…` in the collection `batch_stats`, mutable in training.

    Attributes:
        image_tower: photos to vectors.
        recipe_tower: recipes to vectors of the same length.
        classifier: embeddings to classes, shared by the towers; None where no loss needs it.
    """

    image_tower: ImageTower
    recipe_tower: RecipeTower
    classifier: Linear | None = None

    def __call__(
        self, batch: dict[str, jax.Array], *, train: bool, use_running_average: bool | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Embeds matched photos and recipes.

        Args:
            batch: `image` as `embed_images` takes it, and the fields of `RecipeTower.__call__`.
            train: whether BatchNorm uses (and updates) batch statistics.
            use_running_average: overrules that for BatchNorm alone; None means `not train`.

        Returns:
            Photos (B, embedding_dim) and recipes (B, embedding_dim): float32 unit rows (float64 in a float64 model).
        """
        image = self.embed_images(batch["image"], train=train, use_running_average=use_running_average)
        recipe = self.embed_recipes(batch)
        if self.is_initializing() and self.classifier is not None:
            self.classifier(recipe)
        return image, recipe

    def embed_images(self, images: jax.Array, *, train: bool, use_running_average: bool | None = None) -> jax.Array:
        """Embeds photos.

        Args:
            images: (B, S, S, 3) RGB, uint8 or floating, of values 0..255; normalised here by ImageNet's mean and
                standard deviation. Or (B, F) features: see `ImageTower`.
            train: as in `__call__`.
            use_running_average: as in `__call__`.

        Returns:
            (B, embedding_dim) unit rows.
        """
        if use_running_average is None:
            use_running_average = not train
        return _head(self.image_tower(images, use_running_average=use_running_average))

    def image_features(self, images: jax.Array) -> jax.Array:
        """The ResNet's pooled features (B, F) of (B, S, S, 3) photos, with BatchNorm's stored statistics."""
        return self.image_tower.features(images, use_running_average=True)

    def embed_recipes(self, batch: dict[str, jax.Array]) -> jax.Array:
        """Embeds recipes, given as `RecipeTower.__call__` takes them, as (B, embedding_dim) unit rows.

        The tower computes the same in training and in evaluation. Over a mesh, see the function `embed_recipes`.
        """
        return _head(self.recipe_tower(batch))

    def classify(self, embeddings: jax.Array) -> jax.Array:
        """Maps unit rows (B, embedding_dim) of either tower to logits (B, num_classes)."""
        return self.classifier(embeddings)


def _head(x: jax.Array) -> jax.Array:
    """tanh, then x / max(‖x‖₂, 1e-12): a row of zeros stays one and has a finite gradient."""
    x = jnp.tanh(x)
    squared_norm = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squared_norm, 1e-24))


def embed_recipes(model: AdaMine, params: dict[str, Any], batch: dict[str, jax.Array], mesh: Mesh) -> jax.Array:
    """Embeds recipes over a mesh, each device its own rows: it sorts them by length, and stops at its longest.

    Args:
        model: both towers.
        params: its parameters, replicated.
        batch: as `RecipeTower.__call__` takes it, sharded over 'data'; fields that it does not read may be there.
        mesh: with the axis 'data'.

    Returns:
        (B, embedding_dim) unit rows, sharded over 'data'.
    """
    fields = {name: batch[name] for name in RECIPE_FIELDS if name in batch}
    if model.recipe_tower.instruction_lstm_over_padding:
        fields["num_steps"] = jnp.full_like(batch["num_sentences"], jnp.max(batch["num_sentences"]))

    def embed(recipe_tower: dict[str, Any], fields: dict[str, jax.Array]) -> jax.Array:
        return model.apply({"params": {"recipe_tower": recipe_tower}}, fields, method="embed_recipes")

    if mesh.size == 1:  # there shard_map would copy all gradients
        return embed(params["recipe_tower"], fields)
    rows = PartitionSpec("data")
    embed = jax.shard_map(embed, mesh=mesh, in_specs=(PartitionSpec(), rows), out_specs=rows, check_vma=False)
    return embed(params["recipe_tower"], fields)


def build_model(config_model: Any, *, table_rows: int, num_classes: int | None = None) -> AdaMine:
    """Builds the model that `config.model` describes.

    Args:
        config_model: the configuration's `model` section (see `configs/adamine.py`).
        table_rows: rows of the word tables, words + 3.
        num_classes: outputs of the classifier, the background counted; None leaves the classifier out.

    Raises:
        UserError: a field has a value that it does not take; the message names it.
    """
    config = config_model
    dtype, param_dtype = _dtypes(config.dtype)
    instructions = config.instructions if config.instructions not in (False, None) else "none"
    _check("image.depth", config.image.depth, tuple(LAYOUTS))
    _check("instructions", instructions, ("words", "vectors", "none"))
    _check("word_vectors", config.word_vectors, ("shared", "separate"))
    for name in ("ingredients", "remat", "instruction_lstm_over_padding"):
        _check(name, config[name], (True, False))
    for name in (
        "word_dim",
        "ingredient_hidden",
        "sentence_hidden",
        "instruction_hidden",
        "embedding_dim",
    ):
        _check_positive(name, config[name])
    _check_positive("image.width", config.image.width)
    _check_positive("sentence_dim", config.sentence_dim)
    if config.image.feature_dim:
        _check_positive("image.feature_dim", config.image.feature_dim)
    if not config.ingredients and instructions == "none":
        raise UserError(
            "model.ingredients = False and model.instructions = 'none': a recipe needs one of the two parts; "
            "switch ingredients on, or set instructions to 'words' or 'vectors'"
        )
    resnet = None
    if not config.image.feature_dim:
        resnet = ResNet(config.image.depth, config.image.width, config.remat, dtype, param_dtype)
    image_tower = ImageTower(resnet, Linear(config.embedding_dim, param_dtype))
    recipe_tower = RecipeTower(
        embedding_dim=config.embedding_dim,
        table_rows=table_rows,
        ingredients=config.ingredients,
        instructions=instructions,
        word_dim=config.word_dim,
        ingredient_hidden=config.ingredient_hidden,
        sentence_hidden=config.sentence_hidden,
        instruction_hidden=config.instruction_hidden,
        shared_table=config.word_vectors == "shared",
        instruction_lstm_over_padding=config.instruction_lstm_over_padding,
        remat=config.remat,
        forget_bias=config.forget_bias,
        dtype=dtype,
        param_dtype=param_dtype,
    )
    return AdaMine(image_tower, recipe_tower, Linear(num_classes, param_dtype) if num_classes is not None else None)


def init_variables(
    model: AdaMine,
    rng: jax.Array,
    *,
    image_size: int,
    max_words: int,
    feature_dim: int = 0,
    sentence_dim: int = 1024,
    word_vectors: np.ndarray | None = None,
) -> dict[str, Any]:
    """Draws a model's initial variables.

    Args:
        model: from `build_model`.
        rng: a PRNG key; the same key gives the same values.
        image_size: S, the side of a photo.
        max_words: W, the words of a sentence.
        feature_dim: F, length of the features that stand in for photos; 0 = photos.
        sentence_dim: length of given sentence vectors.
        word_vectors: (V, word_dim), put into rows 2..V + 1 of every word table. Row 0 is zero; rows 1 and V + 2, and
            all of them where this is None, are random of expected norm one.

    Returns:
        {'params': …, 'batch_stats': …}, see `AdaMine`; no statistics where there is no ResNet.

    Raises:
        UserError: the word vectors do not fit the tables.
    """
    batch = {
        "image": jnp.zeros((1, feature_dim)) if feature_dim else jnp.zeros((1, image_size, image_size, 3), jnp.uint8),
        "ingredients": jnp.zeros((1, MAX_INGREDIENTS), jnp.int32),
        "words": jnp.zeros((1, MAX_SENTENCES, max_words), jnp.int32),
        "sentence_vectors": jnp.zeros((1, MAX_SENTENCES, sentence_dim), jnp.float32),
        "num_sentences": jnp.zeros((1,), jnp.int32),
    }
    # Under jit the embeddings, which nobody asked for, are never computed.
    variables = {"batch_stats": {}, **jax.jit(functools.partial(model.init, train=False))(rng, batch)}
    if word_vectors is None:
        return variables
    recipe_tower = dict(variables["params"]["recipe_tower"])
    for name in ("table", "instruction_table"):
        if name in recipe_tower:
            recipe_tower[name] = _with_word_vectors(recipe_tower[name], word_vectors)
    return {**variables, "params": {**variables["params"], "recipe_tower": recipe_tower}}


def is_resnet(path: tuple[Any, ...]) -> bool:
    """Whether the parameter at this path, from `jax.tree_util` or of plain names, is one of the ResNet's."""
    names = tuple(getattr(entry, "key", entry) for entry in path)
    return names[:2] == ("image_tower", "resnet")


def _with_word_vectors(table: jax.Array, word_vectors: np.ndarray) -> jax.Array:
    rows, word_dim = table.shape
    if word_vectors.shape != (rows - 3, word_dim):
        raise UserError(
            f"the word vectors are {' × '.join(map(str, word_vectors.shape))}, the word table takes {rows - 3} × "
            f"{word_dim}: set model.word_dim to the vectors' length, or convert the dataset again"
        )
    return table.at[FIRST_WORD_ROW : rows - 1].set(jnp.asarray(word_vectors, table.dtype))


def _dtypes(name: str) -> tuple[DTypeLike, DTypeLike]:
    """Compute and parameter dtypes. Parameters are float32; in float64, which is for tests, everything is."""
    _check("dtype", name, ("float32", "bfloat16", "float64"))
    if name == "float64" and not jax.config.jax_enable_x64:
        raise UserError("model.dtype = 'float64': needs JAX_ENABLE_X64=1 in the environment; or take 'float32'")
    return jnp.dtype(name), jnp.dtype("float64" if name == "float64" else "float32")


def _check(field: str, value: Any, choices: Any) -> None:
    if value not in choices:
        *most, last = map(repr, choices)
        raise UserError(f"model.{field} = {value!r}: takes {', '.join(most)} or {last}")


def _check_positive(field: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"model.{field} = {value!r}: takes a whole number from 1 up")
