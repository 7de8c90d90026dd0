"""Conditions that every result of a search fulfils: ingredients, class, language and tags."""

import dataclasses
import sqlite3
from collections.abc import Iterator

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.database import phrase, rows


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
        yield rows(connection, "SELECT rowid AS row FROM stems WHERE stems MATCH ?", [f"names : {_phrase(name)}"]), True
    for name in chosen.exclude:
        yield (
            rows(connection, "SELECT rowid AS row FROM stems WHERE stems MATCH ?", [f"lines : {_phrase(name)}"]),
            False,
        )
    if chosen.exclude:
        yield rows(connection, "SELECT row FROM items WHERE ingredients = '[]'"), False


def _phrase(name: str) -> str:
    if not (found := phrase(name)):
        raise UserError(f"{name!r}: an ingredient needs at least one word")
    return found
