"""Meal-Master files: recipes with ingredients in one or two columns of fixed width."""

import re
from collections.abc import Iterator
from pathlib import Path

from adamine_jax.formats.opening import text_lines
from adamine_jax.formats.report import Report
from adamine_jax.recipes.fields import Entry
from adamine_jax.recipes.markup import plain

# The abbreviations of the program's manual; "" = the ingredient itself is counted.
UNITS = {
    **{"x": "", "ea": "", "sm": "small", "md": "medium", "lg": "large", "cn": "can", "pk": "package", "pn": "pinch"},
    **{"dr": "drop", "ds": "dash", "ct": "carton", "bn": "bunch", "sl": "slice", "t": "teaspoon", "ts": "teaspoon"},
    **{"T": "tablespoon", "tb": "tablespoon", "fl": "fluid ounce", "c": "cup", "pt": "pint", "qt": "quart"},
    **{"ga": "gallon", "oz": "ounce", "lb": "pound", "ml": "ml", "cb": "cubic cm", "cl": "cl", "dl": "dl", "l": "l"},
    **{"mg": "mg", "cg": "cg", "dg": "dg", "g": "g", "kg": "kg"},
}
_MARKS = ("MMMMM", "-----")
_NAMES = ("meal-master", "mealmaster", "recipe via")
_FIELD = re.compile(r"\s*(Title|Categories|Yield|Servings)\s*:\s*(.*)", re.IGNORECASE)
# Seven characters of amount, one space, two of unit, one space, then the text.
_INGREDIENT = re.compile(r"([\s\d./-]{7}) (..) (\S.*)")
_RIGHT_COLUMN = 41


def read_mealmaster(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipes of a Meal-Master file."""
    lines: list[str] | None = None
    start = 0
    for number, line, problem in text_lines(path):
        if problem:
            report.broken(f"{name}:{number}", problem)
        line = line.rstrip().expandtabs()
        if line.startswith(_MARKS) and any(name in line.lower() for name in _NAMES):
            if lines:
                yield _entry(path, f"{name}:{start}", lines)
            lines, start = [], number
        elif lines is not None and (line == "MMMMM" or (line.startswith("-----") and not line.strip("-"))):
            yield _entry(path, f"{name}:{start}", lines)
            lines = None
        elif lines is not None:
            lines.append(line)
    if lines:
        yield _entry(path, f"{name}:{start}", lines)


def _entry(path: Path, where: str, lines: list[str]) -> Entry:
    fields = [_FIELD.match(line) for line in lines]
    start = next((n for n, line in enumerate(lines) if line.strip() and not fields[n]), len(lines))
    values = {field[1].lower(): field[2].strip() for field in fields[:start] if field}
    ingredients, end = _ingredients(lines, start)
    recipe = {
        "title": values.get("title"),
        "category": values.get("categories", "").split(",")[0].strip(),
        "ingredients": ingredients,
        "instructions": _paragraphs(lines[end:]),
    }
    return Entry(where, path.parent, recipe)


def _ingredients(lines: list[str], start: int) -> tuple[list[str], int]:
    """Returns the ingredients from line `start` on, and the number of the first line after them."""
    found: list[str] = []
    left: list[str] = []
    right: list[str] = []
    end = start
    for place in range(start, len(lines)):
        line = lines[place]
        if _is_section(line) or not line.strip():
            found += left + right
            left, right = [], []
            continue
        first, second = line, ""
        if _INGREDIENT.match(line[_RIGHT_COLUMN:].ljust(11)) and line[_RIGHT_COLUMN - 1 : _RIGHT_COLUMN].isspace():
            first, second = line[:_RIGHT_COLUMN], line[_RIGHT_COLUMN:]
        if not _INGREDIENT.match(first):
            break
        _add(first, left)
        _add(second, right)
        end = place + 1
    return found + left + right, end


def _add(text: str, column: list[str]) -> None:
    if not (parts := _INGREDIENT.match(text)):
        return
    amount, unit, name = parts[1].strip(), parts[2].strip(), parts[3].strip()
    if name.startswith("-") and column and not amount:
        column[-1] += f" {name.lstrip('- ')}"  # continues the ingredient above
    else:
        unit = UNITS.get(unit, UNITS.get(unit.lower(), unit))
        column.append(" ".join(part for part in (amount, unit, plain(name)) if part))


def _is_section(line: str) -> bool:
    return line.startswith(_MARKS) and line.endswith("--")


def _paragraphs(lines: list[str]) -> list[str]:
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip() and not _is_section(line):
            paragraphs[-1].append(line.strip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return [" ".join(paragraph) for paragraph in paragraphs if paragraph]
