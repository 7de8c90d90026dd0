"""Encodes recipe text as ids of a vocabulary, by the rules of the data set builder.

A query therefore gets the same ids, and the same embedding, as an equal record of the data set.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from adamine_jax.recipes import words
from adamine_jax.recipes.languages import language_of, names_in
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText

_MAX_TITLE_NAME_WORDS = 4
"""Maximum length of an ingredient name in a title."""


class TextEncoder:
    """Encodes recipes as ids of a vocabulary.

    Missing ingredients are encoded as an empty list, missing instructions as no sentences; the tower replaces both by
    zero vectors. A model that does not read titles still reads a recipe that consists of a title alone: the ingredient
    names in it count as the recipe's, and it is read as the only instruction.

    Args:
        vocabulary: V words; word k has the id k + 2.
        split_unknown: Whether an unknown ingredient name is read as its words; see `words.ingredient_ids`.
        reads_vocabulary: Whether the model reads the ids; otherwise it reads only the text.
        reads_title: Whether the model reads titles, from the text.
        own_words: Returns the known and the unknown words of what the model reads of the text; see
            `RecipeTower.own_words`.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        split_unknown: bool = False,
        reads_vocabulary: bool = True,
        reads_title: bool = False,
        own_words: Callable[[RecipeText], tuple[list[str], list[str]]] = lambda _: ([], []),
    ):
        self._ids = {word: number + words.FIRST_WORD_ID for number, word in enumerate(vocabulary)}
        self._unknown_id = len(vocabulary) + words.FIRST_WORD_ID
        self._split_unknown, self._reads_vocabulary = split_unknown, reads_vocabulary
        self._reads_title, self._own_words = reads_title, own_words
        self._names = functools.lru_cache(maxsize=1024)(self._extract_names)  # used by every method below

    def ingredient_ids(self, recipe: RecipeText) -> list[int]:
        """Returns the ids of the known ingredients followed by the id of `</i>`; empty if none were given."""
        names = self._read_names(recipe)
        return self._ids_of(names) if names or recipe.ingredients else []

    def sentence_ids(self, recipe: RecipeText) -> list[list[int]]:
        """Returns the word ids of each instruction."""
        return [words.word_ids(sentence, self._ids, self._unknown_id) for sentence in self._sentences(recipe)]

    def encode(self, recipe: RecipeText) -> EncodedRecipe:
        """Encodes a recipe for recipe towers."""
        sentences = self.sentence_ids(recipe)
        return EncodedRecipe(
            np.array(self.ingredient_ids(recipe), np.int64),
            np.array([word for sentence in sentences for word in sentence], np.int64),
            np.array([len(sentence) for sentence in sentences], np.int64),
            text=lambda: recipe,
        )

    def names(self, recipe: RecipeText) -> list[str]:
        """Returns the ingredient names of a recipe; those in its title, if it consists of a title alone."""
        return list(self._names(recipe)[0])

    def unknown_names(self, recipe: RecipeText) -> list[str]:
        """Returns the ingredient names that the model does not know, and therefore ignores."""
        return [name for name in self._read_names(recipe) if not self._is_known(name)]

    def knows(self, name: str) -> bool:
        """Whether the model knows an ingredient of this name."""
        names = self._names(RecipeText(ingredients=(name,)))[0]
        return bool(names) and all(map(self._is_known, names))

    def reads(self, recipe: RecipeText) -> bool:
        """Whether the model knows any ingredient or word of a recipe."""
        if self._own_words(recipe)[0]:
            return True
        if not self._reads_vocabulary:
            return False
        return any(map(self._is_known, self._read_names(recipe))) or any(
            word in self._ids for word in self._instruction_words(recipe)
        )

    def unknown_title_words(self, recipe: RecipeText) -> list[str]:
        """Returns the unknown words, without stop words, of a title that the model reads."""
        if self._reads_title:
            return list(dict.fromkeys(self._own_words(RecipeText(title=recipe.title))[1]))
        if not _is_title_alone(recipe):
            return []
        unknown = dict.fromkeys(word.lower() for word in self._instruction_words(recipe) if word not in self._ids)
        name_words = {word for name in self._names(recipe)[0] for word in name.split()}
        return [word for word in unknown if word not in name_words and word not in words.STOP_WORDS]

    def similar_names(self, name: str, most: int = 3) -> list[str]:
        """Returns multi-word names of the vocabulary that contain all words of `name`: fresh basil, for basil."""
        if not self._reads_vocabulary:
            return []
        required = set(name.lower().split())
        found = [word for word in self._ids if required <= set(word.split("_")) and "_" in word]
        return [word.replace("_", " ") for word in sorted(found, key=lambda word: (len(word), word))[:most]]

    def _ids_of(self, names: Sequence[str]) -> list[int]:
        return words.ingredient_ids(names, self._ids, split_unknown=self._split_unknown)

    def _read_names(self, recipe: RecipeText) -> list[str]:
        """Returns the ingredient names that the model reads as such."""
        return [] if self._reads_title and _is_title_alone(recipe) else self._names(recipe)[0]

    def _is_known(self, name: str) -> bool:
        if not self._reads_vocabulary:
            return bool(self._own_words(RecipeText(names=(name,)))[0])
        return len(self._ids_of([name])) > 1  # the last id ends the list

    def _sentences(self, recipe: RecipeText) -> list[list[str]]:
        """Returns the words of each instruction."""
        lines = (recipe.title,) if not self._reads_title and _is_title_alone(recipe) else recipe.instructions
        phrases = words.sure_phrases(*self._names(recipe))
        return [words.instruction_words(line, phrases) for line in lines]

    def _instruction_words(self, recipe: RecipeText) -> Iterator[str]:
        """Yields the words of all instructions that contain a letter."""
        return (word for line in self._sentences(recipe) for word in line if any(map(str.isalpha, word)))

    def _extract_names(self, recipe: RecipeText) -> tuple[list[str], list[bool]]:
        """Returns the ingredient names, and whether the rule is sure of each."""
        if recipe.names is not None:
            return list(recipe.names), [True] * len(recipe.names)
        if not recipe.ingredients and not recipe.instructions:
            names = self._names_in(recipe.title)
            return names, [True] * len(names)
        # A few words, such as a query's ingredients, do not tell their language.
        language = language_of(recipe.ingredients, recipe.instructions) if recipe.instructions else ""
        found = [
            (self._known_form(name, line), sure)
            for line in recipe.ingredients
            for name, sure in names_in(line, language)
        ]
        return [name for name, _ in found], [sure for _, sure in found]

    def _known_form(self, name: str, line: str) -> str:
        """Replaces an unknown name by the vocabulary's name for the same line, if it has one.

        Recipe1M's ingredients were named by other detectors than our rule: "fresh basil" where the rule finds basil,
        and "all - purpose flour" with spaces.
        """
        if self._is_known(name):
            return name
        spaced = " ".join(name.replace("-", " - ").split())
        if words.ingredient_word(spaced) in self._ids:
            return spaced
        longer = (other for other in self._names_in(line.replace("-", " - ")) if f" {name} " in f" {other} ")
        return next(longer, name)

    def _names_in(self, title: str) -> list[str]:
        """Finds the vocabulary's names in a title, longest first at each position: "Green Bean Salad" -> green bean."""
        parts, names, start = words.instruction_words(title.lower(), ()), [], 0
        while start < len(parts):
            for end in range(min(start + _MAX_TITLE_NAME_WORDS, len(parts)), start, -1):
                if words.ingredient_word(name := " ".join(parts[start:end])) in self._ids:
                    names.append(name)
                    break
            else:
                end = start + 1
            start = end
        return names


def _is_title_alone(recipe: RecipeText) -> bool:
    return not (recipe.instructions or recipe.ingredients or recipe.names)
