"""Formats texts, numbers and Markdown tables of reports."""

from collections.abc import Sequence

TITLE_CHARS = 60


def shown(text: str, limit: int = TITLE_CHARS) -> str:
    """Makes a text from a download printable: one line, no control characters, limited length."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(char for char in line if char.isprintable())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def escaped(text: str) -> str:
    """Escapes a text for Markdown."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~&$" else char for char in text)


def share(part: int, whole: int) -> str:
    """Formats a part of a whole in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "none"


def named(text: str) -> str:
    """Makes a word or name printable; an empty one becomes "(empty)"."""
    return shown(text) or "(empty)"


def counted(number: int, thing: str) -> str:
    """Formats a number of things: "1 photo", "1,200 photos"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def table(head: Sequence[str], rows: Sequence[Sequence[str | int]], text_columns: int = 1) -> list[str]:
    """Returns the lines of a table; all columns except the first `text_columns` are right-aligned."""
    rules = "---|" * text_columns + "---:|" * (len(head) - text_columns)
    cells = [[cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], f"|{rules}", *lines[1:]]
