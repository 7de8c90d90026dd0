"""Adds ingredients to a query and removes ingredients from it.

A recipe loses every line that names a removed ingredient and every mention of it in the instructions; an added
ingredient becomes a new line. A photo has no lines: its embedding is shifted by the embeddings of the ingredients.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.mentions import mention
from adamine_jax.recipes.texts import RecipeText

STEP = 0.5
"""Length of the shift that one ingredient adds to the embedding of a photo, which has length 1."""
FORMER_PLACES = 1000
"""Number of results of the unchanged query in which the former place of a result is looked up."""


def changed(recipe: RecipeText, added: Sequence[str], removed: Sequence[str]) -> tuple[RecipeText, list[str]]:
    """Adds ingredients to a recipe and removes others.

    Args:
        recipe: Recipe of the query.
        added: Names of ingredients.
        removed: Names of ingredients. Case and number are ignored, and "chicken" matches "chicken breast".

    Returns:
        The changed recipe, and those of `removed` that it does not contain.
    """
    absent = []
    for name in removed:
        pattern = mention(name)
        instructions = [re.sub(r"\s+", " ", pattern.sub(" ", line)).strip() for line in recipe.instructions]
        without = dataclasses.replace(
            recipe,
            title=re.sub(r"\s+", " ", pattern.sub(" ", recipe.title)).strip(),
            ingredients=tuple(line for line in recipe.ingredients if not _is_named(pattern, line)),
            instructions=tuple(filter(None, instructions)),
            names=None if recipe.names is None else tuple(n for n in recipe.names if not pattern.search(n)),
        )
        if without == recipe:
            absent.append(name)
        recipe = without
    names = None if recipe.names is None else (*recipe.names, *added)
    return dataclasses.replace(recipe, ingredients=(*recipe.ingredients, *added), names=names), absent


def has(recipe: RecipeText, name: str) -> bool:
    """Whether `changed` would remove anything from a recipe when it removes this ingredient."""
    return not changed(recipe, (), (name,))[1]


def moved(photo: np.ndarray, encoder: Encoder, added: Sequence[str], removed: Sequence[str]) -> np.ndarray:
    """Shifts the embedding of a photo towards some ingredients and away from others.

    The model is not trained for this arithmetic, so the results need a critical look.

    Args:
        photo: (1, D) unit row.
        encoder: Embeds each ingredient as a recipe of its own. Ingredients unknown to the model are ignored.
        added: Names of ingredients.
        removed: Names of ingredients.

    Returns:
        (1, D) unit row; `photo` itself if the model knows none of the names.
    """
    added, removed = ([name for name in names if encoder.texts.knows(name)] for names in (added, removed))
    if not added and not removed:
        return photo
    rows = encoder.embed_recipes([RecipeText(ingredients=(name,)) for name in (*added, *removed)])
    return moved_by(photo, rows[: len(added)], rows[len(added) :])


def moved_by(photo: np.ndarray, added: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Shifts like `moved`, given the (n, D) embeddings of the added and removed ingredients."""
    row = photo + STEP * (added.sum(axis=0) - removed.sum(axis=0))
    return (row / np.linalg.norm(row, axis=-1, keepdims=True)).astype(np.float32)


def _is_named(pattern: re.Pattern, line: str) -> bool:
    """Whether a line is the ingredient: one of its names contains it, or it is the whole line."""
    return any(pattern.search(name) for name, _ in ingredient_names(line)) or bool(pattern.fullmatch(line.strip()))
