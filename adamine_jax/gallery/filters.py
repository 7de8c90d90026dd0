"""Conditions that every result of a search fulfils: ingredients, class, language and tags."""

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.languages import names_in
from adamine_jax.recipes.mentions import singular

_BETWEEN_LINES = " 0 "  # keeps consecutive words within a line


@dataclasses.dataclass(frozen=True)
class Filter:
    """Conditions on items, all of which hold for every result.

    Attributes:
        class_name: Name of the class, in any case; None = any.
        include: Ingredients that an item has. Each is a word or several consecutive words of the name of an ingredient,
            in the singular or plural.
        exclude: Ingredients that an item does not have: no line contains the word or words, whether or not the name of
            the ingredient does. Items without ingredients are left out too, because nothing is known about them.
        language: ISO 639-1 code; "" = any.
        tags: (name, value) pairs, in any case.
    """

    class_name: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    language: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return self != Filter()


class Stems(NamedTuple):
    """Stems of the words of an item's ingredients, by which filters find it.

    Attributes:
        names: Those of the names.
        lines: Those of the whole lines.
    """

    names: str
    lines: str


def stems_of(lines: Sequence[str], language: str) -> Stems:
    """Returns the stems of ingredient lines."""
    names = _BETWEEN_LINES.join(_stems(name) for line in lines for name, _ in names_in(line, language))
    return Stems(names, _BETWEEN_LINES.join(map(_stems, lines)))


def phrase(name: str) -> str:
    """Returns the stems of the words of an ingredient in a filter, which an item must have consecutively.

    Raises:
        UserError: The ingredient has no word.
    """
    if not (words := _stems(name)):
        raise UserError(f"{name!r}: an ingredient needs at least one word")
    return words


@functools.lru_cache(1 << 17)
def _stems(line: str) -> str:
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", line).lower())
    return " ".join(map(singular, words))
