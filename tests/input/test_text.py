"""Padding, compared with plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adamine_jax.models.recipe.padding import pad_ingredients, pad_sentences

IDS = st.integers(1, 2**31 - 1)
RECIPES = st.lists(st.lists(st.lists(IDS, max_size=9), max_size=7), min_size=1, max_size=6)


def arrays(lists):
    return [np.array(values, np.int64) for values in lists]


@given(RECIPES, st.integers(1, 8), st.integers(1, 10))
def test_sentences_are_cut_and_padded(recipes, max_sentences, max_words):
    words = arrays([word for sentence in recipe for word in sentence] for recipe in recipes)
    lengths = arrays([len(sentence) for sentence in recipe] for recipe in recipes)
    padded = pad_sentences(words, lengths, max_sentences, max_words)
    assert (padded.shape, padded.dtype) == ((len(recipes), max_sentences, max_words), np.int32)
    for block, recipe in zip(padded.tolist(), recipes, strict=True):
        for row in range(max_sentences):
            sentence = recipe[row][:max_words] if row < len(recipe) else []
            assert block[row] == sentence + [0] * (max_words - len(sentence))


@given(st.lists(st.lists(IDS, max_size=30), min_size=1, max_size=5))
def test_ingredients_are_cut_and_padded(recipes):
    padded = pad_ingredients(arrays(recipes))
    assert (padded.shape, padded.dtype) == ((len(recipes), 20), np.int32)
    assert padded.tolist() == [(recipe + [0] * 20)[:20] for recipe in recipes]
