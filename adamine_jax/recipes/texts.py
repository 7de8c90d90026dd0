"""Recipes as text, and as the arrays that recipe towers receive."""

import dataclasses
import functools
import hashlib
import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("title", "ingredients", "instructions")


@dataclasses.dataclass(frozen=True)
class RecipeText:
    """A whole or partial recipe as text.

    Attributes:
        title: Title as written. Towers that do not read titles use it only in place of a missing rest, see
            `TextEncoder`.
        ingredients: Ingredient lines as written.
        instructions: Instruction lines as written.
        id: Given id, or "".
        class_name: Given class, or "".
        names: Given ingredient names; None = extracted from the ingredient lines.
        tags: (name, value) of further fields of the source.
        photos: Folder and path, as listed, of each of its photos, which may be missing.
    """

    title: str = ""
    ingredients: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    id: str = ""
    class_name: str = ""
    names: tuple[str, ...] | None = None
    tags: tuple[tuple[str, str], ...] = dataclasses.field(default=(), compare=False)
    photos: tuple[tuple[Path, str], ...] = dataclasses.field(default=(), compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether the recipe has no text that can be embedded."""
        return not (self.title or self.ingredients or self.instructions or self.names)


def text_digest(title: str, ingredients: Sequence[str], instructions: Sequence[str]) -> str:
    """Returns the hexadecimal SHA-256 of a recipe's text, ignoring case, spacing and Unicode composition."""

    def canonical(line: str) -> str:
        return " ".join(unicodedata.normalize("NFC", line).casefold().split())

    record = [canonical(title), [canonical(line) for line in ingredients], [canonical(line) for line in instructions]]
    return hashlib.sha256(json.dumps(record).encode("ascii")).hexdigest()


_no_ids = functools.partial(np.zeros, 0, np.int64)


@dataclasses.dataclass(frozen=True)
class EncodedRecipe:
    """A recipe as recipe towers receive it: word ids in the data set's vocabulary, and the text.

    Attributes:
        ingredient_ids: (n,) ids of the ingredients.
        word_ids: (m,) ids of the words of all sentences, concatenated.
        sentence_lengths: (s,) number of words of each sentence; the sum is m.
        sentence_vectors: (s, F) given vectors of the sentences, or None.
        vectors: (F,) float32 given vectors of the recipe, concatenated, or None.
        tokens: Its subword tokens, a `tokens.Tokens`, if they were made before, or None.
        text: Returns the recipe as text, for towers with a tokenizer of their own.
    """

    ingredient_ids: np.ndarray = dataclasses.field(default_factory=_no_ids)
    word_ids: np.ndarray = dataclasses.field(default_factory=_no_ids)
    sentence_lengths: np.ndarray = dataclasses.field(default_factory=_no_ids)
    sentence_vectors: np.ndarray | None = None
    vectors: np.ndarray | None = None
    tokens: Any = None
    text: Callable[[], RecipeText] = RecipeText


def unread_query(recipe: RecipeText, parts: Sequence[str]) -> str:
    """Returns why a tower that reads some of `PARTS` cannot embed a query; empty if it can."""
    given = (recipe.title, recipe.ingredients or recipe.names, recipe.instructions)
    if any(lines for part, lines in zip(PARTS, given, strict=True) if part in parts):
        return ""
    return f"the model reads only {' and '.join(parts)}; give any of them"
