"""Class names out of recipe titles: frequent bigrams, then the names of Food-101's dishes.

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
from data_builders.file_errors import is_there
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.recipes import PARTITIONS

BACKGROUND = "background"

# "mom's" is "mom" and "'s", "mac 'n cheese" has an "'n"; hyphens and other apostrophes hold a word together;
# what is neither a word nor white space is a token of its own.
_TOKEN = re.compile(r"'s(?!\w)|(?<!\w)n'(?!\w)|'n(?!\w)|\w+(?:-\w+|'(?!s(?!\w))\w+)*|[^\w\s]")


def _lines(name: str) -> list[str]:
    return resources.files("data_builders.recipe1m").joinpath(name).read_text(encoding="utf-8").split("\n")[:-1]


# A bigram with one of these is no dish (the published list).
FORBIDDEN = frozenset(_lines("forbidden.txt"))


def title_tokens(title: str) -> list[str]:
    """Lower-case words and punctuation marks of a title, without English stop words."""
    return [token for token in _TOKEN.findall(title.lower().replace("’", "'")) if token not in STOP_WORDS]


class BigramCounter:
    """Counts the bigrams of a stream of titles; a bigram may join one title's last token to the next one's first."""

    def __init__(self):
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._last: list[str] = []

    def add(self, tokens: list[str]) -> None:
        """Appends a title, given as its tokens, to the stream."""
        tokens = self._last + tokens
        self._counts.update(itertools.pairwise(tokens))
        self._last = tokens[-1:]

    def most_common(self, number: int) -> list[tuple[str, str]]:
        """The most frequent bigrams; among equally frequent ones those that appeared first."""
        return [bigram for bigram, _ in self._counts.most_common(number)]


def food101_names(source: Path) -> list[str]:
    """The names of Food-101's dishes: from the download's `food101_classes_renamed.txt`, or else our own list."""
    path = source / "food101_classes_renamed.txt"
    given = path.read_text(encoding="utf-8-sig", errors="replace").split("\n") if is_there(path) else None
    lines = given or _lines("food101.txt")
    return [name for line in lines if (name := " ".join(line.replace("_", " ").lower().split()))]


def name_classes(
    bigrams: Iterable[tuple[str, str]],
    food101: Iterable[str],
    titles: Sequence[str],
    partitions: Sequence[str],
    options: Options,
) -> tuple[list[str], np.ndarray]:
    """Walks the candidate names, most frequent first, and gives each kept recipe the first class its title contains.

    A candidate names every recipe without a class whose lower-case title contains it; it becomes a class when more
    than `class_min_train` train recipes and at least `class_min_val` and `class_min_test` others get it. Bigrams with
    a forbidden word are skipped and the walk over them ends after `max_classes` classes; then come Food-101's names.

    Args:
        bigrams: candidates, most frequent first.
        food101: further candidates.
        titles: of the kept recipes.
        partitions: of the kept recipes, in the same order.
        options: the thresholds.

    Returns:
        The names, [0] = "background", and (recipes,) int64 class ids, 0 where no class fits.
    """
    partition_ids = np.array([PARTITIONS.index(partition) for partition in partitions], np.int64)
    class_ids = np.zeros(len(titles), np.int64)
    names = [BACKGROUND]
    unclassed = _Titles([title.lower() for title in titles])

    def try_name(name: str) -> None:
        nonlocal unclassed
        found = unclassed.containing(name)
        train, val, test = np.bincount(partition_ids[found], minlength=len(PARTITIONS))
        if train > options.class_min_train and val >= options.class_min_val and test >= options.class_min_test:
            class_ids[found] = len(names)
            names.append(name)
            unclassed = unclassed.without(found)

    for first, second in bigrams:
        if len(names) > options.max_classes:
            break
        if first not in FORBIDDEN and second not in FORBIDDEN:
            try_name(f"{first} {second}")
    # A name that was walked above cannot pass here: the recipes left to it have only become fewer.
    for name in food101:
        try_name(name)
    return names, class_ids


class _Titles:
    """Titles to be searched for names, as one text: Python looks through it many times as fast as title by title.

    Args:
        titles: any texts.
        numbers: of the titles; None: 0, 1, ...
    """

    def __init__(self, titles: list[str], numbers: np.ndarray | None = None):
        self._titles = titles
        self._numbers = np.arange(len(titles)) if numbers is None else numbers
        self._text = "\n".join([*titles, ""])
        self._ends = list(itertools.accumulate(len(title) + 1 for title in titles))

    def containing(self, name: str) -> np.ndarray:
        """The numbers of the titles that contain a name; a name has no line break, so that none lies across two."""
        rows, start = [], 0
        while (at := self._text.find(name, start)) >= 0:
            rows.append(bisect.bisect_right(self._ends, at))
            start = self._ends[rows[-1]]
        return self._numbers[rows]

    def without(self, numbers: np.ndarray) -> "_Titles":
        """The titles of other numbers."""
        left = np.flatnonzero(~np.isin(self._numbers, numbers))
        return _Titles([self._titles[row] for row in left], self._numbers[left])


def class_of_title(title: str, names: Sequence[str]) -> int:
    """The first class whose name a title contains, as for the recipes that the classes were made from; or 0."""
    lowered = title.lower()
    return next((class_id for class_id, name in enumerate(names) if class_id and name in lowered), 0)
