"""The word lists of the rule for ingredient names, `ingredient_words.txt`."""

import re
from importlib import resources
from types import SimpleNamespace


def word_lists() -> SimpleNamespace:
    """Each section of the file as a frozen set of words."""
    text = resources.files("adamine_jax.recipes").joinpath("ingredient_words.txt").read_text(encoding="utf-8")
    lists: dict[str, list[str]] = {}
    words: list[str] = []
    for line in text.split("\n"):
        content = line.split("#")[0].strip()
        if section := re.fullmatch(r"\[(\w+)\]", content):
            words = lists.setdefault(section[1], [])
        elif content:
            words += [word.strip() for word in content.split(",") if word.strip()]
    return SimpleNamespace(**{name: frozenset(words) for name, words in lists.items()})
