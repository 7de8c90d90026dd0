"""Reads recipes from a file of any supported format, or from a folder of JSON files and web pages with JSON-LD."""

import html
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import Entry, looks_like_recipe
from data_builders.recipe1m.layers.json_array import read_array
from data_builders.recipe1m.own_recipes.import_report import Report
from data_builders.recipe1m.own_recipes.line_formats import parse_json, read_json_lines, read_sheet

_LINES_SUFFIXES = (".jsonl", ".ndjson")
_SHEET_SUFFIXES = (".csv", ".tsv")
_PAGE_SUFFIXES = (".html", ".htm")
_DOCUMENT_SUFFIXES = (".json", ".jsonld", *_PAGE_SUFFIXES)
# Comment and CDATA marks around the JSON in the scripts of old pages. Bounded gaps make long runs of spaces take linear
# time.
_WRAPPING = re.compile(
    r"^\s*(?://|/\*)?\s*(?:<!\[CDATA\[|<!--)(?:\s*\*/)?"
    r"|(?://|/\*)?\s{0,99}(?:\]\]>|-->)(?:\s{0,99}\*/)?\s{0,99}$"
)
_COMMENT_OR_SCRIPT = re.compile(r"<!--|<script(?=[\s>/])", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)
_JSON_LD = re.compile(r"""(?:^|\s)type\s*=\s*["']?\s*application/ld\+json\b""", re.IGNORECASE)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)


def read_source(source: Path, report: Report) -> Iterator[Entry]:
    """Yields the records of a file or folder; raises a `UserError` if it is missing, empty or unsupported."""
    suffix = source.suffix.lower()
    if source.is_dir():
        yield from _read_folder(source, report)
    elif not source.is_file():
        raise UserError(f"--from {source}: no such file or folder")
    elif source.stat().st_size == 0:
        raise UserError(f"--from {source}: the file is empty")
    elif suffix in _LINES_SUFFIXES:
        yield from read_json_lines(source, report)
    elif suffix in _SHEET_SUFFIXES:
        yield from read_sheet(source, report)
    elif suffix in _DOCUMENT_SUFFIXES:
        yield from _read_document(source, source.name, report, every_record=True)
    else:
        suffixes = ", ".join(_LINES_SUFFIXES + _SHEET_SUFFIXES + _DOCUMENT_SUFFIXES)
        raise UserError(f"--from {source}: unsupported file type; give a folder or a file ending in {suffixes}")


def _is_inside(path: str, folder: Path) -> bool:
    """Whether a file is a regular file in the folder, not a link to one elsewhere."""
    return os.path.isfile(path) and Path(path).resolve().is_relative_to(folder.resolve())


def _read_folder(folder: Path, report: Report) -> Iterator[Entry]:
    """Yields the recipes of all JSON files and pages below a folder in the order of their paths, except hidden ones."""
    names = sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, files in os.walk(folder)
        for name in files
        if name.lower().endswith(_DOCUMENT_SUFFIXES) and _is_inside(os.path.join(parent, name), folder)
    )
    names = [name for name in names if not any(part.startswith(".") for part in Path(name).parts)]
    if not names:
        raise UserError(
            f"{folder} contains no .json, .jsonld or .html file; give a .csv, .tsv or .jsonl file by its own path"
        )
    for name in names:
        recipes = _read_document(folder / name, name, report)
        first = next(recipes, None)
        if first is None:
            report.no_recipe(name)
            continue
        yield first
        yield from recipes


def _read_document(path: Path, name: str, report: Report, *, every_record: bool = False) -> Iterator[Entry]:
    """Yields the recipes of a JSON file or page called `name`; with `every_record`, all elements of a JSON list."""
    try:
        if not path.stat().st_size:
            report.broken(name, "the file is empty")
        elif path.suffix.lower() in _PAGE_SUFFIXES:
            documents = [parse_json(script) for script in _scripts(_page_text(path.read_bytes()))]
            yield from _entries(path, name, [node for document in documents for node in _linked_recipes(document)])
        elif _is_list(path):
            yield from _list_entries(path, name, report, every_record)
        else:
            document = parse_json(path.read_bytes().decode("utf-8-sig"))
            found = _linked_recipes(document) or ([document] if looks_like_recipe(document) else [])
            yield from _entries(path, name, found)
    except UnicodeDecodeError as error:
        report.broken(name, f"not UTF-8 text (byte {error.start + 1})")
    except ValueError as error:
        hint = "; rename a file with one object per line to .jsonl" if "(Extra data" in str(error) else ""
        report.broken(name, f"{error}{hint}")
    except OSError as error:
        report.broken(name, f"cannot be opened ({error.strerror})")


def _list_entries(path: Path, name: str, report: Report, every_record: bool) -> Iterator[Entry]:
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
    """Returns the schema.org recipes at any depth of a JSON value, with their references to images resolved."""
    recipes, images = [], {}
    stack = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += reversed(node)
        elif isinstance(node, dict):
            if _is_a(node, "Recipe"):
                recipes.append(node)
            elif _is_a(node, "ImageObject") and isinstance(node.get("@id"), str):
                images.setdefault(node["@id"], node)
            stack += [] if _is_a(node, "Recipe") else reversed(node.values())
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


def _is_list(path: Path) -> bool:
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
            raise ValueError("its text cannot be decoded; save the page as UTF-8") from None


def _scripts(page: str) -> list[str]:
    """Returns the contents of a page's JSON-LD scripts, in linear time even for malformed pages."""
    scripts, place = [], 0
    while match := _COMMENT_OR_SCRIPT.search(page, place):
        if match[0] == "<!--":
            place = page.find("-->", match.end()) + 1
        elif place := page.find(">", match.end()) + 1:
            end = _SCRIPT_END.search(page, place)
            script = page[place : end.start() if end else len(page)]
            if _JSON_LD.search(html.unescape(page[match.end() : place])):
                scripts.append(script)
            place += len(script)
        if not place:
            break  # the comment or tag is never closed
    return [text for script in scripts if (text := _WRAPPING.sub("", script).strip())]
