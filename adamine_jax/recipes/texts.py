"""Recipes as text, and as the arrays that recipe towers receive."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import PARTS, Entry, UnusableError, draft, known_fields


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
    """

    title: str = ""
    ingredients: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    id: str = ""
    class_name: str = ""
    names: tuple[str, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the recipe has no text that can be embedded."""
        return not (self.title or self.ingredients or self.instructions or self.names)


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


def recipe_of(values: Any, where: str) -> RecipeText:
    """Converts a JSON object to a recipe, as an import does; docs/own_recipes.md lists the names of the fields.

    Args:
        values: Object with any of `title`, `ingredients` and `instructions`; the latter two are lists of lines or text.
        where: File, line or parameter, for errors.

    Raises:
        UserError: The value is not an object, or the recipe is empty.
    """
    if not isinstance(values, Mapping):
        raise UserError(f'{where}: not a recipe; must be a JSON object like {{"title": …, "ingredients": […]}}')
    return text_of(Entry(where, Path(), values, is_linked_data="@type" in values))


def text_of(entry: Entry) -> RecipeText:
    """Converts a whole or partial record to a recipe; see `recipe_of`."""
    fields = known_fields(entry.values)
    has_title, has_parts = "title" in fields, not fields.keys().isdisjoint(("ingredients", "instructions"))
    # `draft` requires whole recipes, so missing parts are filled with placeholders.
    filled = {**({} if has_title else {"title": "-"}), **({} if has_parts else {"instructions": ["-"]})}
    try:
        found = draft(dataclasses.replace(entry, values={**entry.values, **filled}), with_classes=True)
    except UnusableError as error:
        raise UserError(f"{entry.where}: {error}") from None
    recipe = RecipeText(
        title=found.title if has_title else "",
        ingredients=tuple(found.ingredients) if has_parts else (),
        instructions=tuple(found.instructions) if has_parts else (),
        id=found.given_id,
        class_name=found.class_name,
        names=tuple(found.names) if found.names else None,
    )
    if recipe.is_empty:
        raise UserError(f"{entry.where}: an empty recipe; give any of title, ingredients and instructions")
    return recipe
