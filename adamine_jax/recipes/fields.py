"""One record as a person wrote it, and the recipe that is made of it: which field is which, and what it may hold."""

import functools
import html
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a field may be called; case, blanks, hyphens and underscores make no difference. The first that holds something.
NAMES = {
    "id": ("id", "identifier", "recipe_id"),
    "title": ("title", "name", "recipe_name", "recipe_title"),
    "ingredients": ("ingredients", "ingredient", "ingredient_lines", "recipeIngredient"),
    "instructions": ("instructions", "directions", "steps", "method", "preparation", "recipeInstructions"),
    "images": ("images", "image", "photos", "photo", "pictures", "picture"),
    "url": ("url", "link"),
    "class": ("class", "category", "recipeCategory"),
    "partition": ("partition", "split"),
    "ingredient_names": ("ingredient_names",),
}
PARTITIONS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Steps in sections in lists: what is nested deeper is no recipe.
MOST_NESTED = 20

_BLOCK_TAG = re.compile(r"<\s*/?\s*(?:p|br|li|div|ol|ul|h[1-6]|tr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def _plain_name(column: str) -> str:
    return re.sub(r"[\s_-]", "", column).lower()


_PLAIN_NAMES = {field: [_plain_name(name) for name in names] for field, names in NAMES.items()}


class UnusableError(Exception):
    """A record is no recipe; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as its file has it.

    Attributes:
        where: to be told to a person: file, and line or number of the record.
        folder: what paths of photos are relative to.
        values: the record.
        is_sheet: it is the row of a sheet: a cell without a line feed is a list divided by `|`.
        is_linked_data: it is schema.org's: texts may hold HTML, and further fields are nothing to be told of.
    """

    where: str
    folder: Path
    values: Mapping[str, Any]
    is_sheet: bool = False
    is_linked_data: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe, before it has an id, a partition and photos.

    Attributes:
        where, folder: of its entry.
        given_id: as it was written, or "".
        names: ingredient names that were given, or None.
        class_name: lower-case, or "".
        partition: "train", "val", "test", or "" for one that is to be drawn.
        photos: paths or links as they were written.
    """

    where: str
    folder: Path
    given_id: str
    title: str
    url: str
    ingredients: list[str]
    instructions: list[str]
    names: list[str] | None
    class_name: str
    partition: str
    photos: list[str]


@functools.lru_cache(maxsize=4096)
def field_of(column: str) -> str | None:
    """The field that a column's name stands for."""
    plain = _plain_name(column)
    return next((field for field, names in _PLAIN_NAMES.items() if plain in names), None)


def known_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that hold something; of several columns for a field the first in the order of `NAMES`."""
    found: dict[str, dict[str, Any]] = {}
    for column, value in values.items():
        if (field := field_of(column)) and not _is_absent(value):
            found.setdefault(field, {}).setdefault(_plain_name(column), value)
    return {field: columns[min(columns, key=_PLAIN_NAMES[field].index)] for field, columns in found.items()}


def unknown_columns(values: Mapping[str, Any]) -> list[str]:
    """The columns that stand for no field."""
    return [column for column in values if field_of(column) is None]


def looks_like_recipe(values: Any) -> bool:
    """Whether a JSON value that does not say so is a recipe: it has a title, and ingredients or instructions."""
    fields = known_fields(values) if isinstance(values, dict) else {}
    return "title" in fields and not fields.keys().isdisjoint(("ingredients", "instructions"))


def draft(entry: Entry, *, with_classes: bool = True) -> Draft:
    """Makes a recipe of a record.

    Raises:
        UnusableError: a field that a recipe needs is absent, or one of them holds something else than it should.
    """
    fields = known_fields(entry.values)
    title = _title(fields.get("title"), entry)
    ingredients = list(_lines(fields.get("ingredients"), "ingredients", entry))
    instructions = list(_lines(fields.get("instructions"), "instructions", entry))
    if not ingredients and not instructions:
        raise UnusableError("neither ingredients nor instructions")
    url = fields.get("url")
    return Draft(
        where=entry.where,
        folder=entry.folder,
        given_id=_identity(fields.get("id")),
        title=title,
        url=url.strip() if isinstance(url, str) else "",
        ingredients=ingredients,
        instructions=instructions,
        names=list(_lines(fields.get("ingredient_names"), "ingredient_names", entry)) or None,
        class_name=_class_name(fields.get("class"), entry) if with_classes else "",
        partition=_partition(fields.get("partition")),
        photos=list(dict.fromkeys(_paths(fields.get("images"), entry))),
    )


def _is_absent(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value)) or value in ([], {})


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


def _title(value: Any, entry: Entry) -> str:
    if _is_absent(value):
        raise UnusableError("no title")
    if not isinstance(value, str):
        raise UnusableError(f"title is {_kind(value)}, not text")
    text = " ".join(_plain(value).split()) if entry.is_linked_data else value.strip()
    if not text:
        raise UnusableError("no title")
    return text


def _lines(value: Any, field: str, entry: Entry, depth: int = 0) -> Iterator[str]:
    """The lines of a text, the texts of a list, or those of schema.org's steps and sections, without blank ones."""
    if _is_absent(value):
        return
    if isinstance(value, str):
        text = _plain(value) if entry.is_linked_data else value
        yield from (line.strip() for line in _divided(text, entry) if line.strip())
    elif depth > MOST_NESTED:
        raise UnusableError(f"{field} are nested too deeply")
    elif isinstance(value, list):
        for item in value:
            yield from _lines(item, field, entry, depth + 1)
    elif isinstance(value, dict):
        if (inner := _first_of(value, "text", "itemListElement", "steps", "item", "name")) is None:
            raise UnusableError(f"{field} hold an object without a text")
        yield from _lines(inner, field, entry, depth + 1)
    else:
        raise UnusableError(f"{field} hold {_kind(value)}, not text")


def _paths(value: Any, entry: Entry, depth: int = 0) -> Iterator[str]:
    if _is_absent(value):
        return
    if isinstance(value, str):
        yield from (line.strip() for line in _divided(value, entry) if line.strip())
    elif depth > MOST_NESTED:
        raise UnusableError("images are nested too deeply")
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, entry, depth + 1)
    elif isinstance(value, dict):
        yield from _paths(_first_of(value, "contentUrl", "url", "path", "file", "@id"), entry, depth + 1)
    else:
        raise UnusableError(f"images hold {_kind(value)}, not a path")


