"""The published recipe tower: LSTMs over ingredients and instructions, and optionally the title."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.base.rules import Rule
from adamine_jax.models import layers
from adamine_jax.models.base import Parts, RecipeTower, Section, Shared
from adamine_jax.models.layers import Linear
from adamine_jax.models.recipe import lstm_batches, lstm_section
from adamine_jax.models.recipe.lstm import LSTM, BidirectionalLSTM
from adamine_jax.recipes import tfidf
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.recipes.words import END_ID


class HierarchicalLSTM(RecipeTower):
    """A bidirectional LSTM over the ingredients, a hierarchical one over the instructions, and a linear layer.

    Carvalho et al., *Cross-Modal Retrieval in the Cooking Context* (SIGIR 2018), section 3; the ingredients as in
    Salvador et al. (CVPR 2017). An empty list of ingredients or instructions gives the zero vector, and so does a title
    without known words. Titles are not published: a bidirectional LSTM over their words, with a word table of its own.

    Attributes:
        embedding_dim: Length of the output.
        table_rows: Rows of a word table: the words, and 3 for padding (0), end (1) and unknown (last).
        ingredients: Whether the tower reads the ingredients.
        instructions: 'words' (an LSTM over the words of each sentence, then one over the sentences), 'vectors' (an LSTM
            over precomputed sentence vectors) or 'none'.
        word_dim: Length of a word vector.
        ingredient_hidden: State size of each direction of the LSTMs over the ingredients and the title.
        sentence_hidden: State size of the LSTM over the words of a sentence.
        instruction_hidden: State size of the LSTM over the sentences.
        shared_table: Whether ingredients and instruction words share one word table.
        instruction_lstm_over_padding: Whether the LSTM over the sentences continues over zero vectors up to the length
            of the longest recipe of the batch, as in the published code. Embeddings then depend on the batch.
        remat: Whether to recompute the LSTMs' activations in the backward pass instead of keeping them.
        forget_bias: Initial forget bias of the LSTMs; see `layers.lstm_bias`.
        word_dropout: Share of the words whose vectors are zeros in training.
        dropout: Share of the values before the last layer that are dropped in training.
        title_words: Number of known words of titles; None = the tower does not read titles.
        part_embeddings: Whether the output has the embeddings of the parts as well: the last layer with zeros in place
            of the states of the other parts. Unless `instruction_lstm_over_padding`, a recipe that lacks the others has
            the same embedding.
        dtype: Dtype of the matrix products in the LSTMs.
        param_dtype: Dtype of the parameters and the output.
    """

    embedding_dim: int
    table_rows: int
    ingredients: bool = True
    instructions: str = "words"
    word_dim: int = 300
    ingredient_hidden: int = 300
    sentence_hidden: int = 1024
    instruction_hidden: int = 1024
    shared_table: bool = True
    instruction_lstm_over_padding: bool = False
    remat: bool = False
    forget_bias: float = 0.0
    word_dropout: float = 0.0
    dropout: float = 0.0
    title_words: int | None = None
    part_embeddings: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    word_tables: ClassVar[tuple[str, ...]] = ("table", "instruction_table")
    rules: ClassVar[Mapping[str, Rule]] = lstm_section.RULES

    @classmethod
    def text_parts(cls, section: Section) -> tuple[str, ...]:
        return lstm_section.text_parts(section)

    @classmethod
    def defaults(cls) -> Section:
        return lstm_section.defaults()

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        lstm_section.check(section, config)

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        sizes = ("word_dim", "ingredient_hidden", "sentence_hidden", "instruction_hidden", "forget_bias")
        sizes += ("word_dropout", "dropout", "part_embeddings")
        return cls(
            instructions=lstm_section.instructions_of(section),
            shared_table=section.word_vectors == "shared",
            **{name: section[name] for name in (*sizes, "ingredients", "instruction_lstm_over_padding")},
            title_words=len(tfidf.load(Path(section.vocabulary))) if section.title else None,
            **shared._asdict(),
        )

    @classmethod
    def has_vocabulary(cls, section: Section) -> bool:
        return section.title

    @classmethod
    def reads_title(cls, section: Section) -> bool:
        return section.title

    @property
    def needs_keys(self) -> bool:  # type: ignore[override]
        """Whether anything is dropped in training."""
        return self.word_dropout > 0 or self.dropout > 0

    @classmethod
    def published_multiplicity(cls, params: Any) -> Any:
        """Returns 2 for the bias of an LSTM: PyTorch's LSTM adds two biases, this one stores their sum.

        Both biases get the same gradient. Both count in its norm, and under Adam their sum moves twice as far as one.
        """

        def count(path: tuple[Any, ...], _: jax.Array) -> int:
            names = [entry.key for entry in path]
            return 2 if names[-1] == "bias" and any(name.endswith("_lstm") for name in names) else 1

        return jax.tree_util.tree_map_with_path(count, params)

    @classmethod
    def fit(cls, section: Section, recipes: Iterable[RecipeText]) -> str:
        return lstm_batches.fit_titles(recipes)

    @classmethod
    def own_words(cls, section: Section, recipe: RecipeText) -> tuple[list[str], list[str]]:
        return lstm_batches.own_words(section, recipe)

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        return lstm_batches.make_batch(section, recipes)

    @classmethod
    def unread(cls, section: Section, recipes: Iterable[EncodedRecipe]) -> str:
        return lstm_batches.unread(section, recipes)

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        return lstm_batches.check_query(section, recipe)

    @classmethod
    def reads_sentence_vectors(cls, section: Section) -> bool:
        return lstm_section.instructions_of(section) == "vectors"

    @nn.nowrap
    def global_fields(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        if not self.instruction_lstm_over_padding:
            return {}
        return {"num_steps": jnp.full_like(batch["num_sentences"], jnp.max(batch["num_sentences"]))}

    def setup(self):
        if self.ingredients or self.instructions == "words":
            self.table = self._word_table("table")
        options = {"remat": self.remat, "forget_bias": self.forget_bias, "param_dtype": self.param_dtype}
        if self.ingredients:
            self.ingredient_lstm = BidirectionalLSTM(self.ingredient_hidden, **options)
        if self.instructions == "words":
            if self.ingredients and not self.shared_table:
                self.instruction_table = self._word_table("instruction_table")
            self.sentence_lstm = LSTM(self.sentence_hidden, **options)
        if self.instructions != "none":
            self.instruction_lstm = LSTM(self.instruction_hidden, **options)
        if self.title_words is not None:
            shape = (self.title_words + lstm_batches.FIRST_TITLE_ID, self.word_dim)
            self.title_table = self.param("title_table", layers.word_table, shape, self.param_dtype)
            self.title_lstm = BidirectionalLSTM(self.ingredient_hidden, **options)
        self.fc = Linear(self.embedding_dim, self.param_dtype)

    @property
    def parts(self) -> int:
        """Number of parts of an embedding; see `Parts`."""
        read = (self.ingredients, self.instructions != "none", self.title_words is not None)
        return sum(read) if self.part_embeddings else 0

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: Any = None) -> jax.Array | Parts:
        """Embeds B recipes, before tanh and normalisation. Without dropout, training and evaluation are the same.

        Args:
            batch: `ingredients` (B, 20) ids, 0 = padding at the end; for 'words' `words` (B, S, W) ids, 0 = padding at
                the end of each sentence; for 'vectors' `sentence_vectors` (B, S, F); for both `num_sentences` (B,). A
                sentence without words is a zero vector and still a step. Fields of a disabled part are not read. With
                `instruction_lstm_over_padding`, `num_steps` (B,) is the number of sentences of the longest recipe of
                the global batch. With titles, `title` (B, 20) ids in a vocabulary of their own, 0 = padding at the end.
            train: Whether to drop words and values.
            keys: (B,) PRNG keys, for training with dropout.

        Returns:
            (B, embedding_dim) of `param_dtype`, or `Parts` of it.
        """
        if not train or not self.needs_keys:
            keys = None
        parts, masks = [], []
        if self.ingredients:
            masks.append(batch["ingredients"][:, 0] > END_ID)  # an empty list is [END_ID]
            parts.append(self.embed_ingredients(batch["ingredients"], _folded(keys, 0)))
        if self.instructions != "none":
            masks.append(batch["num_sentences"] > 0)
        if self.instructions == "words":
            vectors = self.embed_words(batch["words"], _folded(keys, 1))
            parts.append(self.embed_sentences(vectors, **_sentences(batch)))
        elif self.instructions == "vectors":
            parts.append(self.embed_sentences(batch["sentence_vectors"], **_sentences(batch)))
        if self.title_words is not None:
            ids = batch["title"]
            masks.append(ids[:, 0] != 0)
            vectors = self._look_up(self.title_table, ids, _folded(keys, 2))
            parts.append(self.title_lstm(vectors, jnp.sum(ids != 0, axis=-1)))
        joined = jnp.concatenate(parts, axis=-1)
        if keys is not None and self.dropout:
            joined = layers.dropout(joined, self.dropout, keys)
        whole = self.fc(joined)
        if not self.part_embeddings:
            return whole
        ends = np.cumsum([part.shape[-1] for part in parts])
        place = np.searchsorted(ends, np.arange(ends[-1]), side="right")
        alone = jnp.where(place == np.arange(len(parts))[:, None], joined[:, None], 0)  # (B, P, F)
        return Parts(whole, self.fc(alone), jnp.stack(masks, axis=1))

    def embed_ingredients(self, ids: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Maps ids (B, N), 0 = padding at the end, to (B, 2·ingredient_hidden); `keys` (B,) drop words."""
        return self.ingredient_lstm(self._look_up(self.table, ids, keys), jnp.sum(ids != 0, axis=-1))

    def embed_words(self, ids: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Maps ids (B, S, W), 0 = padding at the end of a sentence, to sentence vectors (B, S, sentence_hidden)."""
        batch, sentences, words = ids.shape
        own_table = self.ingredients and not self.shared_table
        table = self.instruction_table if own_table else self.table
        vectors = self._look_up(table, ids.reshape(batch, -1), keys).reshape(batch * sentences, words, -1)
        ids = ids.reshape(batch * sentences, words)
        return self.sentence_lstm(vectors, jnp.sum(ids != 0, axis=-1)).reshape(batch, sentences, -1)

    def embed_sentences(
        self, vectors: jax.Array, num_sentences: jax.Array, num_steps: jax.Array | None = None
    ) -> jax.Array:
        """Maps sentence vectors (B, S, D) and the number of sentences (B,) to (B, instruction_hidden)."""
        if self.instruction_lstm_over_padding:
            is_real = jnp.arange(vectors.shape[1]) < num_sentences[:, None]
            vectors = jnp.where(is_real[..., None], vectors, 0)
            num_sentences = jnp.full_like(num_sentences, jnp.max(num_sentences)) if num_steps is None else num_steps
        return self.instruction_lstm(vectors.astype(self.dtype), num_sentences)

    def _word_table(self, name: str) -> jax.Array:
        # Row 0 stays zero in training: no final state depends on a padding step, so its gradient is exactly zero.
        return self.param(name, layers.word_table, (self.table_rows, self.word_dim), self.param_dtype)

    def _look_up(self, table: jax.Array, ids: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Maps ids (B, N) to vectors (B, N, word_dim); `keys` (B,) drop words."""
        # An id outside the table gives NaN, so that records of another vocabulary cannot go unnoticed.
        vectors = jnp.take(table, ids, axis=0, mode="fill").astype(self.dtype)
        if keys is None or not self.word_dropout:
            return vectors
        return vectors * layers.dropout(jnp.ones(ids.shape, self.dtype), self.word_dropout, keys)[..., None]


def _folded(keys: jax.Array | None, number: int) -> jax.Array | None:
    """Returns other (B,) keys for each purpose."""
    return None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def _sentences(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: batch[name] for name in ("num_sentences", "num_steps") if name in batch}
