"""Fusion of a search by words with one by embeddings.

Reciprocal rank fusion: Cormack et al., *Reciprocal Rank Fusion Outperforms Condorcet*, SIGIR 2009.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DEPTH = 100
"""Number of results of each search that are fused, or `top` if it is larger."""
_MAX_WORDS = 20
_OFFSET = 60  # of the places, as in the paper
_TITLE = "title"
"""Part of a fused result: the title is the text."""


class Fused(NamedTuple):
    """A result of several searches.

    Attributes:
        row: Row number in the gallery.
        score: Sum of the parts' contributions.
        places: Place of the row in each search that found it, from 1; "title" = 1 if its title is the text.
    """

    row: int
    score: float
    places: dict[str, int]


def words_of(text: str) -> list[str]:
    """Returns the first different words of a text, in lower case."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())
    return list(dict.fromkeys(words))[:_MAX_WORDS]


def fused(searches: Mapping[str, Sequence[int]], titles: Sequence[int], top: int) -> list[Fused]:
    """Fuses the results of several searches by reciprocal ranks; a row whose title is the text comes first.

    Args:
        searches: Name of each search → its rows, best first.
        titles: Rows whose title is the text.
        top: Maximum number of results.
    """
    places: dict[int, dict[str, int]] = {}
    for name, rows in searches.items():
        for place, row in enumerate(rows, 1):
            places.setdefault(row, {})[name] = place
    for row in titles:
        places.setdefault(row, {})[_TITLE] = 1
    scored = [Fused(row, sum(map(_contribution, found, found.values())), found) for row, found in places.items()]
    return sorted(scored, key=lambda each: (-each.score, each.row))[:top]


def _contribution(search: str, place: int) -> float:
    return 1.0 if search == _TITLE else 1 / (_OFFSET + place)
