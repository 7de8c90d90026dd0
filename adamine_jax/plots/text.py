"""Prepares arbitrary recipe text for a figure: replaces characters the font lacks and fits lines into a width."""

import bisect
import functools
import re
import unicodedata
from collections.abc import Callable

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import text_to_path

from adamine_jax.plots.style import FONT

_UNKNOWN = "□"
_HINTING = 1.04  # rendered glyphs are up to this much wider than the outlines measured here
_MAX_CHARS = 1000  # per line; bounds the time spent on measuring a very long text


def printable(text: str) -> str:
    """Returns `text` on one line, with a box for each run of characters missing from the font.

    Invisible characters (joiners, variation selectors, controls) are dropped.
    """
    glyphs = _glyphs()
    shown = []
    for character in unicodedata.normalize("NFC", text):
        if character.isspace():
            shown.append(" ")
        elif unicodedata.category(character) in ("Cc", "Cf") or unicodedata.name(character, "").startswith("VARIATION"):
            continue
        else:
            shown.append(character if ord(character) in glyphs else _UNKNOWN)
    return " ".join(re.sub(f"{_UNKNOWN}+", _UNKNOWN, "".join(shown)).split())


def wrap(text: str, width: float, size: float, lines: int, weight: str = "normal") -> list[str]:
    """Breaks `text` into at most `lines` lines no wider than `width`, ending in an ellipsis if it is cut.

    matplotlib's own wrapping only knows the width of the figure and has no limit on the number of lines.

    Args:
        text: Any string; passed through `printable`.
        width: Width in points (1/72 inch).
        size: Font size in points.
        lines: Maximum number of lines, at least 1.
        weight: "normal" or "bold".

    Returns:
        The lines; an empty list for an empty text.
    """
    fits = _fits(width, size, weight)
    result = []
    text = printable(" ".join(text.split())[: _MAX_CHARS * lines])
    while text:
        length = _longest(len(text), lambda n, text=text: fits(text[:n]))
        if length == len(text):
            return [*result, text]
        if len(result) == lines - 1:
            length = _longest(len(text), lambda n, text=text: fits(text[:n].rstrip() + "…"))
            return [*result, text[:length].rstrip(" ,;:.·") + "…"]
        space = text.rfind(" ", 0, length + 1)
        end = space if space > 0 else max(1, length)  # a word wider than the line is broken
        result.append(text[:end])
        text = text[end:].lstrip()
    return result


def squeeze(text: str, width: float, size: float) -> str:
    """Returns `text` on one line no wider than `width`, its middle replaced by an ellipsis if necessary.

    Names of files and runs often share a prefix and differ at the end.

    Args:
        text: Any string; passed through `printable`.
        width: Width in points (1/72 inch).
        size: Font size in points.
    """
    fits = _fits(width, size, "normal")
    text = printable(text)
    if len(text) > _MAX_CHARS:
        text = text[: _MAX_CHARS // 2] + text[-_MAX_CHARS // 2 :]
    if fits(text):
        return text

    def without_middle(kept: int) -> str:
        return text[: kept // 2].rstrip() + "…" + text[len(text) - (kept - kept // 2) :].lstrip()

    return without_middle(_longest(len(text) - 1, lambda kept: fits(without_middle(kept))))


def percent(share: float, decimals: int = 0) -> str:
    """Formats a share from 0 to 1 as a percentage."""
    return f"{100 * share:.{decimals}f} %"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Returns an upper estimate of the width of `text` on one line, in points."""
    font = FontProperties(family=FONT, size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(printable(text), font, ismath=False)[0] * _HINTING


def _fits(width: float, size: float, weight: str) -> Callable[[str], bool]:
    font = FontProperties(family=FONT, size=size, weight=weight)
    return lambda line: text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] <= width / _HINTING


def _longest(limit: int, fits: Callable[[int], bool]) -> int:
    """Returns the largest n in 0..limit with `fits(n)`, which is monotone."""
    return bisect.bisect_left(range(1, limit + 1), True, key=lambda n: not fits(n))


@functools.cache
def _glyphs() -> frozenset[int]:
    """Code points that both weights of the font contain."""
    normal, bold = (
        FT2Font(findfont(FontProperties(family=FONT, weight=weight))).get_charmap() for weight in ("normal", "bold")
    )
    return frozenset(normal.keys() & bold.keys())