def _first_of(value: dict[str, Any], *keys: str) -> Any:
    return next((value[key] for key in keys if not _is_absent(value.get(key))), None)


def _divided(text: str, entry: Entry) -> list[str]:
    lines = text.strip().splitlines()
    return text.split("|") if entry.is_sheet and len(lines) == 1 else lines


def _plain(text: str) -> str:
    """Text without HTML: its paragraphs and list items become lines."""
    if "<" in text:
        text = _TAG.sub("", _BLOCK_TAG.sub("\n", text))
    return html.unescape(text) if "&" in text else text


def _identity(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _class_name(value: Any, entry: Entry) -> str:
    if isinstance(value, list):
        value = next((item for item in value if not _is_absent(item)), None)
    if isinstance(value, dict):
        value = value.get("name")
    if _is_absent(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UnusableError(f"class is {_kind(value)}, not text")
    text = _plain(value).split(",")[0] if entry.is_linked_data and isinstance(value, str) else value
    text = text if isinstance(text, str) else _identity(text) or str(text)
    # Half of a surrogate pair could not be stored.
    return " ".join(text.lower().encode("utf-8", "replace").decode().split())


def _partition(value: Any) -> str:
    if _is_absent(value):
        return ""
    partition = PARTITIONS.get(value.strip().lower()) if isinstance(value, str) else None
    if partition is None:
        raise UnusableError("partition is not train, val or test")
    return partition
