"""Search by words, ranked by BM25.

BM25: Robertson and Zaragoza, *The Probabilistic Relevance Framework*, 2009, as implemented by SQLite's FTS5.
"""

import collections
import sqlite3
from collections.abc import Callable, Mapping

import numpy as np

from adamine_jax.gallery.folder.database import text as cleaned
from adamine_jax.gallery.fusion import words_of

RANKED = 1000
"""Maximum number of items that are ranked: computing BM25 takes microseconds an item."""
_MAX_BLOCKS = 10

Allowed = Callable[[np.ndarray], np.ndarray]
"""Function from row numbers to whether each may be a result."""


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
    words = words_of(text)
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
