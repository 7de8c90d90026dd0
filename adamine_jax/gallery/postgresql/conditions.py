"""Filters of a gallery in PostgreSQL, as SQL conditions on its table `items`."""

from typing import Any

from adamine_jax.gallery.filters import Filter, phrase
from adamine_jax.gallery.postgresql.schema import bounded, tag_key, text


def condition(where: Filter) -> tuple[str, list[Any]]:
    """Returns the SQL condition of a filter whose class is as written, and its arguments; "true" for none.

    Raises:
        UserError: An ingredient has no word.
    """
    found: list[tuple[str, list[Any]]] = []
    if where.class_name is not None:
        found.append(("class = %s", [text(where.class_name)]))
    if where.language:
        found.append(("language = %s", [text(where.language)]))
    found += [("tag_keys @> %s::text[]", [[tag_key(name, value)]]) for name, value in where.tags]
    found += [containing("names", name) for name in where.include]
    found += [(f"NOT {sql}", arguments) for sql, arguments in (containing("lines", name) for name in where.exclude)]
    if where.exclude:
        found.append(("cardinality(ingredients) > 0", []))
    return " AND ".join(sql for sql, _ in found) or "true", [each for _, arguments in found for each in arguments]


def containing(column: str, name: str) -> tuple[str, list[Any]]:
    """Returns the SQL condition that the stems `names` or `lines` contain an ingredient, and its arguments."""
    words = bounded(phrase(text(name)))
    # The words by an index, and that they are consecutive by comparing texts.
    sql = f"(string_to_array({column}, ' ') @> %s::text[] AND ' ' || {column} || ' ' LIKE %s)"
    return sql, [words.split(), f"% {words} %"]
