"""Values of fields as files store them: texts, lists, and objects of schema.org and of recipe managers."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from adamine_jax.recipes import ingredient_lines
from adamine_jax.recipes.markup import plain, plain_lines
from adamine_jax.recipes.steps import split_steps, without_mark

MAX_DEPTH = 20
"""Maximum nesting of lists and objects in a field; schema.org nests steps in sections in lists."""
MAX_VALUES = 20_000
"""Maximum number of values in a field."""

_LISTS = ("itemlistelement", "items", "item", "lines", "list")
_INGREDIENT_LISTS = ("ingredients", "recipeingredient", "recipeingredients", *_LISTS)
_STEP_LISTS = ("steps", "instructions", "directions", "recipeinstructions", *_LISTS)
_STEP_TEXTS = ("text", "instruction", "step", "direction", "@value")
_OTHER_TEXTS = ("description", "content", "body", "html", "value")
_PATHS = ("contenturl", "url", "path", "file", "filename", "src", "@id", "originalurl", "image")
_PHOTO_NAME = re.compile(
    r"\.(?:jpe?g|jpe|jfif|pjpe?g|png|webp|gif|bmp|tiff?|heic|heif|avif)(?:[?#].*)?$", re.IGNORECASE
)
_COUNTED_KEY = re.compile(r"(?:step|schritt|étape|paso)?[\s_-]*\d{1,3}", re.IGNORECASE)


class TooDeepError(Exception):
    """Lists and objects are nested in more than `MAX_DEPTH` levels, or contain more than `MAX_VALUES` values."""


class Unread(list):
    """Values that were left out, as texts, in the order in which they were found; `seen` counts all values."""

    seen = 0

    def add(self, value: Any) -> None:
        self.append(plain(repr(value) if not isinstance(value, bool) else str(value).lower())[:80])


def text(value: Any) -> str:
    """Returns a text in one line: the value, or the first text of a list or an object; a number as text."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return f"{value:.15g}"
    if isinstance(value, Mapping):
        value = [value.get(key) for key in ("@value", "text", "name", "value")]
    if isinstance(value, list):
        return next((found for item in value if not isinstance(item, list) and (found := text(item))), "")
    return plain(value) if isinstance(value, str) else ""


def ingredients(value: Any, unread: Unread, *, is_sheet: bool = False) -> list[str]:
    """Returns the ingredient lines of a value.

    Args:
        value: A text, a list of lines, of objects or of sections, or an object whose keys are ingredients or sections.
        unread: Collects what contains no line.
        is_sheet: Whether `|` separates the lines of a text of one line.

    Raises:
        TooDeepError: The value is nested too deeply.
    """
    lines = [without_mark(line) for line in _Walk(_lines, _ingredients, unread, is_sheet)(value)]
    return ingredient_lines.split_lines([line for line in lines if line], is_text=isinstance(value, str))


def instructions(value: Any, unread: Unread, *, is_sheet: bool = False) -> list[str]:
    """Returns the steps of a value, without the names of sections; see `ingredients` and `split_steps`."""
    return split_steps(list(_Walk(_lines, _steps, unread, is_sheet)(value)), is_text=isinstance(value, str))


def paths(value: Any, unread: Unread, *, is_sheet: bool = False) -> list[str]:
    """Returns the paths or links of photos without repetitions; see `ingredients`."""
    return list(dict.fromkeys(_Walk(_listed, _paths, unread, is_sheet)(value)))


def is_absent(value: Any) -> bool:
    """Whether a value is missing: None, NaN, or empty."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value != value or value in ([], {}, ())


class _Walk(NamedTuple):
    """Yields the texts in a value of any form.

    Attributes:
        of_text: Splits a text into texts, given the text and `is_sheet`.
        of_object: Yields the texts of an object, given the object, a function for the values in it, and `unread`.
        unread: Collects what contains no text.
        is_sheet: Whether the value is a cell.
    """

    of_text: Callable[[str, bool], Iterable[str]]
    of_object: Callable[[Mapping, Callable[[Any], Iterator[str]], Unread], Iterator[str]]
    unread: Unread
    is_sheet: bool

    def __call__(self, value: Any, depth: int = 0) -> Iterator[str]:
        self.unread.seen += 1
        if depth > MAX_DEPTH or self.unread.seen > MAX_VALUES:
            raise TooDeepError
        if is_absent(value):
            return
        if isinstance(value, str):
            yield from self.of_text(value, self.is_sheet)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from self(item, depth + 1)
        elif isinstance(value, Mapping):
            yield from self.of_object(value, functools.partial(self, depth=depth + 1), self.unread)
        else:
            self.unread.add(value)


def _ingredients(value: Mapping, walk: Callable[[Any], Iterator[str]], unread: Unread) -> Iterator[str]:
    """Yields the lines of a section, of one ingredient, or of an object whose keys are ingredients or sections."""
    if inner := _inner_list(value, _INGREDIENT_LISTS):
        yield from walk(inner)
    elif ingredient_lines.is_ingredient(value):
        if line := plain(ingredient_lines.line_of(value)):
            yield line
        else:
            unread.add(value)
    else:
        for key, inner in value.items():
            if isinstance(inner, str | int | float) and not isinstance(inner, bool):
                yield plain(ingredient_lines.line_of({"amount": inner, "name": str(key)}))
            else:
                yield from walk(inner)


def _steps(value: Mapping, walk: Callable[[Any], Iterator[str]], unread: Unread) -> Iterator[str]:
    """Yields the text of a step or the steps of a section, whose name is not a step."""
    fields = {str(key).lower(): inner for key, inner in value.items()}
    own, other = (_first(fields, keys) for keys in (_STEP_TEXTS, _OTHER_TEXTS))
    lists = _inner_list(value, _STEP_LISTS)
    is_section = lists is not None or "itemlistelement" in fields or "Section" in str(fields.get("@type"))
    sources = [own, lists, other, *([] if is_section else [fields.get("name")])]
    sources += [list(fields.values())] if all(map(_COUNTED_KEY.fullmatch, fields)) else []
    yield from next((found for source in sources if (found := list(walk(source)))), [])


def _paths(value: Mapping, walk: Callable[[Any], Iterator[str]], unread: Unread) -> Iterator[str]:
    """Yields the paths of an object that describes a photo."""
    yield from walk(_first({str(key).lower().replace("_", ""): inner for key, inner in value.items()}, _PATHS))


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Returns the first of these fields that is not missing; None if all are."""
    return next((found for name in names if not is_absent(found := fields.get(name))), None)


def _listed(value: str, is_sheet: bool) -> Iterator[str]:
    """Yields the paths of a text: one per line, or separated by commas or, in a cell, by `|`."""
    lines = [line.strip() for line in value.strip().splitlines()]
    if len(lines) == 1:
        has_bars = is_sheet and "|" in value
        parts = [part.strip() for part in value.split("|" if has_bars else ",")]
        lines = parts if has_bars or all(map(_PHOTO_NAME.search, parts)) else lines
    yield from filter(None, lines)


def _inner_list(value: Mapping, names: tuple[str, ...]) -> Any:
    """Returns the list in an object that is a section; None for others."""
    fields = {str(key).lower().replace("_", ""): inner for key, inner in value.items()}
    lists = (fields.get(key) for key in names)
    return next((inner for inner in lists if isinstance(inner, list | Mapping) and not is_absent(inner)), None)


def _lines(value: str, is_sheet: bool) -> list[str]:
    lines = plain_lines(value)
    if is_sheet and len(lines) == 1:
        return [part.strip() for part in lines[0].split("|") if part.strip()]
    return lines
