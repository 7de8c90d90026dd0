"""Derives class names from recipe titles: frequent bigrams first, then the dish names of Food-101.

Salvador et al., "Learning Cross-modal Embeddings for Cooking Recipes and Food Images" (CVPR 2017), section 3.
"""

import bisect
import collections
import itertools
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from adamine_jax.recipes.words import STOP_WORDS
from data_builders.file_errors import file_exists
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.recipes import PARTITIONS

BACKGROUND = "background"

# "mom's" becomes "mom" and "'s"; "mac 'n cheese" contains "'n". Hyphens and other apostrophes join the parts of a word.
# Any other character except white space is a token.
_TOKEN = re.compile(r"'s(?!\w)|(?<!\w)n'(?!\w)|'n(?!\w)|\w+(?:-\w+|'(?!s(?!\w))\w+)*|[^\w\s]")


def _lines(name: str) -> list[str]:
    return resources.files("data_builders.recipe1m").joinpath(name).read_text(encoding="utf-8").split("\n")[:-1]


# A bigram that contains one of these words is not a dish (the published list).
FORBIDDEN = frozenset(_lines("forbidden.txt"))


def title_tokens(title: str) -> list[str]:
    """Returns the lower-case words and punctuation marks of a title, without English stop words."""
    return [token for token in _TOKEN.findall(title.lower().replace("’", "'")) if token not in STOP_WORDS]


class BigramCounter:
    """Counts the bigrams of a stream of titles, including those that span two titles."""

    def __init__(self):
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._last: list[str] = []

    def add(self, tokens: list[str]) -> None:
        """Appends the tokens of a title to the stream."""
        tokens = self._last + tokens
        self._counts.update(itertools.pairwise(tokens))
        self._last = tokens[-1:]

    def most_common(self, number: int) -> list[tuple[str, str]]:
        """Returns the most frequent bigrams; equally frequent ones are in order of first appearance."""
        return [bigram for bigram, _ in self._counts.most_common(number)]


def food101_names(source: Path) -> list[str]:
    """Returns the dish names of Food-101, from the download's `food101_classes_renamed.txt` or the built-in list."""
    path = source / "food101_classes_renamed.txt"
    given = path.read_text(encoding="utf-8-sig", errors="replace").split("\n") if file_exists(path) else None
    lines = given or _lines("food101.txt")
    return [name for line in lines if (name := " ".join(line.replace("_", " ").lower().split()))]


def name_classes(
    bigrams: Iterable[tuple[str, str]],
    food101: Iterable[str],
    titles: Sequence[str],
    partitions: Sequence[str],
    options: Options,
) -> tuple[list[str], np.ndarray]:
    """Assigns to each kept recipe the first class whose name its title contains.

    Candidates are tried in order. A candidate matches every recipe without a class whose lower-case title contains it.
    It becomes a class if more than `class_min_train` train recipes, at least `class_min_val` val and at least
    `class_min_test` test recipes match. Bigrams that contain a forbidden word are skipped, and no more are tried after
    `max_classes` classes; the Food-101 names follow.

    Args:
        bigrams: Candidates, most frequent first.
        food101: Further candidates.
        titles, partitions: Titles and partitions of the kept recipes.
        options: Thresholds.

    Returns:
        The class names, of which the first is "background", and (recipes,) int64 class ids, 0 where no class matches.
    """
    partition_ids = np.array([PARTITIONS.index(partition) for partition in partitions], np.int64)
    class_ids = np.zeros(len(titles), np.int64)
    names = [BACKGROUND]
    unclassified = _Titles([title.lower() for title in titles])

    def try_name(name: str) -> None:
        nonlocal unclassified
        found = unclassified.containing(name)
        train, val, test = np.bincount(partition_ids[found], minlength=len(PARTITIONS))
        if train > options.class_min_train and val >= options.class_min_val and test >= options.class_min_test:
            class_ids[found] = len(names)
            names.append(name)
            unclassified = unclassified.without(found)

    for first, second in bigrams:
        if len(names) > options.max_classes:
            break
        if first not in FORBIDDEN and second not in FORBIDDEN:
            try_name(f"{first} {second}")
    # A name that was rejected or accepted above is rejected here, because fewer recipes are left.
    for name in food101:
        try_name(name)
    return names, class_ids


class _Titles:
    """Numbered titles, joined into one text, which is much faster to search than the single titles."""

    def __init__(self, titles: list[str], numbers: np.ndarray | None = None):
        self._titles = titles
        self._numbers = np.arange(len(titles)) if numbers is None else numbers
        self._text = "\n".join([*titles, ""])
        self._ends = list(itertools.accumulate(len(title) + 1 for title in titles))

    def containing(self, name: str) -> np.ndarray:
        """Returns the numbers of the titles that contain a name, which must not contain a line break."""
        rows, start = [], 0
        while (found := self._text.find(name, start)) >= 0:
            rows.append(bisect.bisect_right(self._ends, found))
            start = self._ends[rows[-1]]
        return self._numbers[rows]

    def without(self, numbers: np.ndarray) -> "_Titles":
        """Returns the titles except those with the given numbers."""
        left = np.flatnonzero(~np.isin(self._numbers, numbers))
        return _Titles([self._titles[row] for row in left], self._numbers[left])


def class_of_title(title: str, names: Sequence[str]) -> int:
    """Returns the id of the first class whose name a title contains, or 0."""
    lowered = title.lower()
    return next((class_id for class_id, name in enumerate(names) if class_id and name in lowered), 0)
