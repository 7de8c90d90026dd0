"""JSON Lines, JSON documents and lists: objects with the usual fields, schema.org, and data sets keyed by id."""

import codecs
import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.base.json_array import read_array
from adamine_jax.formats.linked_data import linked_recipes
from adamine_jax.formats.managers import exported
from adamine_jax.formats.opening import decoded, open_bytes, read_bytes, text_lines
from adamine_jax.formats.report import Report
from adamine_jax.recipes.fields import Entry, known_fields, looks_like_recipe
from adamine_jax.recipes.texts import PARTS

# int() refuses thousands of digits.
_JSON = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 100 else float(digits), strict=False)
# Photos that recipe managers store beside a recipe without naming them in it.
_BESIDE = ("full.*", "image.*", "images/original.*")


def parse_json(text: str) -> Any:
    """Parses a JSON text.

    Raises:
        ValueError: The text is not JSON; the message has the problem and its position.
    """
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError as error:
        position = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"not JSON ({error.msg}, {position})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_lines(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the records of a file with one JSON object per line; skips blank lines."""
    for number, line, problem in text_lines(path):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            if problem:
                raise ValueError(problem)
            value = parse_json(line.strip())
        except ValueError as error:
            is_list = number == 1 and line.lstrip().startswith("[")
            report.broken(where, f"{error}{'; rename a file with a JSON list to .json' if is_list else ''}")
            continue
        if not isinstance(value, dict):
            report.drop(where, "the line is not an object")
        elif found := recipes_in(value):
            yield from entries(path, where, found)
        else:
            yield Entry(where, path.parent, value)


def read_document(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipes of a JSON file: a recipe, a list, an object of recipes by id, or a list inside an object."""
    if _is_plain_list(path):
        yield from _list_entries(path, name, report)
        return
    try:
        document = parse_json(decoded(read_bytes(path)))
    except ValueError as error:
        if "(Extra data" not in str(error):
            raise
        yield from read_lines(path, name, report)
        return
    yield from entries(path, name, recipes_in(document))


def recipes_in(document: Any) -> list[dict[str, Any]]:
    """Returns the recipes of a JSON value: those of schema.org and of managers, and objects that look like recipes."""
    found = exported(document)
    return found if found is not None else [*linked_recipes(document), *_plain_recipes(document, depth=3)]


def _plain_recipes(value: Any, depth: int) -> list[dict[str, Any]]:
    """Returns the recipes without a type; in a list with a recipe, records that lack a part are included.

    They may be in a list, in {"recipes": […], "count": 2}, {"id 1": {…}, "id 2": {…}} or {"recipe": {…}}.
    """
    if isinstance(value, dict):
        if "@type" in value or "@graph" in value:
            return []
        if looks_like_recipe(value):
            return [value]
    inner = list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    if not depth:
        return []
    found = [_plain_recipes(item, depth - 1) for item in inner]
    has_recipes = isinstance(value, list) and any(found)
    for place, item in enumerate(inner):
        if has_recipes and not found[place] and isinstance(item, dict) and "@type" not in item and _has_parts(item):
            found[place] = [item]
    return [recipe for recipes in found for recipe in recipes]


def _has_parts(value: dict[str, Any]) -> bool:
    return not known_fields(value).keys().isdisjoint(PARTS)


def entries(path: Path, name: str, recipes: list[dict[str, Any]]) -> Iterator[Entry]:
    """Yields the recipes of a document as entries."""
    beside = _photos_beside(path.parent) if len(recipes) == 1 else ()
    for number, recipe in enumerate(recipes, start=1):
        where = name if len(recipes) == 1 else f"{name} recipe {number}"
        yield Entry(where, path.parent, recipe, is_linked_data="@type" in recipe, photos_beside=beside)


def _photos_beside(folder: Path) -> tuple[str, ...]:
    found = (path for pattern in _BESIDE for path in sorted(folder.glob(pattern)) if path.is_file())
    return tuple(str(path.relative_to(folder)) for path in found if path.suffix.lower() not in (".json", ".html"))


def _list_entries(path: Path, name: str, report: Report) -> Iterator[Entry]:
    records = read_array(path)
    for number in itertools.count(1):
        try:
            value = next(records).value
        except StopIteration:
            return
        except UserError as error:
            report.broken(name, str(error).removeprefix(f"{path}: "))
            return
        where = f"{name} record {number}"
        if isinstance(value, dict | list) and (found := recipes_in(value)):
            yield from entries(path, where, found)
        elif isinstance(value, dict) and _has_parts(value):
            yield Entry(where, path.parent, value)
        else:
            report.drop(
                where, "the record is not a recipe" if isinstance(value, dict) else "the record is not an object"
            )


def _is_plain_list(path: Path) -> bool:
    """Whether a file is a JSON list in UTF-8 without compression, which is read record by record."""
    with open_bytes(path) as file:
        start = file.read(4096)
        if hasattr(file, "mtime") or not start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            return False
        decoder, chunk = codecs.getincrementaldecoder("utf-8")(), start
        with contextlib.suppress(UnicodeDecodeError):
            while chunk:
                decoder.decode(chunk)
                chunk = file.read(1 << 20)
            return True
    return False
