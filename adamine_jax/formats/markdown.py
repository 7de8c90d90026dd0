"""Markdown files with or without front matter, as Chowdown, Jekyll, Hugo and Obsidian keep recipes."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from adamine_jax.formats.headings import part_of
from adamine_jax.formats.opening import decoded, read_bytes
from adamine_jax.formats.report import Report
from adamine_jax.recipes.fields import Entry, known_fields

_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)\r?\n\1[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_UNDERLINE = re.compile(r"(?:=+|-+)\s*$")
_BOLD_LINE = re.compile(r"(?:\*\*|__)([^*_]+)(?:\*\*|__)\s*:?$")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(.*)")
_TABLE_RULE = re.compile(r"\|?[\s:|-]+\|[\s:|-]*$")
_IMAGE = re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)[^)]*\)|!\[\[([^\]|#]+)[^\]]*\]\]|<img\s[^<>]*src=[\"']([^\"'<>]+)")
_LINK = re.compile(r"\[\[(?:[^\]|]*\|)?([^\]]*)\]\]|\[([^\]]*)\]\([^)]*\)")
_EMPHASIS = re.compile(r"\*\*|__|`|(?<![\w*])[*_](?=\S)|(?<=\S)[*_](?![\w*])")
_COMMENT = re.compile(r"%%.*?%%|<!--.*?-->", re.DOTALL)


def read_markdown(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipe of a Markdown file; none if it has neither ingredients nor instructions."""
    recipe = markdown_recipe(decoded(read_bytes(path)), path.stem)
    if not known_fields(recipe).keys().isdisjoint(("ingredients", "instructions")):
        yield Entry(name, path.parent, recipe, is_linked_data=True)


def markdown_recipe(text: str, title: str) -> dict[str, Any]:
    """Returns the recipe of a Markdown text, with `title` if it has none.

    The fields of the front matter are preferred. Otherwise the title is the first heading, ingredients and instructions
    are what follows the headings that name them; without such headings, the text is the instructions.

    Raises:
        ValueError: The front matter is malformed.
    """
    front = _FRONT.match(text)
    recipe = _front_matter(front[1], front[2]) if front else {}
    body = _COMMENT.sub("", text[front.end() :] if front else text)
    fields = known_fields(recipe)
    first, parts = _parts(body)
    images = [next(filter(None, found)) for found in _IMAGE.findall(body)]
    if "ingredients" in fields and not parts["instructions"]:
        parts["instructions"] = parts[""]
    found = {"title": first or title, "ingredients": parts["ingredients"], "instructions": parts["instructions"]}
    found["images"] = images
    return recipe | {field: value for field, value in found.items() if value and field not in fields}


def _front_matter(mark: str, text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text) if mark == "---" else tomllib.loads(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"malformed front matter ({' '.join(str(error).split())[:120]})") from None
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}


def _parts(body: str) -> tuple[str, dict[str, list[str]]]:
    """Returns the first heading of level 1, and the items or paragraphs of each part; "" = under no known heading."""
    title, part = "", ""
    blocks: dict[str, list[str]] = {"": [], "ingredients": [], "instructions": [], "end": []}
    is_open = is_table = False
    lines = body.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        line = line.strip().removeprefix("> ")
        heading = _HEADING.match(line) or _BOLD_LINE.match(line)
        level, name = (len(heading[1]), heading[2]) if heading and heading.re is _HEADING else (0, "")
        if not name and (heading or (line.endswith(":") and part_of(line))):
            level, name = 7, heading[1] if heading else line
        if not name and line and _UNDERLINE.match(following) and not _ITEM.match(line) and "|" not in line:
            level, name = 1, line
        if name:
            found = part_of(_plain(name))
            title = title or (_plain(name) if level == 1 and not found else "")
            # A heading without a known name is that of a section, or of another part of the same level.
            part = found or (part if level > 2 or part == "" else "end")
            is_open = False
        elif not line or _UNDERLINE.fullmatch(line):
            is_open = is_table = False
        elif "|" in line and (is_table or _TABLE_RULE.match(following.strip()) or _TABLE_RULE.match(line)):
            if is_table and not _TABLE_RULE.match(line):
                blocks[part].append(" ".join(cell for cell in map(_plain, line.strip("|").split("|")) if cell))
            is_table = True
        elif item := _ITEM.match(line):
            blocks[part].append(f"- {_plain(item[1])}")
            is_open = True
        elif text := _plain(line):
            if is_open:
                blocks[part][-1] += f" {text}"
            else:
                blocks[part].append(text)
            is_open = part != "ingredients"  # lines of ingredients without marks are ingredients
    return title, {part: _items(found) for part, found in blocks.items()}


def _items(blocks: list[str]) -> list[str]:
    """Returns the items of lists, or all blocks if there are none."""
    items = [block[2:] for block in blocks if block.startswith("- ")]
    return [item for item in items if item] or blocks


def _plain(text: str) -> str:
    """Returns a text without images, links and emphasis."""
    text = _LINK.sub(lambda link: link[1] or link[2] or "", _IMAGE.sub("", text))
    return _EMPHASIS.sub("", text).replace("\\", "").strip()
