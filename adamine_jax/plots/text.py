"""Text of recipes made fit for a figure: only letters that the font has, only lines that fit."""

import functools
import re
import unicodedata
from collections.abc import Callable

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import text_to_path

FAMILY = "DejaVu Sans"
_UNKNOWN = "□"
# Letters set on pixels come out up to this much wider than their outlines, which are what is measured here.
_HINTING = 1.04
# No line of a figure has room for so many characters; to measure a text takes as long as it is.
_MOST_CHARS = 1000


def printable(text: str) -> str:
    """`text` on one line, with a box for every run of characters that the figures' font cannot draw.

    Invisible characters (joiners, variation selectors, controls) go without a trace: they only shape what is replaced.
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
    """Breaks `text` into at most `lines` lines no wider than `width`; an ellipsis stands where some is left out.

    Args:
        text: any string; what the font lacks is replaced (`printable`).
        width: in points (1/72 inch).
        size: of the font, in points.
        lines: the most lines to return, at least 1.
        weight: "normal" or "bold".

    Returns:
        The lines; none for an empty text.
    """
    fits = _measure(width, size, weight)
    result = []
    rest = printable(" ".join(text.split())[: _MOST_CHARS * lines])
    while rest:
        if len(result) == lines - 1:
            return [*result, rest if fits(rest) else _cut(rest, fits)]
        line = _leading_words(rest, fits)
        result.append(line)
        rest = rest[len(line) :].lstrip()
    return result


def squeeze(text: str, width: float, size: float) -> str:
    """`text` on one line no wider than `width`; what does not fit goes from its middle, an ellipsis in its place.

    Names of files and runs often begin alike, and differ at the end.

    Args:
        text: any string; what the font lacks is replaced (`printable`).
        width: in points (1/72 inch).
        size: of the font, in points.
    """
    fits = _measure(width, size, "normal")
    text = printable(text)
    if len(text) > _MOST_CHARS:
        text = text[: _MOST_CHARS // 2] + text[-_MOST_CHARS // 2 :]
    if fits(text):
        return text

    def without_middle(kept: int) -> str:
        return text[: kept // 2].rstrip() + "…" + text[len(text) - (kept - kept // 2) :].lstrip()

    return without_middle(_largest(len(text) - 1, lambda kept: fits(without_middle(kept))))


def percent(share: float, decimals: int = 0) -> str:
    """A share from 0 to 1 in percent."""
    return f"{100 * share:.{decimals}f} %"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Points that `text` takes up on one line, a little more rather than less."""
    font = FontProperties(family=FAMILY, size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(printable(text), font, ismath=False)[0] * _HINTING


def _measure(width: float, size: float, weight: str) -> Callable[[str], bool]:
    """Tells whether a line is no wider than `width` points."""
    font = FontProperties(family=FAMILY, size=size, weight=weight)

    def fits(line: str) -> bool:
        return text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] <= width / _HINTING

    return fits


def _leading_words(text: str, fits) -> str:
    """As many words as fit; of a first word that is too long, as many letters (one at least)."""
    words = text.split(" ")
    count = _largest(len(words), lambda n: fits(" ".join(words[:n])))
    if count:
        return " ".join(words[:count])
    return words[0][: max(1, _largest(len(words[0]), lambda n: fits(words[0][:n])))]


def _cut(text: str, fits) -> str:
    """As many letters as fit before an ellipsis."""
    return text[: _largest(len(text), lambda n: fits(text[:n].rstrip() + "…"))].rstrip(" ,;:.·") + "…"


def _largest(limit: int, holds) -> int:
    """The largest n in 0..limit for which `holds(n)`, which turns from true to false once."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


@functools.cache
def _glyphs() -> frozenset[int]:
    """Code points that both weights of the font can draw."""
    charmaps = [
        FT2Font(findfont(FontProperties(family=FAMILY, weight=weight))).get_charmap() for weight in ("normal", "bold")
    ]
    return frozenset(charmaps[0].keys() & charmaps[1].keys())
