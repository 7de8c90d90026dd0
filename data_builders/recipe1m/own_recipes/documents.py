"""Reads recipes from JSON files, from web pages with JSON-LD, and from folders of either."""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import Entry, looks_like_recipe
from data_builders.recipe1m.layers.json_array import read_array
from data_builders.recipe1m.own_recipes.report import Report
from data_builders.recipe1m.own_recipes.tables import parse_json

JSON_SUFFIXES = (".json", ".jsonld")
PAGE_SUFFIXES = (".html", ".htm")
# What stands around the JSON in the scripts of old pages.
_WRAPPING = re.compile(r"^\s*(?://|/\*)?\s*(?:<!\[CDATA\[|<!--)(?:\s*\*/)?|(?://|/\*)?\s*(?:\]\]>|-->)(?:\s*\*/)?\s*$")
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)


def read_folder(folder: Path, report: Report) -> Iterator[Entry]:
    """Yields the recipes of all JSON files and pages in a folder and below it, in the order of their paths.

    Hidden files and folders are passed over: other programs keep their things there.

    Raises:
        UserError: there is no such file.
    """
    names = sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, files in os.walk(folder)
        for name in files
        if name.lower().endswith(JSON_SUFFIXES + PAGE_SUFFIXES)
    )
    names = [name for name in names if not any(part.startswith(".") for part in Path(name).parts)]
    if not names:
        raise UserError(f"{folder} holds no .json, .jsonld or .html file; a sheet or a .jsonl is to be given itself")
    for name in names:
        recipes = read_document(folder / name, name, report)
        first = next(recipes, None)
        if first is None:
            report.no_recipe(name)
            continue
        yield first
        yield from recipes


def read_document(path: Path, name: str, report: Report, *, every_record: bool = False) -> Iterator[Entry]:
    """Yields the recipes of a JSON file or a page.

    Args:
        path: the file.
        name: what to call it.
        report: is told of what cannot be read.
        every_record: the elements of a JSON list are recipes, whatever they look like.
    """
    try:
        if not path.stat().st_size:
            report.broken(name, "the file is empty")
        elif path.suffix.lower() in PAGE_SUFFIXES:
            documents = [parse_json(script) for script in _scripts(_page_text(path.read_bytes()))]
            found = [node for document in documents for node in _linked_recipes(document)]
            yield from _entries(path, name, found)
        elif _starts_a_list(path):
            yield from _list_entries(path, name, report, every_record)
        else:
            document = parse_json(path.read_bytes().decode("utf-8-sig"))
            found = _linked_recipes(document) or ([document] if looks_like_recipe(document) else [])
            yield from _entries(path, name, found)
    except UnicodeDecodeError as error:
        report.broken(name, f"not UTF-8 text (byte {error.start + 1})")
    except ValueError as error:
        hint = "; a file with an object a line is to be named .jsonl" if "(Extra data" in str(error) else ""
        report.broken(name, f"{error}{hint}")
    except OSError as error:
        report.broken(name, f"cannot be opened ({error.strerror})")


def _list_entries(path: Path, name: str, report: Report, every_record: bool) -> Iterator[Entry]:
    records = read_array(path)
    number = 0
    while True:
        number += 1
        try:
            value = next(records).value
        except StopIteration:
            return
        except UserError as error:
            report.broken(name, str(error).removeprefix(f"{path}: "))
            return
        where = f"{name} record {number}"
        if isinstance(value, (dict, list)) and (found := _linked_recipes(value)):
            yield from _entries(path, where, found)
        elif isinstance(value, dict) and (every_record or looks_like_recipe(value)):
            yield Entry(where, path.parent, value)
        elif every_record:
            report.drop(where, "the record is not an object")


def _entries(path: Path, name: str, recipes: list[dict]) -> Iterator[Entry]:
    for number, recipe in enumerate(recipes, start=1):
        where = name if len(recipes) == 1 else f"{name} recipe {number}"
        yield Entry(where, path.parent, recipe, is_linked_data="@type" in recipe)


def _linked_recipes(document: Any) -> list[dict]:
    """The schema.org recipes in a JSON value, wherever they stand, in order; references to images are resolved."""
    recipes, images = [], {}
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(node)
        elif isinstance(node, dict):
            if _is_a(node, "Recipe"):
                recipes.append(node)
            elif _is_a(node, "ImageObject") and isinstance(node.get("@id"), str):
                images.setdefault(node["@id"], node)
            waiting += [] if _is_a(node, "Recipe") else reversed(node.values())
    return [_with_images(recipe, images) for recipe in recipes]


def _with_images(recipe: dict, images: dict[str, dict]) -> dict:
    def resolved(value: Any) -> Any:
        identity = value.get("@id") if isinstance(value, dict) and len(value) == 1 else None
        return images.get(identity, value) if isinstance(identity, str) else value

    value = recipe.get("image")
    return recipe | {"image": [resolved(item) for item in value] if isinstance(value, list) else resolved(value)}


def _is_a(node: dict, kind: str) -> bool:
    types = node.get("@type")
    types = types if isinstance(types, list) else [types]
    return any(isinstance(name, str) and re.split(r"[/:#]", name)[-1] == kind for name in types)


def _starts_a_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _page_text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        charset = _CHARSET.search(data[:4096])
        try:
            return data.decode(charset[1].decode()) if charset else data.decode("cp1252", "replace")
        except (LookupError, UnicodeDecodeError):
            raise ValueError("its text cannot be decoded; save it as UTF-8") from None


def _scripts(page: str) -> list[str]:
    """The texts of the page's JSON-LD scripts."""
    parser = _ScriptParser()
    try:
        parser.feed(page)
        parser.close()
    except AssertionError as error:  # what Python's parser says of a malformed declaration
        raise ValueError(f"not HTML ({error})") from None
    return [text for script in parser.scripts if (text := _WRAPPING.sub("", script).strip())]


class _ScriptParser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.scripts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = (dict(attrs).get("type") or "").split(";")[0].strip().lower()
        self._inside = tag == "script" and kind == "application/ld+json"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data
