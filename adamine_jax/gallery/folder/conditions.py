"""The rows of a gallery's database that fulfil the conditions of a filter."""

import sqlite3
from collections.abc import Iterator

import numpy as np

from adamine_jax.gallery.filters import Filter, phrase
from adamine_jax.gallery.folder.database import rows

STEMS = "SELECT rowid AS row FROM stems WHERE stems MATCH ?"


def in_lines(name: str) -> str:
    """Returns the query of `STEMS` for the rows with an ingredient anywhere in their lines."""
    return f'lines : "{phrase(name)}"'


def matching(connection: sqlite3.Connection, chosen: Filter) -> Iterator[tuple[np.ndarray, bool]]:
    """Yields the ascending rows that fulfil a condition, and whether they are kept or left out.

    Raises:
        UserError: An ingredient has no word.
    """
    if chosen.class_name is not None:
        yield rows(connection, "SELECT row FROM items WHERE class = ?", [chosen.class_name]), True
    if chosen.language:
        yield rows(connection, "SELECT row FROM items WHERE language = ?", [chosen.language]), True
    for name, value in chosen.tags:
        query = "SELECT row FROM tags WHERE name = ? COLLATE NOCASE AND value = ? COLLATE NOCASE"
        yield rows(connection, query, [name, value]), True
    for name in chosen.include:
        yield rows(connection, STEMS, [f'names : "{phrase(name)}"']), True
    for name in chosen.exclude:
        yield rows(connection, STEMS, [in_lines(name)]), False
    if chosen.exclude:
        yield rows(connection, "SELECT row FROM items WHERE ingredients = '[]'"), False
