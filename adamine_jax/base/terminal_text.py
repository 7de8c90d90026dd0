"""Width of text on a terminal."""

import unicodedata


def width(text: str) -> int:
    """Returns the columns of a text: two for wide East Asian characters and emoji, none for combining accents.

    Source: Unicode Standard Annex 11, East Asian Width.
    """
    return sum(map(_width, text))


def fitted(text: str, columns: int) -> str:
    """Truncates a text with "…" or pads it with spaces to exactly `columns` columns."""
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
