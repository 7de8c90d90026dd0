"""Ingredient lines that data sets store as objects, and that people write in one text."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from adamine_jax.recipes.ingredient_names import WORDS

# The whole line as people see it.
_WHOLE = ("original_text", "originaltext", "original", "display", "text", "raw", "rawtext", "line", "@value")
_AMOUNT = ("quantity", "amount", "qty", "value", "quantitytext", "number")
_UNIT = ("unit", "measure", "measurement", "unittext", "units", "unitcode", "uom")
_NAME = ("name", "ingredient", "food", "item", "product", "ingredientname", "title")
_NOTE = ("note", "notes", "comment", "comments", "preparation", "prep", "processing", "remark", "extra", "description")
_INNER_NAMES = ("name", "title", "text", "abbreviation", "singular", "@value")
_RANGES = (("min", "max"), ("from", "to"), ("minvalue", "maxvalue"))
_SHOWN_FRACTIONS = {Fraction(n, d) for d in (2, 3, 4, 5, 8) for n in range(1, d)}

_RUN_TOGETHER = re.compile(r"(?<=[^\W\d_)])(?=\d+(?:[./,]\d+)?(?:\s|g\b|kg\b|ml\b))")
_COMMA = re.compile(r"\s*[,;]\s+(?!\d+\s*(?:%|mm\b|cm\b))|\s*;\s*")
_ADVERTISEMENT = re.compile(r"\s*\bADVERTISEMENT$")  # in the data set recipe-box
_DESCRIBING = WORDS.preparations | WORDS.adverbs | WORDS.trailing | WORDS.sizes | WORDS.ending | {"and", "or"}


def line_of(values: Mapping[str, Any]) -> str:
    """Returns the line of an ingredient that is an object, such as {"quantity": 2, "unit": "cup", "food": "flour"}.

    Returns:
        The line as given, or else amount, unit and name, and a note after a comma; "" if there is no name.
    """
    fields = {re.sub(r"[\s_-]", "", key).lower(): value for key, value in values.items() if isinstance(key, str)}
    whole = next((text for key in map(_key, _WHOLE) if (text := _text(fields.get(key)))), "")
    if whole:
        return whole
    name, note = (next((text for key in keys if (text := _text(fields.get(key)))), "") for keys in (_NAME, _NOTE))
    if not name:
        return note
    amount = next((text for key in _AMOUNT if (text := _amount(fields.get(key)))), "") or _range(fields)
    unit = next((text for key in _UNIT if (text := _text(fields.get(key)))), "")
    line = " ".join(part for part in (amount, unit, name) if part)
    return f"{line}, {note}" if note else line


def is_ingredient(values: Mapping[str, Any]) -> bool:
    """Whether an object describes one ingredient, not a section or a mapping of several."""
    keys = {re.sub(r"[\s_-]", "", key).lower() for key in values if isinstance(key, str)}
    return not keys.isdisjoint((*map(_key, _WHOLE), *_NAME, *_AMOUNT, *_UNIT))


def split_lines(lines: list[str], *, is_text: bool) -> list[str]:
    """Returns the ingredients that lines contain; a single line with commas or without spaces between is split.

    Args:
        lines: Lines without markup.
        is_text: Whether the lines were one text, and not the items of a list.
    """
    lines = [line for line in (_ADVERTISEMENT.sub("", line) for line in lines) if line]
    if len(lines) != 1:
        return lines
    pieces = _RUN_TOGETHER.sub("\n", lines[0]).split("\n")
    parts: list[str] = []
    for piece in pieces:
        for part in _COMMA.split(piece):
            # "1 onion, finely chopped" is one ingredient.
            if parts and part and not part[0].isdigit() and _describes(part):
                parts[-1] += f", {part}"
            elif part:
                parts.append(part)
    amounts = sum(part[0].isdigit() or part[0] in "½¼¾⅓⅔⅛" for part in parts)
    return parts if is_text or amounts > 1 else lines


def _describes(part: str) -> bool:
    return _DESCRIBING.issuperset(part.lower().replace("-", " ").split()) or part.split()[0].lower() in ("for", "to")


def _key(name: str) -> str:
    return name.replace("_", "")


def _text(value: Any) -> str:
    """Returns a text, or that of an object with a name."""
    if isinstance(value, Mapping):
        return next((text for key in _INNER_NAMES if (text := _text(value.get(key)))), "")
    return value.strip() if isinstance(value, str) else ""


def _amount(value: Any) -> str:
    """Returns an amount as text: 0.5 -> "1/2", 2.0 -> "2", {"min": 1, "max": 2} -> "1-2"."""
    if isinstance(value, Mapping):
        fields = {key.lower(): inner for key, inner in value.items() if isinstance(key, str)}
        unit = next((text for key in _UNIT if (text := _text(fields.get(key)))), "")
        number = next((text for key in _AMOUNT if (text := _amount(fields.get(key)))), "") or _range(fields)
        return " ".join(part for part in (number, unit) if part)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value.strip() if isinstance(value, str) else ""
    if not abs(value) < 1e9 or value == 0:
        return ""
    whole, rest = divmod(Fraction(value).limit_denominator(1000), 1)
    near = next((fraction for fraction in _SHOWN_FRACTIONS if abs(fraction - rest) < Fraction(1, 150)), None)
    if rest and near is None:
        return f"{value:.10g}"
    return " ".join([*([str(whole)] if whole or not rest else []), *([str(near)] if rest else [])])


def _range(fields: Mapping[str, Any]) -> str:
    for low, high in _RANGES:
        if amounts := [text for key in (low, high) if (text := _amount(fields.get(key)))]:
            return "-".join(dict.fromkeys(amounts))
    return ""
