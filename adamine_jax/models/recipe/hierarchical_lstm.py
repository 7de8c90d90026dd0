"""The published recipe tower: ingredients and instructions to one vector."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, number, one_of
from adamine_jax.models import layers
from adamine_jax.models.base import RecipeTower, Section, Shared
from adamine_jax.models.layers import Linear
from adamine_jax.models.recipe import padding
from adamine_jax.models.recipe.lstm import LSTM, BidirectionalLSTM
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText


class HierarchicalLSTM(RecipeTower):
    """A bidirectional LSTM over the ingredients, a hierarchical one over the instructions, and a linear layer.

    Carvalho et al., *Cross-Modal Retrieval in the Cooking Context* (SIGIR 2018), section 3; the ingredients as in
    Salvador et al. (CVPR 2017). An ingredient list or an instruction list that is empty counts as the zero vector.

    Attributes:
        embedding_dim: length of the output.
        table_rows: rows of a word table: the words, and 3 for padding (0), end (1) and unknown (last).
        ingredients: whether the ingredients take part.
        instructions: 'words' (LSTM over the words of a sentence, then over the sentences), 'vectors' (one given
            vector a sentence) or 'none'.
        word_dim: length of a word's vector.
        ingredient_hidden: state of each direction of the ingredients' LSTM.
        sentence_hidden: state of the LSTM over the words of a sentence.
        instruction_hidden: state of the LSTM over the sentences.
        shared_table: whether instruction words are looked up in the ingredients' table, or in one of their own.
        instruction_lstm_over_padding: lets the LSTM over the sentences run on, over zero vectors, up to the end of
            the longest recipe of the batch, as the published code does: embeddings then depend on the batch.
        remat: recomputes the LSTMs' activations in the backward pass instead of keeping them.
        forget_bias: of the LSTMs at first, see `layers.lstm_bias`.
        dtype: of the matrix products in the LSTMs.
        param_dtype: of the parameters and of the output.
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
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    word_tables: ClassVar[tuple[str, ...]] = ("table", "instruction_table")
    rules: ClassVar[Mapping[str, Rule]] = {
        "ingredients": BOOLEAN,
        "instructions": one_of("words", "vectors", "none", None, False),
        "word_vectors": one_of("shared", "separate"),
        "word_dim": (
            "None (as long as the data set's word vectors) or a whole number from 1",
            lambda v: v is None or integer(1)[1](v),
        ),
        "instruction_lstm_over_padding": BOOLEAN,
        **{
            name: integer(1)
            for name in (
                "sentence_dim",
                "max_sentences",
                "max_words",
                "ingredient_hidden",
                "sentence_hidden",
                "instruction_hidden",
            )
        },
        "word_norm": number("above 0"),
        "forget_bias": number("from 0"),
    }

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.ingredients = True  # False: recipes without their ingredients
        tower.instructions = "words"  # 'words', 'vectors' (given ones, as published) or 'none': no instructions
        tower.sentence_dim = 1024  # length of data.sentence_vectors, filled in from the file
        tower.max_sentences = 20  # sentences kept of a recipe
        tower.max_words = 48  # words kept of a sentence
        tower.word_dim = 300  # of the word vectors; None = as long as the data set's
        tower.word_norm = 1.0  # length of the word vectors at first; small LSTMs learn sooner from longer ones
        tower.word_vectors = "shared"  # one table for ingredients and instructions, or 'separate' ones
        tower.ingredient_hidden = 300  # of each direction of the ingredient LSTM
        tower.sentence_hidden = 1024  # of the LSTM over the words of a sentence
        tower.instruction_hidden = 1024  # of the LSTM over the sentences
        tower.forget_bias = 0.0  # of the LSTMs' forget gates at first; 2 to 4 = a longer memory, for small data
        tower.instruction_lstm_over_padding = False  # True: as published, for its weights
        return tower

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        if not section.ingredients and _instructions(section) == "none":
            raise UserError(
                "config.model.recipe.ingredients = False and config.model.recipe.instructions = 'none': a recipe needs "
                "one of the two parts; switch ingredients on, or set instructions to 'words' or 'vectors'"
            )
        given = config.data.sentence_vectors
        if _instructions(section) == "vectors" and not given:
            raise UserError(
                "config.model.recipe.instructions = 'vectors': needs a config.data.sentence_vectors, the file with "
                "them; or take 'words' or 'none'"
            )
        if given and _instructions(section) != "vectors":
            raise UserError(
                f"config.data.sentence_vectors = {given}: nothing reads it; "
                "takes config.model.recipe.instructions = 'vectors' beside it"
            )

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        sizes = ("word_dim", "ingredient_hidden", "sentence_hidden", "instruction_hidden", "forget_bias")
        return cls(
            instructions=_instructions(section),
            shared_table=section.word_vectors == "shared",
            **{name: section[name] for name in (*sizes, "ingredients", "instruction_lstm_over_padding")},
            **shared._asdict(),
        )

    @classmethod
    def copies(cls, params: Any) -> Any:
        """2 for an LSTM's bias: PyTorch's LSTMs have two biases that only ever act as their sum, which is kept here.

        Both get the same gradient: both count in its norm, and under Adam their sum moves twice as far as one of them.
        """

        def count(path: tuple[Any, ...], _: jax.Array) -> int:
            names = [entry.key for entry in path]
            return 2 if names[-1] == "bias" and any(name.endswith("_lstm") for name in names) else 1

        return jax.tree_util.tree_map_with_path(count, params)

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        """Pads the ids; see `__call__` for the fields."""
        longest, lengths = section.max_sentences, [recipe.sentence_lengths for recipe in recipes]
        batch = {"ingredients": padding.pad_ingredients([recipe.ingredient_ids for recipe in recipes])}
        if _instructions(section) == "vectors":
            vectors = [recipe.sentence_vectors for recipe in recipes]
            batch["sentence_vectors"] = padding.pad_vectors(vectors, longest, section.sentence_dim)
            lengths = [() if given is None else given for given in vectors]
        else:
            words = [recipe.word_ids for recipe in recipes]
            batch["words"] = padding.pad_sentences(words, lengths, longest, section.max_words)
        counts = [len(sentences) for sentences in lengths]
        return batch | {"num_sentences": np.minimum(counts, longest).astype(np.int32)}

    @classmethod
    def reads_sentence_vectors(cls, section: Section) -> bool:
        return _instructions(section) == "vectors"

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        instructions = _instructions(section)
        if instructions == "vectors" and (recipe.instructions or not recipe.ingredients):
            return (
                "the model reads given vectors of the instructions (config.model.recipe.instructions = 'vectors') "
                "and cannot embed their text; give the ingredients alone, or embed a split"
            )
        if not section.ingredients and not recipe.instructions and not recipe.title:
            return "the model reads instructions alone; give some, or a title"
        if instructions == "none" and not (recipe.ingredients or recipe.names or recipe.title):
            return "the model reads ingredients alone; give some, or a title"
        return ""

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
        self.fc = Linear(self.embedding_dim, self.param_dtype)

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: Any = None) -> jax.Array:
        """Embeds B recipes, before tanh and normalisation; the same in training and in evaluation.

        Args:
            batch: `ingredients` (B, 20) ids, 0 = padding at the end; for 'words' `words` (B, 20, W) ids, 0 = padding
                at the end of each sentence; for 'vectors' `sentence_vectors` (B, 20, 1024); for both of these
                `num_sentences` (B,). A sentence without words is a zero vector and still a step. What belongs to a
                part that is switched off is not read. `num_steps` (B,), for `instruction_lstm_over_padding` where
                the batch is only a part of the whole one: its longest recipe's sentences.

        Returns:
            (B, embedding_dim) of `param_dtype`.
        """
        parts = []
        if self.ingredients:
            parts.append(self.embed_ingredients(batch["ingredients"]))
        if self.instructions == "words":
            parts.append(self.embed_sentences(self.embed_words(batch["words"]), **_sentences(batch)))
        elif self.instructions == "vectors":
            parts.append(self.embed_sentences(batch["sentence_vectors"], **_sentences(batch)))
        return self.fc(jnp.concatenate(parts, axis=-1))

    def embed_ingredients(self, ids: jax.Array) -> jax.Array:
        """Maps ids (B, N), 0 = padding at the end, to (B, 2·ingredient_hidden)."""
        return self.ingredient_lstm(self._look_up(self.table, ids), jnp.sum(ids != 0, axis=-1))

    def embed_words(self, ids: jax.Array) -> jax.Array:
        """Maps ids (B, S, W), 0 = padding at the end of a sentence, to sentence vectors (B, S, sentence_hidden)."""
        batch, sentences, words = ids.shape
        own_table = self.ingredients and not self.shared_table
        ids = ids.reshape(batch * sentences, words)
        vectors = self._look_up(self.instruction_table if own_table else self.table, ids)
        return self.sentence_lstm(vectors, jnp.sum(ids != 0, axis=-1)).reshape(batch, sentences, -1)

    def embed_sentences(
        self, vectors: jax.Array, num_sentences: jax.Array, num_steps: jax.Array | None = None
    ) -> jax.Array:
        """Maps sentence vectors (B, S, D) and their numbers (B,) to (B, instruction_hidden)."""
        if self.instruction_lstm_over_padding:
            is_real = jnp.arange(vectors.shape[1]) < num_sentences[:, None]
            vectors = jnp.where(is_real[..., None], vectors, 0)
            num_sentences = jnp.full_like(num_sentences, jnp.max(num_sentences)) if num_steps is None else num_steps
        return self.instruction_lstm(vectors.astype(self.dtype), num_sentences)

    def _word_table(self, name: str) -> jax.Array:
        # Row 0 stays zero in training: no final state depends on a padding step, so its gradient is exactly zero.
        return self.param(name, layers.word_table, (self.table_rows, self.word_dim), self.param_dtype)

    def _look_up(self, table: jax.Array, ids: jax.Array) -> jax.Array:
        # An id outside the table gives NaN, not a neighbour's row: a dataset of another vocabulary must not go unseen.
        return jnp.take(table, ids, axis=0, mode="fill").astype(self.dtype)


def _instructions(section: Section) -> str:
    """The field `instructions`; None and False are 'none'."""
    return section.instructions or "none"


def _sentences(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: batch[name] for name in ("num_sentences", "num_steps") if name in batch}
