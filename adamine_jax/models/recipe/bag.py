"""Recipe towers on a bag of words of title, ingredients and instructions, and on precomputed vectors of recipes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, share, subset_of
from adamine_jax.models.base import Parts, RecipeTower, Section, Shared
from adamine_jax.models.layers import Linear, dropout, uniform
from adamine_jax.recipes import tfidf
from adamine_jax.recipes.texts import PARTS, EncodedRecipe, RecipeText, unread_query

MAX_WORDS = 1024
"""Number of distinct words of a recipe that are read. A fixed width: processes must make arrays of the same shape."""


class BagOfWords(RecipeTower):
    """A linear layer on TF-IDF weights, plus one on precomputed vectors of the recipe if `recipe_dim` is not 0.

    Attributes:
        embedding_dim: D, length of the output.
        columns: V, number of TF-IDF columns: a word has one for each part; see `tfidf.TfIdf`.
        recipe_dim: F, length of the precomputed vectors; 0 = none.
        dropout: Share of the words and of the precomputed vectors' values that are dropped in training.
        part_sizes: Number of columns of each part, if the output shall have the embeddings of the parts as well: those
            of a recipe that has nothing else.
        param_dtype: Dtype of the parameters and the output.
    """

    embedding_dim: int
    columns: int
    recipe_dim: int = 0
    dropout: float = 0.0
    part_sizes: tuple[int, ...] = ()
    param_dtype: DTypeLike = jnp.float32

    needs_keys: ClassVar[bool] = True
    reads_vocabulary: ClassVar[bool] = False
    rules: ClassVar[Mapping[str, Rule]] = {
        "parts": subset_of(*PARTS),
        "min_count": integer(1),
        "max_words": integer(1),
        "word_pairs": BOOLEAN,
        "dropout": share(0.99),
        "recipe_dim": integer(0),
        "part_embeddings": BOOLEAN,
    }

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.parts = PARTS  # what the tower reads
        tower.min_count = 2  # number of recipes of the train split that must contain a word
        tower.max_words = 30_000  # maximum number of words per part
        tower.word_pairs = False  # True: pairs of neighbouring words count as words, too
        tower.dropout = 0.3  # share of the words that are dropped in training
        tower.recipe_dim = 0  # length of the vectors of data.recipe_features; set from the file
        tower.part_embeddings = False  # True: also embed the parts, for loss=parts
        tower.vocabulary = ""  # file of words; '' = made from the train split and stored in the workdir
        return tower

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        words = tfidf.load(Path(section.vocabulary))
        sizes = tuple(map(len, words.columns.values())) if section.part_embeddings else ()
        return cls(shared.embedding_dim, len(words), section.recipe_dim, section.dropout, sizes, shared.param_dtype)

    @classmethod
    def fit(cls, section: Section, recipes: Iterable[RecipeText]) -> str:
        fitted = tfidf.fit(
            recipes,
            section.parts,
            min_count=section.min_count,
            max_words=section.max_words,
            pairs=section.word_pairs,
        )
        if not len(fitted):
            raise UserError(
                f"no word is in config.model.recipe.min_count = {section.min_count} recipes of the train split; use 1"
            )
        return fitted.to_json()

    @classmethod
    def reads_recipe_vectors(cls, section: Section) -> bool:
        return bool(section.recipe_dim)

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        """Makes the padded arrays that `__call__` describes."""
        words = tfidf.load(Path(section.vocabulary))
        columns = np.zeros((len(recipes), MAX_WORDS), np.int32)
        weights = np.zeros((len(recipes), MAX_WORDS), np.float32)
        for row, recipe in enumerate(recipes):
            found, weight = words.encode(recipe.text())
            kept = np.argsort(-weight, kind="stable")[:MAX_WORDS] if len(found) > MAX_WORDS else slice(None)
            columns[row, : len(found)], weights[row, : len(found)] = found[kept], weight[kept]
        batch = {"words": columns, "word_weights": weights}
        if section.recipe_dim:
            batch["recipe_vectors"] = vectors_of(recipes, section.recipe_dim)
        return batch

    @classmethod
    def own_words(cls, section: Section, recipe: RecipeText) -> tuple[list[str], list[str]]:
        return tfidf.load(Path(section.vocabulary)).split_words(recipe)

    @classmethod
    def unread(cls, section: Section, recipes: Iterable[EncodedRecipe]) -> str:
        words = [cls.own_words(section, recipe.text()) for recipe in recipes]
        known, unknown = (sum(len(each[kind]) for each in words) for kind in (0, 1))
        if not unknown:
            return ""
        return (
            f"the bag tower does not read {100 * unknown / (known + unknown):.1f} % of the words of {len(words):,} "
            "train recipes, which are not in its vocabulary"
        )

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        return unread_query(recipe, section.parts)

    def setup(self):
        bound = 1 / self.columns**0.5
        self.table = self.param("table", uniform(bound), (self.columns, self.embedding_dim), self.param_dtype)
        self.bias = self.param("bias", uniform(bound), (self.embedding_dim,), self.param_dtype)
        if self.recipe_dim:
            self.fc = Linear(self.embedding_dim, self.param_dtype)

    @property
    def parts(self) -> int:
        """Number of parts of an embedding; see `Parts`."""
        return len(self.part_sizes)

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: Any = None) -> jax.Array | Parts:
        """Embeds B recipes, before the head.

        Args:
            batch: `words` (B, 1024) columns and `word_weights` (B, 1024) their weights, 0 = padding; and
                `recipe_vectors` (B, F) if `recipe_dim` is not 0, a row of zeros if the recipe has none.
            train: Whether to drop words.
            keys: (B,) PRNG keys, for training.

        Returns:
            (B, embedding_dim) of `param_dtype`, or `Parts` of it.
        """
        weights = batch["word_weights"].astype(self.param_dtype)
        vectors = batch["recipe_vectors"] if self.recipe_dim else None
        if train and self.dropout:
            weights = dropout(weights, self.dropout, keys)
            if vectors is not None:
                vectors = dropout(vectors, self.dropout, jax.vmap(jax.random.fold_in, (0, None))(keys, 1))
        rows = jnp.arange(len(weights))[:, None]
        # (B, V), mostly zeros: one matrix product, and no array of (B, N, D) as by gathering N rows for each recipe.
        bag = jnp.zeros((len(weights), self.columns), self.param_dtype).at[rows, batch["words"]].add(weights)
        if not self.part_sizes:
            output = bag @ self.table + self.bias
            return output if vectors is None else output + self.fc(vectors)
        ends = np.cumsum(self.part_sizes)
        pieces = [slice(end - size, end) for end, size in zip(ends, self.part_sizes, strict=True)]
        parts = jnp.stack([bag[:, piece] @ self.table[piece] for piece in pieces], axis=1)
        output = parts.sum(axis=1) + self.bias
        mask = jnp.stack([jnp.any(bag[:, piece] > 0, axis=1) for piece in pieces], axis=1)
        parts += self.bias
        if vectors is not None:
            output += self.fc(vectors)
            parts += self.fc(jnp.zeros_like(vectors[:1]))  # its bias, as for a recipe without vectors
        return Parts(output, parts, mask)


class RecipeFeatures(RecipeTower):
    """A linear layer on given vectors of the recipe, `config.data.recipe_features`.

    Attributes:
        embedding_dim: D, length of the output.
        dropout: Share of the vectors' values that are dropped in training.
        param_dtype: Dtype of the parameters and the output.
    """

    embedding_dim: int
    dropout: float = 0.0
    param_dtype: DTypeLike = jnp.float32

    needs_keys: ClassVar[bool] = True
    rules: ClassVar[Mapping[str, Rule]] = {"dropout": share(0.99), "recipe_dim": integer(0)}

    @classmethod
    def text_parts(cls, section: Section) -> tuple[str, ...]:
        return ()

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.recipe_dim = 0  # length of the vectors of data.recipe_features; set from the file
        tower.dropout = 0.0  # share of the vectors' values that are dropped in training
        return tower

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        if not config.data.recipe_features:
            raise UserError(
                "config.model.recipe.name = 'features': set config.data.recipe_features to a file of vectors"
            )

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        return cls(shared.embedding_dim, section.dropout, shared.param_dtype)

    @classmethod
    def reads_recipe_vectors(cls, section: Section) -> bool:
        return True

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        return {"recipe_vectors": vectors_of(recipes, section.recipe_dim)}

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        return "the model reads given vectors of recipes (config.data.recipe_features) and cannot embed text"

    @nn.compact
    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: Any = None) -> jax.Array:
        """Maps `recipe_vectors` (B, F) to (B, embedding_dim), before the head."""
        vectors = batch["recipe_vectors"]
        if train and self.dropout:
            vectors = dropout(vectors, self.dropout, keys)
        return Linear(self.embedding_dim, self.param_dtype, name="fc")(vectors)


def vectors_of(recipes: Sequence[EncodedRecipe], length: int) -> np.ndarray:
    """Returns the (B, F) float32 given vectors of recipes; zeros for those that have none, such as queries."""
    vectors = np.zeros((len(recipes), length), np.float32)
    for row, recipe in enumerate(recipes):
        if recipe.vectors is not None:
            vectors[row] = recipe.vectors
    return vectors
