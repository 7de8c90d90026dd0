"""Search by words in PostgreSQL."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adamine_jax.gallery.fusion import words_of
from adamine_jax.gallery.postgresql.connections import run
from adamine_jax.gallery.postgresql.schema import folded
from adamine_jax.gallery.postgresql.schema import text as cleaned

if TYPE_CHECKING:
    import psycopg

RANKED = 1000
"""Maximum number of items with each word that are ranked."""
_WEIGHTS = [0.0, 0.1, 0.3, 1.0]  # of no part, the instructions, the ingredients and the title
_LENGTH = 1  # divides by 1 + the logarithm of a text's length


def find(
    connection: "psycopg.Connection",
    items: str,
    configuration: str,
    text: str,
    top: int,
    condition: str,
    arguments: Sequence[Any],
) -> list[int]:
    """Returns the rows of the items that a text describes, best first: those with all words, then any.

    Words of the title count more than those of the ingredients, and these more than those of the instructions; a word
    counts less the more items have it. Of the items with a very frequent word, only `RANKED` are compared.

    Args:
        connection: Connection to the database.
        items: Table of the items.
        configuration: PostgreSQL's text search configuration of the gallery.
        text: Words; everything else is ignored.
        top: Maximum number of rows.
        condition: SQL condition on the items.
        arguments: Its arguments.
    """
    words = words_of(folded(text))

    def ranked(query: str) -> dict[int, float]:
        matching = f"SELECT row, words FROM {items} WHERE words @@ plainto_tsquery(%s, %s) AND {condition} LIMIT %s"
        rank = f"SELECT row, ts_rank(%s::real[], words, plainto_tsquery(%s, %s), {_LENGTH}) FROM ({matching}) AS found"
        values = [_WEIGHTS, configuration, query, configuration, query, *arguments, RANKED]
        return dict(run(connection, rank, values))

    if not words:
        return []
    found = _best(ranked(" ".join(words)))
    if len(found) < top and len(words) > 1:
        total: dict[int, float] = {}
        for word in words:
            scores = ranked(word)
            for row, score in scores.items():
                total[row] = total.get(row, 0.0) + score / len(scores)
        found = list(dict.fromkeys([*found, *_best(total)]))
    return found[:top]


def titled(
    connection: "psycopg.Connection", items: str, text: str, condition: str, arguments: Sequence[Any]
) -> list[int]:
    """Returns the rows whose title is the text, in any case."""
    title = " ".join(cleaned(text).split())
    query = f"SELECT row FROM {items} WHERE md5(lower(title)) = md5(lower(%s)) AND {condition} ORDER BY row"
    return [row for (row,) in run(connection, query, [title, *arguments])]


def _best(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda row: (-scores[row], row))
