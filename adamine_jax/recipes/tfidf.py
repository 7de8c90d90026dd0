"""TF-IDF weights of the words of a recipe, with separate columns for title, ingredients and instructions."""

import collections
import functools
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.recipes.words import STOP_WORDS

_WORD = re.compile(r"[^\W_]{2,}")


class TfIdf:
    """Maps recipes to TF-IDF weights.

    A word has one column for each part of the recipe. Its weight is (1 + ln n) · idf, where n is its number in the
    part, scaled so that the weights of each part have norm 1 (`TfidfVectorizer(sublinear_tf=True)` of scikit-learn).

    Args:
        columns: For each part, the words in the order of their columns with their inverse document frequencies.
        pairs: Whether pairs of neighbouring words are words, too.
    """

    def __init__(self, columns: Mapping[str, Mapping[str, float]], pairs: bool = False):
        self.columns, self._pairs = {part: dict(words) for part, words in columns.items()}, pairs
        starts = itertools.accumulate((len(words) for words in columns.values()), initial=0)
        self._places = {
            part: {word: start + number for number, word in enumerate(words)}
            for (part, words), start in zip(columns.items(), starts, strict=False)
        }
        self._idf = np.array([idf for words in columns.values() for idf in words.values()], np.float32)
        self.encode = functools.lru_cache(maxsize=20_000)(self._encode)

    def __len__(self) -> int:
        return len(self._idf)

    def _encode(self, recipe: RecipeText) -> tuple[np.ndarray, np.ndarray]:
        """Returns the (n,) int32 columns of a recipe's known words and their (n,) float32 weights."""
        columns, weights = [], []
        for part, places in self._places.items():
            counts = collections.Counter(
                place for word in _words(recipe, part, self._pairs) if (place := places.get(word)) is not None
            )
            found = np.fromiter(counts, np.int32, len(counts))
            weight = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * self._idf[found]
            columns.append(found)
            weights.append(weight / max(float(np.linalg.norm(weight)), 1e-12))
        return np.concatenate(columns), np.concatenate(weights).astype(np.float32)

    def columns_of(self, recipe: RecipeText, part: str) -> list[int]:
        """Returns the columns of the known words of a part in order of appearance; pairs do not count."""
        places = self._places[part]
        return [places[word] for word in _words(recipe, part, pairs=False) if word in places]

    def split_words(self, recipe: RecipeText) -> tuple[list[str], list[str]]:
        """Returns the known and the unknown words of a recipe, each in order of appearance; pairs do not count."""
        known, unknown = [], []
        for part, places in self._places.items():
            for word in _words(recipe, part, pairs=False):
                (known if word in places else unknown).append(word)
        return known, unknown

    def to_json(self) -> str:
        """Returns the content of a file for `load`."""
        return json.dumps({"pairs": self._pairs, "columns": self.columns}, ensure_ascii=False, indent=0) + "\n"


def fit(recipes: Iterable[RecipeText], parts: Sequence[str], *, min_count: int, max_words: int, pairs: bool) -> TfIdf:
    """Computes the words and inverse document frequencies of a collection.

    The inverse document frequency of a word that d of N recipes contain is 1 + ln((1 + N) / (1 + d)).

    Args:
        recipes: Recipes of the train split.
        parts: Those of `texts.PARTS` that are read.
        min_count: Number of recipes that must contain a word in a part.
        max_words: Maximum number of words per part; the most frequent ones are kept.
        pairs: See `TfIdf`.
    """
    total, counts = 0, {part: collections.Counter[str]() for part in parts}
    for recipe in recipes:
        total += 1
        for part, counter in counts.items():
            counter.update(set(_words(recipe, part, pairs)))
    columns = {}
    for part, counter in counts.items():
        frequent = sorted((-count, word) for word, count in counter.items() if count >= min_count)[:max_words]
        columns[part] = {word: round(1 + math.log((1 + total) / (1 - count)), 6) for count, word in frequent}
    return TfIdf(columns, pairs)


def load(path: Path) -> TfIdf:
    """Reads a file written by `TfIdf.to_json`.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        return _load(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); it lists the words of the recipe tower") from None


@functools.lru_cache(maxsize=4)
def _load(path: Path, _: int) -> TfIdf:
    stored = json.loads(path.read_text(encoding="utf-8"))
    return TfIdf(stored["columns"], stored["pairs"])


def _words(recipe: RecipeText, part: str, pairs: bool) -> Iterator[str]:
    """Yields the words of a part in lower case, without stop words, and with `pairs` the pairs of each line."""
    for line in _lines(recipe, part):
        words = [word for word in _WORD.findall(line.lower()) if word not in STOP_WORDS]
        yield from words
        if pairs:
            yield from (f"{first} {second}" for first, second in itertools.pairwise(words))


def _lines(recipe: RecipeText, part: str) -> Sequence[str]:
    if part == "title":
        return (recipe.title,)
    if part == "ingredients":
        return recipe.ingredients or recipe.names or ()
    return recipe.instructions
