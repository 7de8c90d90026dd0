"""The protocols of towers, the entries of `registry.IMAGE_TOWERS` and `registry.RECIPE_TOWERS`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import Rule
from adamine_jax.interop.state_dicts import read_safetensors
from adamine_jax.recipes.crops import Resizing
from adamine_jax.recipes.texts import PARTS, EncodedRecipe, RecipeText
from adamine_jax.recipes.tokens import Tokenizer, Tokens

Tree = Any
Section = ml_collections.ConfigDict


COMMON_FIELDS = ("image", "has_image", "record", "class_id", "image_class_id", "match", "group", "readable")
"""Fields that any batch may have. All other fields belong to the recipe tower."""


class Shared(NamedTuple):
    """Settings that both towers of a model share.

    Attributes:
        embedding_dim: Dimension D of the embedding space; 0 with `config.model.head = 'none'`, which asks towers for
            their own output, without a last linear layer.
        table_rows: Rows of a word table: padding (0), end (1), the words of the data set, and unknown (last).
        remat: Whether to recompute activations in the backward pass, in towers that support it.
        dtype: Dtype of the towers' computation.
        param_dtype: Dtype of parameters and outputs.
    """

    embedding_dim: int
    table_rows: int
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32


class Parts(NamedTuple):
    """The output of a tower whose embeddings have parts, such as words, sentences or image regions.

    Attributes:
        whole: (B, D), before the head.
        parts: (B, P, D), before the head; P is the tower's `parts`.
        mask: (B, P) bool, False for padding.
    """

    whole: jax.Array
    parts: jax.Array
    mask: jax.Array


class Tower(nn.Module):
    """Base class of the two towers: a Flax module with class methods that describe its config section and inputs.

    The class methods take the tower's config section, `config.model.image` or `config.model.recipe`. The head (tanh and
    L2 normalisation) is applied outside the tower. A tower has an attribute `embedding_dim`, D.
    """

    rules: ClassVar[Mapping[str, Rule]] = {}
    """Accepted values of the section's fields; see `base.rules`."""

    backbone: ClassVar[tuple[str, ...]] = ()
    """Submodules with pretrained parameters: frozen until `config.unfreeze_epoch`, with their own Adam state."""

    place: ClassVar[str]
    """Branch of the model's parameters."""

    needs_keys: ClassVar[bool] = False
    """Whether training passes `keys` (B,), one PRNG key per row, a function of (seed, step, row) only."""

    ends_alone: ClassVar[bool] = False
    """Whether the tower can end without its linear layer, as `config.model.head = 'none'` asks for."""

    @property
    def parts(self) -> int:
        """Number of parts P of an embedding; 0 = none. See `Parts`."""
        return 0

    @classmethod
    def defaults(cls) -> Section:
        """Returns the fields of the section, without its `name`.

        The run sets `feature_dim`, `sentence_dim`, `recipe_dim` and `word_dim`, if the section has them, from its input
        files, and `vocabulary`, the path of the file that `fit` made.
        A section may have `weights`, the path of a file for `load_weights`.
        """
        return Section()

    @classmethod
    def complete(cls, section: Section) -> None:
        """Sets the fields that the files of a pretrained model determine, before the first step of a run.

        Raises:
            UserError: A file cannot be read or does not suit the tower.
        """

    @classmethod
    def check(cls, section: Section, config: ml_collections.ConfigDict) -> None:
        """Raises a `UserError` if the section contradicts itself or the rest of the run's `config`."""

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        """Builds the module that a section describes."""
        raise NotImplementedError

    @classmethod
    def load_weights(cls, section: Section, variables: dict[str, Tree]) -> dict[str, Tree]:
        """Loads the file `section.weights` into the tower's {'params', 'batch_stats'}.

        By default the file is one that `export_weights` wrote. Only the backbone is loaded, or the whole tower if it
        has no backbone.

        Raises:
            UserError: The file cannot be read, or a tensor is missing or has another shape.
        """
        tensors, _ = read_safetensors(storage.local(section.weights))

        def loaded(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
            collection, *names = (entry.key for entry in path)
            if cls.backbone and names[0] not in cls.backbone:
                return leaf
            name = "/".join([collection, cls.place, *names])
            if name not in tensors or tensors[name].shape != leaf.shape:
                stored = f"has shape {tensors[name].shape}" if name in tensors else "is missing"
                raise UserError(
                    f"{section.weights}: {name} {stored}, the model needs {leaf.shape}; give a file for this model"
                )
            return jnp.asarray(tensors[name], leaf.dtype)

        return jax.tree.map_with_path(loaded, variables)

    @classmethod
    def published_multiplicity(cls, params: Tree) -> Tree:
        """Number of parameters in the published code that each leaf replaces by their sum; 1 by default.

        The optimiser scales gradient norm and step accordingly; see `training.optimizer`.
        """
        return jax.tree.map(lambda _: 1, params)


class ImageTower(Tower):
    """Base class of image towers.

    `__call__(images, *, train, use_running_average, keys)` maps (B, S, S, 3) RGB in 0..255, or (B, F) features, to
    (B, D). A tower with a backbone also has `features(images, *, use_running_average)`, which returns the backbone's
    outputs (B, F), and accepts these instead of images. `batch_stats` is the only mutable collection.
    """

    place: ClassVar[str] = "image_tower"
    reads_photos: ClassVar[bool] = True
    """False if the tower reads precomputed features, `config.data.image_features`, instead of photos."""

    has_batch_norm: ClassVar[bool] = False
    """Whether an image's output in training depends on the other images of the batch."""

    @classmethod
    def feature_dim(cls, section: Section) -> int:
        """Returns F, the length of a feature vector."""
        raise NotImplementedError

    @classmethod
    def resizing(cls, section: Section) -> Resizing:
        """Returns how photos are resized before the crop, bilinear with their aspect ratio by default."""
        return Resizing()


class RecipeTower(Tower):
    """Base class of recipe towers.

    `__call__(batch, *, train, keys)` maps the fields of `make_batch` to (B, D). Rows must be independent: on a mesh
    each device calls it on its own rows.
    """

    place: ClassVar[str] = "recipe_tower"
    word_tables: ClassVar[tuple[str, ...]] = ()
    """Parameters (table_rows, word_dim) that are initialised with the data set's word vectors."""

    reads_vocabulary: ClassVar[bool] = True
    """False if the tower reads `recipe.text()` with its own tokenizer; see `own_words`."""

    reads_lines: ClassVar[bool] = True
    """Whether the tower sees where a line ends, so that `config.data` can leave lines out."""

    @classmethod
    def text_parts(cls, section: Section) -> tuple[str, ...]:
        """Returns which of `texts.PARTS` the tower reads as text; none if it reads given vectors of recipes."""
        return tuple(section.parts) if "parts" in section else PARTS

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        """Makes the batch fields that the tower reads, arrays of B rows, from records or queries."""
        raise NotImplementedError

    @classmethod
    def tokenizer(cls, section: Section) -> Tokenizer | None:
        """Returns what makes the `tokens` of recipes, for towers that read subword tokens; they are made once."""
        return None

    @classmethod
    def reads_sentence_vectors(cls, section: Section) -> bool:
        """Whether the tower reads precomputed sentence vectors, `config.data.sentence_vectors`."""
        return False

    @classmethod
    def reads_recipe_vectors(cls, section: Section) -> bool:
        """Whether the tower reads given vectors of recipes, `config.data.recipe_features`."""
        return False

    @classmethod
    def has_vocabulary(cls, section: Section) -> bool:
        """Whether the tower reads the file `section.vocabulary`, which `fit` makes."""
        return "vocabulary" in section

    @classmethod
    def fit(cls, section: Section, recipes: Iterable[RecipeText]) -> str:
        """Returns what `make_batch` needs to know about the train split, the text of a file for `section.vocabulary`.

        Called for towers with `has_vocabulary`, before the first step. The file is stored in the workdir.
        """
        raise NotImplementedError

    @classmethod
    def unread(cls, section: Section, recipes: Iterable[EncodedRecipe]) -> str:
        """Returns how much of some train recipes the tower does not read, one line; empty if it reads everything."""
        return ""

    @classmethod
    def reads_title(cls, section: Section) -> bool:
        """Whether the tower reads titles; otherwise a query that is a title alone is read as an instruction."""
        return not cls.reads_vocabulary

    @classmethod
    def own_words(cls, section: Section, recipe: RecipeText) -> tuple[list[str], list[str]]:
        """Returns the known and the unknown words of what the tower reads of `recipe.text()`, to report the latter.

        By default a tower with `reads_vocabulary` reads nothing of it, and any other tower knows every line.
        """
        lines = (recipe.title, *recipe.ingredients, *(recipe.names or ()), *recipe.instructions)
        return [] if cls.reads_vocabulary else list(filter(None, lines)), []

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        """Returns why the tower cannot embed a query, a recipe or a part of one; empty if it can."""
        return ""

    @nn.nowrap
    def global_fields(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Returns fields (B, …) that depend on the global batch, computed before the rows are split by device."""
        return {}


def tokens_of(tokenizer: Tokenizer, recipes: Sequence[EncodedRecipe]) -> list[Tokens]:
    """Returns the tokens of recipes: those made before, or, for queries, new ones."""
    return [tokenizer.encode(recipe.text()) if recipe.tokens is None else recipe.tokens for recipe in recipes]
