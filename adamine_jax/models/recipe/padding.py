"""From the words of recipes to padded id arrays."""

from collections.abc import Sequence

import numpy as np

MAX_INGREDIENTS = 20
"""Ingredients kept of a recipe."""


def pad_ingredients(ids: Sequence[np.ndarray]) -> np.ndarray:
    """B lists of ids → (B, 20) int32, 0 = padding; what is past the 20th is cut."""
    padded = np.zeros((len(ids), MAX_INGREDIENTS), np.int32)
    for row, kept in zip(padded, (recipe[:MAX_INGREDIENTS] for recipe in ids), strict=True):
        row[: len(kept)] = kept
    return padded


def pad_sentences(
    word_ids: Sequence[np.ndarray], sentence_lengths: Sequence[np.ndarray], max_sentences: int, max_words: int
) -> np.ndarray:
    """Splits the running words of each recipe into sentences and pads them.

    Args:
        word_ids: B lists, the words of all sentences of a recipe, one sentence after the other.
        sentence_lengths: B lists, words of each sentence; they add up to the words of the recipe.
        max_sentences: S, sentences kept of a recipe.
        max_words: W, words kept of a sentence.

    Returns:
        (B, S, W) int32, 0 = padding; the first sentences of a recipe, the first words of a sentence.
    """
    padded = np.zeros((len(word_ids), max_sentences, max_words), np.int32)
    words, lengths = np.concatenate(word_ids), np.concatenate(sentence_lengths)
    recipe, place = _rows_and_places([len(recipe) for recipe in sentence_lengths])
    starts, is_kept = np.cumsum(lengths) - lengths, place < max_sentences
    sentence, column = _rows_and_places(np.minimum(lengths, max_words)[is_kept])
    recipe, place, starts = (values[is_kept][sentence] for values in (recipe, place, starts))
    padded[recipe, place, column] = words[starts + column]
    return padded


def pad_vectors(vectors: Sequence[np.ndarray | None], max_sentences: int, length: int) -> np.ndarray:
    """B lists (n, F) of sentence vectors, None = no sentence → (B, S, F) float32, zeros at the end."""
    padded = np.zeros((len(vectors), max_sentences, length), np.float32)
    for row, given in zip(padded, vectors, strict=True):
        if given is not None:
            row[: len(given)] = given[:max_sentences]
    return padded


def _rows_and_places(counts: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For so many items in each row, one row after the other: each item's row, and its place in it."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
