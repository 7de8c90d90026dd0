"""The text tower: ingredients and instructions to one vector."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.models import initial
from adamine_jax.models.linear import Linear
from adamine_jax.models.recipe.lstm import LSTM, BidirectionalLSTM


class RecipeTower(nn.Module):
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
        forget_bias: of the LSTMs at first, see `initial.lstm_bias`.
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

    def __call__(self, batch: dict[str, jax.Array]) -> jax.Array:
        """Embeds B recipes, before tanh and normalisation.

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
        return self.param(name, initial.word_table, (self.table_rows, self.word_dim), self.param_dtype)

    def _look_up(self, table: jax.Array, ids: jax.Array) -> jax.Array:
        # An id outside the table gives NaN, not a neighbour's row: a dataset of another vocabulary must not go unseen.
        return jnp.take(table, ids, axis=0, mode="fill").astype(self.dtype)


def _sentences(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: batch[name] for name in ("num_sentences", "num_steps") if name in batch}
