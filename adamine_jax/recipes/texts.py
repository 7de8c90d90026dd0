"""Recipes as people write them, read from JSON."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import Entry, UnusableError, draft, known_fields

MOST_BYTES = 1_000_000
"""Of the file of one recipe."""


@dataclasses.dataclass(frozen=True)
class RecipeText:
    """A recipe, or a part of one.

    Attributes:
        title: as written; it is no input of the model, see `TextEncoder`.
        ingredients: lines as written.
        instructions: lines as written.
        id: given, or "".
        class_name: given, or "".
        names: of the ingredients, if they were given; None = they are found in the lines.
    """

    title: str = ""
    ingredients: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    id: str = ""
    class_name: str = ""
    names: tuple[str, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go by."""
        return not (self.title or self.ingredients or self.instructions or self.names)


def recipe_of(values: Any, where: str) -> RecipeText:
    """A recipe from a JSON object; the fields' names are those of docs/own_recipes.md.

    Args:
        values: with any of `title`, `ingredients`, `instructions`; these may be lists of lines or one text.
        where: to be told to a person.

    Raises:
        UserError: it is no object, a field holds something else than it should, or there is nothing in it.
    """
    if not isinstance(values, Mapping):
        raise UserError(f'{where}: is no recipe; takes a JSON object like {{"title": …, "ingredients": […]}}')
    known = known_fields(values)
    has_title, has_parts = "title" in known, not known.keys().isdisjoint(("ingredients", "instructions"))
    # What is made for whole recipes reads parts of one as well, if their gaps are filled.
    filled = {**values, **({} if has_title else {"title": "-"}), **({} if has_parts else {"instructions": ["-"]})}
    try:
        found = draft(Entry(where, Path(), filled), with_classes=True)
    except UnusableError as error:
        raise UserError(f"{where}: {error}") from None
    recipe = RecipeText(
        title=found.title if has_title else "",
        ingredients=tuple(found.ingredients) if has_parts else (),
        instructions=tuple(found.instructions) if has_parts else (),
        id=found.given_id,
        class_name=found.class_name,
        names=tuple(found.names) if found.names else None,
    )
    if recipe.is_empty:
        raise UserError(f"{where}: an empty recipe; give any of title, ingredients and instructions")
    return recipe


def read_recipe(path: Path) -> RecipeText:
    """Reads a file with one recipe as a JSON object; see `recipe_of`.

    Raises:
        UserError: it cannot be read, is too long, or is no recipe.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a JSON file with one recipe") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: more than {MOST_BYTES:,} bytes are too long for one recipe")
    return recipe_of(_parsed(content, str(path)), str(path))


def read_recipe_lines(path: Path) -> Iterator[RecipeText]:
    """Reads a file of recipes, one JSON object a line; empty lines are passed over.

    Raises:
        UserError: the file cannot be read, or a line is no recipe (it is named).
    """
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    if len(line) > MOST_BYTES:
                        raise UserError(f"{where}: more than {MOST_BYTES:,} bytes are too long for one recipe")
                    yield recipe_of(_parsed(line, where), where)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a file with a JSON object a line") from None


def _parsed(content: bytes, where: str) -> Any:
    try:
        return json.loads(content.strip())
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in error.doc else ""
        reason = f"{error.msg}, {line}column {error.colno}"
    except (ValueError, RecursionError):
        reason = "not text in UTF-8, or nested too deeply"
    raise UserError(f"{where}: not JSON ({reason}); takes one recipe as a JSON object")
