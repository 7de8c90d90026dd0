"""Texts in the columns of a terminal."""

import unicodedata


def width(text: str) -> int:
    """Columns that a text takes: two for East Asian wide characters and emoji, none for accents that combine.

    Source: Unicode Standard Annex 11, East Asian Width.
    """
    return sum(map(_width, text))


def fitted(text: str, columns: int) -> str:
    """A text of exactly so many columns: cut off with "…", or filled up with spaces."""
    if width(text) > columns:
        taken, kept = 1, ""
        for character in text:
            taken += _width(character)
            if taken > columns:
                break
            kept += character
        text = f"{kept}…"
    return text + " " * (columns - width(text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
