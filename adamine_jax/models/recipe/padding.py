"""Pads the ids and vectors of recipes to arrays of a fixed shape."""

from collections.abc import Sequence

import numpy as np

MAX_INGREDIENTS = 20
"""Maximum number of ingredients per recipe."""


def pad_ingredients(ids: Sequence[np.ndarray]) -> np.ndarray:
    """Pads or truncates B lists of ids to (B, 20) int32, 0 = padding."""
    padded = np.zeros((len(ids), MAX_INGREDIENTS), np.int32)
    for row, kept in zip(padded, (recipe[:MAX_INGREDIENTS] for recipe in ids), strict=True):
        row[: len(kept)] = kept
    return padded


def pad_sentences(
    word_ids: Sequence[np.ndarray], sentence_lengths: Sequence[np.ndarray], max_sentences: int, max_words: int
) -> np.ndarray:
    """Splits the words of each recipe into sentences and pads them.

    Args:
        word_ids: B lists of the words of all sentences, concatenated.
        sentence_lengths: B lists of the number of words of each sentence.
        max_sentences: S; further sentences are dropped.
        max_words: W; further words of a sentence are dropped.

    Returns:
        (B, S, W) int32, 0 = padding.
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
    """Pads B lists of (n, F) sentence vectors, None = no sentence, to (B, S, F) float32 with zeros."""
    padded = np.zeros((len(vectors), max_sentences, length), np.float32)
    for row, given in zip(padded, vectors, strict=True):
        if given is not None:
            row[: len(given)] = given[:max_sentences]
    return padded


def _rows_and_places(counts: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the row of each item and its place in the row, for `counts` items per row."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
