"""What a tower is: the protocols of the entries of `registry.IMAGE_TOWERS` and `registry.RECIPE_TOWERS`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import Rule
from adamine_jax.interop.state_dicts import read_safetensors
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText

Tree = Any
Section = ml_collections.ConfigDict


COMMON_FIELDS = ("image", "has_image", "record", "class_id", "image_class_id", "match", "readable")
"""Batch fields that every batch may have; the others are the recipe tower's."""


class Shared(NamedTuple):
    """What both towers of a model are given.

    Attributes:
        embedding_dim: Length D of the shared space.
        table_rows: Rows of a word table: padding (0), end (1), the words of the data set, and unknown (last).
        remat: Whether activations are recomputed in the backward pass where a tower can.
        dtype: Of the towers' arithmetic.
        param_dtype: Of parameters and outputs.
    """

    embedding_dim: int
    table_rows: int
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32


class Parts(NamedTuple):
    """What a tower returns in place of (B, D) if its embeddings have parts: words, sentences or regions.

    Attributes:
        whole: (B, D), before the head.
        parts: (B, P, D), before the head; P is what the tower's `parts` says.
        mask: (B, P) bool, True where there is a part.
    """

    whole: jax.Array
    parts: jax.Array
    mask: jax.Array


class Tower(nn.Module):
    """One of the two towers: a Flax module that also says what the rest of the program needs to know about it.

    The class methods take the tower's section of the configuration, `config.model.image` or `config.model.recipe`.
    The head (tanh and L2 normalisation) follows outside the tower. A tower has an attribute `embedding_dim`, D.
    """

    rules: ClassVar[Mapping[str, Rule]] = {}
    """What the fields of the section accept; see `base.rules`."""

    backbone: ClassVar[tuple[str, ...]] = ()
    """Submodules with pretrained parameters: frozen until `config.unfreeze_epoch`, with an Adam state of their own."""

    place: ClassVar[str]
    """Where its parameters are in the model's."""

    needs_keys: ClassVar[bool] = False
    """Whether training gives `keys` (B,), a PRNG key for each row, which depends on (seed, step, row) alone."""

    parts: ClassVar[int] = 0
    """How many `Parts` an embedding has; 0 = none."""

    @classmethod
    def defaults(cls) -> Section:
        """Returns the fields of the section, without its `name`.

        The run fills in `feature_dim`, `sentence_dim` and `word_dim`, where the section has them, from its files.
        A section with `weights` names a file that `load_weights` reads.
        """
        return Section()

    @classmethod
    def check(cls, section: Section, config: ml_collections.ConfigDict) -> None:
        """Raises a `UserError` where the section contradicts itself or the rest of `config`, the run's."""

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        """Makes the module that a section describes."""
        raise NotImplementedError

    @classmethod
    def load_weights(cls, section: Section, variables: dict[str, Tree]) -> dict[str, Tree]:
        """Puts the weights of the file `section.weights` into the tower's own {'params', 'batch_stats'}.

        By default the file is one of `export_weights`, of which the backbone is taken, or the whole tower where there
        is no backbone.

        Raises:
            UserError: The file cannot be read, or lacks a tensor, or has it in another shape.
        """
        tensors, _ = read_safetensors(Path(section.weights))

        def loaded(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
            collection, *names = (entry.key for entry in path)
            if cls.backbone and names[0] not in cls.backbone:
                return leaf
            name = "/".join([collection, cls.place, *names])
            if name not in tensors or tensors[name].shape != leaf.shape:
                there = " × ".join(map(str, tensors[name].shape)) if name in tensors else "absent"
                here = " × ".join(map(str, leaf.shape))
                raise UserError(f"{section.weights}: {name} is {there} there and {here} here; give other weights")
            return jnp.asarray(tensors[name], leaf.dtype)

        return jax.tree.map_with_path(loaded, variables)

    @classmethod
    def copies(cls, params: Tree) -> Tree:
        """How many parameters of the published code each leaf stands for, which scales its step; 1 by default."""
        return jax.tree.map(lambda _: 1, params)


class ImageTower(Tower):
    """Embeds photos.

    `__call__(images, *, train, use_running_average, keys)` maps (B, S, S, 3) RGB of values 0..255, or (B, F) features,
    to (B, D). A tower with a backbone also has `features(images, *, use_running_average)`, the backbone's outputs
    (B, F), and takes these in place of photos. `batch_stats` is the one mutable collection.
    """

    place: ClassVar[str] = "image_tower"
    reads_photos: ClassVar[bool] = True
    """False: reads features that another encoder made of the photos, `config.data.image_features`."""

    @classmethod
    def feature_dim(cls, section: Section) -> int:
        """F, the length of what `features` returns."""
        raise NotImplementedError


class RecipeTower(Tower):
    """Embeds recipes.

    `__call__(batch, *, train, keys)` maps the fields that `make_batch` makes to (B, D). It computes each row by itself:
    over a mesh it is called on each device's own rows.
    """

    place: ClassVar[str] = "recipe_tower"
    word_tables: ClassVar[tuple[str, ...]] = ()
    """Parameters (table_rows, word_dim) that start from the data set's word vectors."""

    reads_vocabulary: ClassVar[bool] = True
    """False: reads `recipe.text()` with a tokenizer of its own, so no word of a query is unknown to it."""

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        """Makes the batch fields that the tower reads, arrays of B rows, for records and for queries alike."""
        raise NotImplementedError

    @classmethod
    def reads_sentence_vectors(cls, section: Section) -> bool:
        """Whether it reads given vectors of the sentences, `config.data.sentence_vectors`."""
        return False

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        """Says why the tower cannot embed a recipe that a person wrote, or a part of one; empty where it can."""
        return ""

    @nn.nowrap
    def global_fields(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Fields (B, …) that depend on the whole global batch, computed before the rows go to their devices."""
        return {}
