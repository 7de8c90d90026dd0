"""From the words of records to padded id arrays, inside TensorFlow."""

from adamine_jax.input.host_tensorflow import tf
from adamine_jax.models.adamine import MAX_INGREDIENTS


def pad_ingredients(ids: tf.RaggedTensor) -> tf.Tensor:
    """(B, None) ragged int64 → (B, 20) int32, 0 = padding; what is past the 20th is cut."""
    return tf.cast(ids[:, :MAX_INGREDIENTS].to_tensor(shape=(None, MAX_INGREDIENTS)), tf.int32)


def pad_sentences(
    word_ids: tf.RaggedTensor, sentence_lengths: tf.RaggedTensor, max_sentences: int, max_words: int
) -> tf.Tensor:
    """Splits the running words of each recipe into sentences and pads them.

    Args:
        word_ids: (B, None) ragged int64, the words of all sentences of a recipe, one sentence after the other.
        sentence_lengths: (B, None) ragged int64, words of each sentence.
        max_sentences: S, sentences kept of a recipe.
        max_words: W, words kept of a sentence.

    Returns:
        (B, S, W) int32, 0 = padding; the first sentences of a recipe, the first words of a sentence.
    """
    sentences = tf.RaggedTensor.from_row_splits(
        tf.RaggedTensor.from_row_lengths(word_ids.flat_values, sentence_lengths.flat_values),
        sentence_lengths.row_splits,
    )
    padded = sentences[:, :max_sentences, :max_words].to_tensor(shape=(None, max_sentences, max_words))
    return tf.cast(padded, tf.int32)
