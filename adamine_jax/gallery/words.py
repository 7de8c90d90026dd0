"""Search by words, ranked by BM25, and its fusion with the search by embeddings.

BM25: Robertson and Zaragoza, *The Probabilistic Relevance Framework*, 2009, as implemented by SQLite's FTS5. Reciprocal
rank fusion: Cormack et al., *Reciprocal Rank Fusion Outperforms Condorcet*, SIGIR 2009.
"""

import collections
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adamine_jax.gallery.database import text as cleaned

DEPTH = 100
"""Number of results of each search that are fused."""
RANKED = 1000
"""Maximum number of items that are ranked: computing BM25 takes microseconds an item."""
_MAX_WORDS = 20
_MAX_BLOCKS = 10

Allowed = Callable[[np.ndarray], np.ndarray]
"""Function from row numbers to whether each may be a result."""
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


def find(connection: sqlite3.Connection, text: str, top: int, are_allowed: Allowed) -> list[int]:
    """Returns the rows of the items that a text describes, best first: those with all words, then any.

    Words of the title count more than those of the ingredients, and these more than those of the instructions. Of the
    items with a very frequent word, only `RANKED` are compared.

    Args:
        connection: Database of the gallery.
        text: Words; everything else is ignored.
        top: Maximum number of rows.
        are_allowed: Returns which of some rows may be results.
    """
    words = list(dict.fromkeys(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())))[:_MAX_WORDS]
    if not words:
        return []
    found = _ranked(_scores(connection, " ".join(f'"{word}"' for word in words), RANKED, are_allowed))
    if len(found) < top and len(words) > 1:
        # BM25 is a sum over words, each of which is searched apart, so that a frequent one does not hide a rare one.
        total: collections.Counter[int] = collections.Counter()
        for word in words:
            total.update(_scores(connection, f'"{word}"', RANKED // len(words), are_allowed))
        found = list(dict.fromkeys([*found, *_ranked(total)]))
    return found[:top]


def _scores(connection: sqlite3.Connection, query: str, most: int, are_allowed: Allowed) -> dict[int, float]:
    """Returns the BM25 scores of the first rows that match a query."""
    matches = connection.execute("SELECT rowid, rank FROM words WHERE words MATCH ?", (query,))
    scores: dict[int, float] = {}
    for _ in range(_MAX_BLOCKS):
        if len(scores) >= most or not (block := matches.fetchmany(most)):
            break
        allowed = are_allowed(np.array([row for row, _ in block]))
        scores.update(
            (row, -rank) for (row, rank), is_allowed in zip(block, allowed.tolist(), strict=True) if is_allowed
        )
    return scores


def _ranked(scores: Mapping[int, float]) -> list[int]:
    return sorted(scores, key=lambda row: (-scores[row], row))


def titled(connection: sqlite3.Connection, text: str, are_allowed: Allowed) -> list[int]:
    """Returns the rows whose title is the text, in any case."""
    found = connection.execute(
        "SELECT row FROM items WHERE title = ? COLLATE NOCASE", (" ".join(cleaned(text).split()),)
    )
    rows = np.array([row for (row,) in found], np.int64)
    return rows[are_allowed(rows)].tolist()


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
