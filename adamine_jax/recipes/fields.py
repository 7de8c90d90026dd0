"""Field names and values of recipes as people write them, and their conversion to `Draft`."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamine_jax.recipes import values as read
from adamine_jax.recipes.markup import plain
from adamine_jax.recipes.values import TooDeepError, Unread, is_absent

# Accepted names of each field; case, spaces, hyphens and underscores are ignored. The first non-empty column counts.
NAMES = {
    "id": ("id", "identifier", "recipe_id"),
    "title": ("title", "name", "recipe_name", "recipe_title"),
    "ingredients": ("ingredients", "ingredient", "ingredient_lines", "recipeIngredient", "recipe_ingredient_parts"),
    "instructions": ("instructions", "directions", "steps", "method", "preparation", "recipeInstructions"),
    "images": ("images", "image", "photos", "photo", "pictures", "picture", "image_name"),
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
        is_linked_data: Whether the record follows a known form, such as schema.org's, so extra fields are expected.
        photos_beside: Paths of photos that belong to the record if it lists none that exist.
    """

    where: str
    folder: Path
    values: Mapping[str, Any]
    is_sheet: bool = False
    is_linked_data: bool = False
    photos_beside: tuple[str, ...] = ()


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
        photos_beside: As in the entry.
        unread: Values that contain no text or path, by field.
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
    photos_beside: tuple[str, ...]
    unread: dict[str, list[str]]


@functools.lru_cache(maxsize=4096)
def field_of(column: str) -> str | None:
    """Returns the field that a column name denotes."""
    normalized = _normalized(column)
    return next((field for field, names in _NORMALIZED_NAMES.items() if normalized in names), None)


def known_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the non-empty fields of a record; of several columns for one field, the first in the order of `NAMES`."""
    found: dict[str, dict[str, Any]] = {}
    for column, value in values.items():
        if (field := field_of(column)) and not is_absent(value):
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
    try:
        return _draft(entry, with_classes)
    except (TooDeepError, RecursionError):
        raise UnusableError("lists and objects are nested too deeply or too long") from None


def _draft(entry: Entry, with_classes: bool) -> Draft:
    fields = known_fields(entry.values)
    title = _title(fields.get("title"))
    unread = {field: Unread() for field in ("ingredients", "instructions", "images", "ingredient_names")}
    is_sheet = entry.is_sheet
    ingredients = read.ingredients(fields.get("ingredients"), unread["ingredients"], is_sheet=is_sheet)
    instructions = read.instructions(fields.get("instructions"), unread["instructions"], is_sheet=is_sheet)
    photos = read.paths(fields.get("images"), unread["images"], is_sheet=is_sheet)
    names = read.ingredients(fields.get("ingredient_names"), unread["ingredient_names"], is_sheet=is_sheet)
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
        names=names or None,
        class_name=_class_name(fields.get("class"), entry) if with_classes else "",
        partition=_partition(fields.get("partition")),
        photos=photos,
        photos_beside=entry.photos_beside,
        unread={field: list(values) for field, values in unread.items() if values},
    )


def _title(value: Any) -> str:
    if title := read.text(value):
        return title
    raise UnusableError("title is true or false, not text" if isinstance(value, bool) else "no title")


def _identity(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _class_name(value: Any, entry: Entry) -> str:
    if isinstance(value, list):
        value = next((item for item in value if not is_absent(item)), None)
    if isinstance(value, dict):
        value = value.get("name")
    if is_absent(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = plain(value).split(",")[0] if entry.is_linked_data and isinstance(value, str) else value
    text = text if isinstance(text, str) else _identity(text) or str(text)
    # Lone surrogates cannot be encoded.
    return " ".join(text.lower().encode("utf-8", "replace").decode().split())


def _partition(value: Any) -> str:
    if is_absent(value):
        return ""
    partition = PARTITIONS.get(value.strip().lower()) if isinstance(value, str) else None
    if partition is None:
        raise UnusableError("partition is not train, val or test")
    return partition
