"""Field names and values of recipes as people write them, and their conversion to `Draft`."""

import functools
import html
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Accepted names of each field; case, spaces, hyphens and underscores are ignored. The first non-empty column counts.
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
MAX_DEPTH = 20
"""Maximum nesting of lists and objects in a field; schema.org nests steps in sections in lists."""

_TEXT_KEYS = ("text", "itemListElement", "steps", "item", "name")
_PATH_KEYS = ("contentUrl", "url", "path", "file", "@id")
_BLOCK_TAG = re.compile(r"<\s*/?\s*(?:p|br|li|div|ol|ul|h[1-6]|tr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def _normalized(column: str) -> str:
    return re.sub(r"[\s_-]", "", column).lower()


_NORMALIZED_NAMES = {field: [_normalized(name) for name in names] for field, names in NAMES.items()}


class UnusableError(Exception):
    """A record is not a usable recipe; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as read from its file.

    Attributes:
        where: File, and line or number of the record, for messages.
        folder: Folder that relative paths of photos refer to.
        values: The record.
        is_sheet: Whether the record is a row of a spreadsheet, where `|` separates items in a cell of one line.
        is_linked_data: Whether the record follows schema.org, so text may contain HTML and extra fields are expected.
    """

    where: str
    folder: Path
    values: Mapping[str, Any]
    is_sheet: bool = False
    is_linked_data: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe before its id, partition and photos are determined.

    Attributes:
        where, folder: Those of the entry.
        given_id: Id as written, or "".
        names: Given ingredient names, or None.
        class_name: Lower-case class, or "".
        partition: "train", "val", "test", or "" if it is to be drawn.
        photos: Paths or links as written.
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
    """Returns the field that a column name denotes."""
    normalized = _normalized(column)
    return next((field for field, names in _NORMALIZED_NAMES.items() if normalized in names), None)


def known_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the non-empty fields of a record; of several columns for one field, the first in the order of `NAMES`."""
    found: dict[str, dict[str, Any]] = {}
    for column, value in values.items():
        if (field := field_of(column)) and not _is_absent(value):
            found.setdefault(field, {}).setdefault(_normalized(column), value)
    return {field: columns[min(columns, key=_NORMALIZED_NAMES[field].index)] for field, columns in found.items()}


def unknown_columns(values: Mapping[str, Any]) -> list[str]:
    """Returns the columns that denote no field."""
    return [column for column in values if field_of(column) is None]


def looks_like_recipe(values: Any) -> bool:
    """Whether an untyped JSON value is a recipe: it has a title, and ingredients or instructions."""
    fields = known_fields(values) if isinstance(values, dict) else {}
    return "title" in fields and not fields.keys().isdisjoint(("ingredients", "instructions"))


def draft(entry: Entry, *, with_classes: bool = True) -> Draft:
    """Converts a record to a recipe.

    Raises:
        UnusableError: A required field is absent, or a field has the wrong type.
    """
    fields = known_fields(entry.values)
    title = _title(fields.get("title"), entry)
    ingredients = list(_strings(fields.get("ingredients"), "ingredients", entry))
    instructions = list(_strings(fields.get("instructions"), "instructions", entry))
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
        names=list(_strings(fields.get("ingredient_names"), "ingredient_names", entry)) or None,
        class_name=_class_name(fields.get("class"), entry) if with_classes else "",
        partition=_partition(fields.get("partition")),
        photos=list(dict.fromkeys(_strings(fields.get("images"), "images", entry))),
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
    text = " ".join(_without_html(value).split()) if entry.is_linked_data else value.strip()
    if not text:
        raise UnusableError("no title")
    return text


def _strings(value: Any, field: str, entry: Entry, depth: int = 0) -> Iterator[str]:
    """Yields the non-blank lines of a text or of nested lists and schema.org objects; the paths of `images`."""
    is_path = field == "images"
    if _is_absent(value):
        return
    if isinstance(value, str):
        text = _without_html(value) if entry.is_linked_data and not is_path else value
        lines = text.strip().splitlines()
        lines = text.split("|") if entry.is_sheet and len(lines) == 1 else lines
        yield from (line.strip() for line in lines if line.strip())
    elif depth > MAX_DEPTH:
        raise UnusableError(f"{field} are nested too deeply")
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, field, entry, depth + 1)
    elif isinstance(value, dict):
        keys = _PATH_KEYS if is_path else _TEXT_KEYS
        inner = next((value[key] for key in keys if not _is_absent(value.get(key))), None)
        if inner is None and not is_path:
            raise UnusableError(f"{field} contain an object without a text")
        yield from _strings(inner, field, entry, depth + 1)
    else:
        raise UnusableError(f"{field} contain {_kind(value)}, not {'a path' if is_path else 'text'}")


def _without_html(text: str) -> str:
    """Removes HTML markup; paragraphs and list items become lines."""
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
    text = _without_html(value).split(",")[0] if entry.is_linked_data and isinstance(value, str) else value
    text = text if isinstance(text, str) else _identity(text) or str(text)
    # Lone surrogates cannot be encoded.
    return " ".join(text.lower().encode("utf-8", "replace").decode().split())


def _partition(value: Any) -> str:
    if _is_absent(value):
        return ""
    partition = PARTITIONS.get(value.strip().lower()) if isinstance(value, str) else None
    if partition is None:
        raise UnusableError("partition is not train, val or test")
    return partition
