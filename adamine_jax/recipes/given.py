"""Recipes that people give as queries, whole or partial."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import Entry, UnusableError, draft, field_of, known_fields
from adamine_jax.recipes.texts import RecipeText

_LISTS = ("keywords", "tags")  # fields whose text is a list with commas
_MAX_COLUMNS, _MAX_VALUES, _MAX_TAG = 50, 20, 100


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
        tags=tuple(_tags(entry.values)),
        photos=tuple((entry.folder, name) for name in (*found.photos, *found.photos_beside)),
    )
    if recipe.is_empty:
        raise UserError(f"{entry.where}: an empty recipe; give any of title, ingredients and instructions")
    return recipe


def _tags(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the short texts and numbers of the fields that are no part of a recipe."""
    for name, value in itertools.islice(values.items(), _MAX_COLUMNS):
        if not isinstance(name, str) or name.startswith("@") or field_of(name) or len(name) > _MAX_TAG:
            continue
        texts = value if isinstance(value, list) else [value]
        if name.lower() in _LISTS and isinstance(value, str):
            texts = value.split(",")
        for text in texts[:_MAX_VALUES]:
            tag = " ".join(str(text).split()) if isinstance(text, str | int | float) else ""
            if tag and len(tag) <= _MAX_TAG and "://" not in tag:
                yield name, tag
