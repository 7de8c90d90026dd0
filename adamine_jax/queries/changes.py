"""Ingredients taken away from a query, or added to it.

A recipe loses every line that names the ingredient, and every mention of it in the instructions; one that is added is
a line more. A photo has no lines: its embedding is moved by those of the ingredients alone.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.texts import RecipeText

STEP = 0.5
"""Length of what an ingredient adds to a photo's embedding, which has length 1."""
LOOKED_AT = 1000
"""Places of the unchanged query among which a result's former place is looked up."""


def changed(recipe: RecipeText, added: Sequence[str], removed: Sequence[str]) -> tuple[RecipeText, list[str]]:
    """A recipe with some ingredients more and some less.

    Args:
        recipe: of the query.
        added: names.
        removed: names; case and the plural make no difference, and "chicken" is in "chicken breast".

    Returns:
        The recipe, and those of `removed` that it did not have.
    """
    absent = []
    for name in removed:
        pattern = mention(name)
        kept = [line for line in recipe.ingredients if not _names(line, pattern)]
        names = None if recipe.names is None else tuple(n for n in recipe.names if not pattern.search(n))
        lines = [re.sub(r"\s+", " ", pattern.sub(" ", line)).strip() for line in recipe.instructions]
        title = re.sub(r"\s+", " ", pattern.sub(" ", recipe.title)).strip()
        parts = tuple(kept), tuple(line for line in lines if line), names, title
        if parts == (recipe.ingredients, recipe.instructions, recipe.names, recipe.title):
            absent.append(name)
        recipe = dataclasses.replace(
            recipe, ingredients=parts[0], instructions=parts[1], names=parts[2], title=parts[3]
        )
    names = None if recipe.names is None else (*recipe.names, *added)
    return dataclasses.replace(recipe, ingredients=(*recipe.ingredients, *added), names=names), absent


def has(recipe: RecipeText, name: str) -> bool:
    """Whether a recipe names an ingredient, so that `changed` would take something away."""
    return not changed(recipe, (), (name,))[1]


def moved(photo: np.ndarray, encoder: Encoder, added: Sequence[str], removed: Sequence[str]) -> np.ndarray:
    """A photo's embedding, moved towards some ingredients and away from others.

    This is arithmetic, and not what the model was trained for; look at what it finds.

    Args:
        photo: (1, D) unit row.
        encoder: embeds the ingredients, each as a recipe of its own; those it does not know move nothing.
        added: names.
        removed: names.

    Returns:
        (1, D) unit row; the same where the model knows none of the names.
    """
    added, removed = ([name for name in names if encoder.texts.knows(name)] for names in (added, removed))
    if not added and not removed:
        return photo
    rows = encoder.embed_recipes([alone(name) for name in (*added, *removed)])
    return moved_by(photo, rows[: len(added)], rows[len(added) :])


def moved_by(photo: np.ndarray, added: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """As `moved`, with the (n, D) embeddings of what is added and what is removed."""
    row = photo + STEP * (added.sum(axis=0) - removed.sum(axis=0))
    return (row / np.linalg.norm(row, axis=-1, keepdims=True)).astype(np.float32)


def alone(name: str) -> RecipeText:
    """An ingredient as a recipe of its own."""
    return RecipeText(ingredients=(name,))


def mention(name: str) -> re.Pattern:
    """Finds a name as whole words, in the singular and in the plural; one without words finds nothing."""
    *others, last = name.lower().replace("_", " ").split() or [""]
    if not last:
        return re.compile(r"(?!)")
    between = r"[\s_-]+"
    return re.compile(rf"\b{between.join([*map(re.escape, others), _singular_or_plural(last)])}\b", re.IGNORECASE)


def stem(word: str) -> str:
    """What the singular and the plural of a word begin with."""
    return _divided(word)[0]


def _singular_or_plural(word: str) -> str:
    """A pattern: "tomatoes" and "tomato" give the same, "berries" and "berry" as well."""
    beginning, endings = _divided(word)
    return re.escape(beginning) + endings


def _divided(word: str) -> tuple[str, str]:
    """A word's stem, and a pattern of what may follow."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3], "(?:y|ies|ie)"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1], "(?:y|ies)"
    if word.endswith(("oes", "ches", "shes", "sses", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss") and len(word) > 1:
        word = word[:-1]
    return word, "(?:s|es)?"


def _names(line: str, mention: re.Pattern) -> bool:
    """Whether an ingredient's line names it: in its name, if one is found there, or anywhere."""
    return any(mention.search(name) for name, _ in ingredient_names(line)) or bool(mention.fullmatch(line.strip()))
