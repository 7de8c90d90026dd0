"""A recipe as recipe towers get it, whether it is a record of a data set or a query that a person wrote."""

import dataclasses
from collections.abc import Callable

import numpy as np

from adamine_jax.recipes.texts import RecipeText


def _no_ids() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclasses.dataclass(frozen=True)
class EncodedRecipe:
    """The ids of a recipe's words in the vocabulary of the data set, and its text.

    Attributes:
        ingredient_ids: (n,) ids of the ingredients.
        word_ids: (m,) ids of the words of all sentences, one sentence after the other.
        sentence_lengths: (s,) words of each sentence; they add up to m.
        sentence_vectors: (s, F) given vectors of the sentences; None where there are none.
        text: Returns the recipe as written, for towers with a tokenizer of their own.
    """

    ingredient_ids: np.ndarray = dataclasses.field(default_factory=_no_ids)
    word_ids: np.ndarray = dataclasses.field(default_factory=_no_ids)
    sentence_lengths: np.ndarray = dataclasses.field(default_factory=_no_ids)
    sentence_vectors: np.ndarray | None = None
    text: Callable[[], RecipeText] = RecipeText
