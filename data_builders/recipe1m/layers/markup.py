"""Texts and numbers of a report as they may be printed, and Markdown's tables."""

from collections.abc import Sequence

TITLE_CHARS = 60


def shown(text: str, most: int = TITLE_CHARS) -> str:
    """A text from a download as it may be printed: one line, no control characters, not endless."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(char for char in line if char.isprintable())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def escaped(text: str) -> str:
    """A text from a download as it may stand in Markdown."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~&$" else char for char in text)


def share(part: int, whole: int) -> str:
    """A part in percent of the whole."""
    return f"{100 * part / whole:.1f} %" if whole else "none"


def named(text: str) -> str:
    """A word or name from a download as it may be printed, where an empty one is to be seen too."""
    return shown(text) or "(empty)"


def counted(number: int, thing: str) -> str:
    """A number of things in words: "1 photo", "1,200 photos"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def table(head: Sequence[str], rows: Sequence[Sequence[str | int]], text_columns: int = 1) -> list[str]:
    """The lines of a table whose columns are set to the right, but for the first `text_columns`."""
    rules = "---|" * text_columns + "---:|" * (len(head) - text_columns)
    cells = [[cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], f"|{rules}", *lines[1:]]
