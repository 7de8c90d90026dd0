"""From a recipe as a person writes it to the ids of a vocabulary: the converter's rules, on one recipe.

A query has the ids, and so the embedding, that it would have as a record.
"""

import functools
from collections.abc import Sequence

import numpy as np

from adamine_jax.recipes import words
from adamine_jax.recipes.encoded import EncodedRecipe
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.stop_words import STOP_WORDS
from adamine_jax.recipes.texts import RecipeText

MOST_WORDS_OF_A_NAME = 4


class TextEncoder:
    """Maps recipes to the ids of a vocabulary.

    A recipe without ingredients has an empty list of them, one without instructions no sentences, which the tower
    counts as zero vectors. A title is no input of the model: it stands in where it is all that is given. The names of
    ingredients that it holds then count as the recipe's, and it is read as the one instruction.

    Args:
        vocabulary: the V words; word k has the id k + 2.
        split_unknown: reads an unknown name of an ingredient as its words; see `words.ingredient_ids`.
        reads_vocabulary: whether the model reads the vocabulary's words alone; if not, no word is unknown to it.
    """

    def __init__(self, vocabulary: Sequence[str], split_unknown: bool = False, reads_vocabulary: bool = True):
        self._ids = {word: number + words.FIRST_WORD_ID for number, word in enumerate(vocabulary)}
        self._unknown_id = len(vocabulary) + words.FIRST_WORD_ID
        self._split_unknown, self._reads_vocabulary = split_unknown, reads_vocabulary
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

    def encode(self, recipe: RecipeText) -> EncodedRecipe:
        """The recipe as recipe towers get it."""
        sentences = self.sentence_ids(recipe)
        return EncodedRecipe(
            np.array(self.ingredient_ids(recipe), np.int64),
            np.array([word for sentence in sentences for word in sentence], np.int64),
            np.array([len(sentence) for sentence in sentences], np.int64),
            text=lambda: recipe,
        )

    def names(self, recipe: RecipeText) -> list[str]:
        """Names of the ingredients, as they are looked up in the vocabulary."""
        return list(self._names(recipe)[0])

    def unknown_names(self, recipe: RecipeText) -> list[str]:
        """Names of ingredients that the vocabulary lacks, so that the model does not see them."""
        return [name for name in self._names(recipe)[0] if self._reads_vocabulary and not self._is_read(name)]

    def knows(self, name: str) -> bool:
        """Whether the model knows an ingredient that a person calls so."""
        if not self._reads_vocabulary:
            return True
        recipe = RecipeText(ingredients=(name,))
        return len(self.ingredient_ids(recipe)) > 1 and not self.unknown_names(recipe)  # the last id ends them

    def reads(self, recipe: RecipeText) -> bool:
        """Whether the vocabulary has any ingredient or any word of a recipe."""
        if not self._reads_vocabulary:
            return True
        spoken = (word for line in self._sentences(recipe) for word in line if any(map(str.isalpha, word)))
        return len(self.ingredient_ids(recipe)) > 1 or any(word in self._ids for word in spoken)

    def unknown_title_words(self, recipe: RecipeText) -> list[str]:
        """Words that the vocabulary lacks, "and" and the like aside, of a title that is all there is of a recipe."""
        if not self._reads_vocabulary or recipe.ingredients or recipe.instructions or recipe.names:
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
