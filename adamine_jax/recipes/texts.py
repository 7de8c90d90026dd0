"""From a recipe as a person writes it to the ids that the recipe tower reads: the converter's rules, on one recipe.

A recipe that went through `python -m data_builders.recipe1m import` and one that is read here have the same ids, so the
same embedding.
"""

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.recipes import words
from adamine_jax.recipes.fields import Entry, UnusableError, draft, known_fields
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.stop_words import STOP_WORDS

MOST_WORDS_OF_A_NAME = 4
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


class TextEncoder:
    """Maps recipes to the ids of a vocabulary.

    A recipe without ingredients has an empty list of them, one without instructions no sentences, which the tower
    counts as zero vectors. A title is no input of the model: it stands in where it is all that is given. The names of
    ingredients that it holds then count as the recipe's, and it is read as the one instruction.

    Args:
        vocabulary: the V words; word k has the id k + 2.
        split_unknown: reads an unknown name of an ingredient as its words; see `words.ingredient_ids`.
    """

    def __init__(self, vocabulary: Sequence[str], split_unknown: bool = False):
        self._ids = {word: number + words.FIRST_WORD_ID for number, word in enumerate(vocabulary)}
        self._unknown_id = len(vocabulary) + words.FIRST_WORD_ID
        self._split_unknown = split_unknown
        self._names = functools.lru_cache(maxsize=1024)(self._found_names)  # each part of a recipe asks for them

    def ingredient_ids(self, recipe: RecipeText) -> list[int]:
        """Ids of the ingredients that the vocabulary knows, ended by `</i>`; empty where none was given."""
        names = self._names(recipe)[0]
        if not names and not recipe.ingredients:
            return []
        return words.ingredient_ids(names, self._ids, split_unknown=self._split_unknown)

    def sentence_ids(self, recipe: RecipeText) -> list[list[int]]:
        """Ids of the words of each instruction."""
        return [words.word_ids(line, self._ids, self._unknown_id) for line in self._sentences(recipe)]

    def names(self, recipe: RecipeText) -> list[str]:
        """Names of the ingredients, as they are looked up in the vocabulary."""
        return list(self._names(recipe)[0])

    def unknown_names(self, recipe: RecipeText) -> list[str]:
        """Names of ingredients that the vocabulary lacks, so that the model does not see them."""
        return [name for name in self._names(recipe)[0] if not self._is_read(name)]

    def knows(self, name: str) -> bool:
        """Whether the vocabulary has an ingredient that a person calls so."""
        recipe = RecipeText(ingredients=(name,))
        return len(self.ingredient_ids(recipe)) > 1 and not self.unknown_names(recipe)  # the last id ends them

    def reads(self, recipe: RecipeText) -> bool:
        """Whether the vocabulary has any ingredient or any word of a recipe."""
        spoken = (word for line in self._sentences(recipe) for word in line if any(map(str.isalpha, word)))
        return len(self.ingredient_ids(recipe)) > 1 or any(word in self._ids for word in spoken)

    def unknown_title_words(self, recipe: RecipeText) -> list[str]:
        """Words that the vocabulary lacks, "and" and the like aside, of a title that is all there is of a recipe."""
        if recipe.ingredients or recipe.instructions or recipe.names:
            return []
        spoken = (word for line in self._sentences(recipe) for word in line if any(map(str.isalpha, word)))
        unseen = dict.fromkeys(word.lower() for word in spoken if word not in self._ids)
        named = {word for name in self._names(recipe)[0] for word in name.split()}
        return [word for word in unseen if word not in named and word not in STOP_WORDS]

    def similar_names(self, name: str, most: int = 3) -> list[str]:
        """Names that the vocabulary has and that hold all words of another one: fresh basil, for basil."""
        wanted = set(name.lower().split())
        found = [word for word in self._ids if wanted <= set(word.split("_")) and "_" in word]
        return [word.replace("_", " ") for word in sorted(found, key=lambda word: (len(word), word))[:most]]

    def _sentences(self, recipe: RecipeText) -> list[list[str]]:
        """The words of each instruction."""
        phrases = words.sure_phrases(*self._names(recipe))
        return [words.instruction_words(line, phrases) for line in _instructions(recipe)]

    def _is_read(self, name: str) -> bool:
        return len(words.ingredient_ids([name], self._ids, split_unknown=self._split_unknown)) > 1

    def _found_names(self, recipe: RecipeText) -> tuple[list[str], list[bool]]:
        if recipe.names is not None:
            return list(recipe.names), [True] * len(recipe.names)
        if not recipe.ingredients and not recipe.instructions:
            names = self._names_in(recipe.title)
            return names, [True] * len(names)
        found = [
            (self._known_form(name, line), sure) for line in recipe.ingredients for name, sure in ingredient_names(line)
        ]
        return [name for name, _ in found], [sure for _, sure in found]

    def _known_form(self, name: str, line: str) -> str:
        """A name that the vocabulary lacks as the one it has for the line, if there is one.

        Other detectors than our rule have named the ingredients of Recipe1M: "fresh basil" where we find basil, and
        "all - purpose flour", with blanks.
        """
        if self._is_read(name):
            return name
        apart = " ".join(name.replace("-", " - ").split())
        if words.ingredient_word(apart) in self._ids:
            return apart
        longer = (other for other in self._names_in(line.replace("-", " - ")) if f" {name} " in f" {other} ")
        return next(longer, name)

    def _names_in(self, title: str) -> list[str]:
        """What a title names of the vocabulary, the longest names first: "Green Bean Salad" → green bean."""
        parts, names, start = words.instruction_words(title.lower(), ()), [], 0
        while start < len(parts):
            for end in range(min(start + MOST_WORDS_OF_A_NAME, len(parts)), start, -1):
                if words.ingredient_word(name := " ".join(parts[start:end])) in self._ids:
                    names.append(name)
                    break
            else:
                end = start + 1
            start = end
        return names


def _instructions(recipe: RecipeText) -> tuple[str, ...]:
    return recipe.instructions or (() if recipe.ingredients or recipe.names else (recipe.title,))


def _parsed(content: bytes, where: str) -> Any:
    try:
        return json.loads(content.strip())
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in error.doc else ""
        reason = f"{error.msg}, {line}column {error.colno}"
    except (ValueError, RecursionError):
        reason = "not text in UTF-8, or nested too deeply"
    raise UserError(f"{where}: not JSON ({reason}); takes one recipe as a JSON object")
