"""Markdown files with or without front matter, as Chowdown, Jekyll, Hugo and Obsidian keep recipes."""

import itertools
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
from adamine_jax.recipes.markup import without_hidden
from adamine_jax.recipes.photos import SUFFIXES, photos_beside

_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)\r?\n\1[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_BOLD_LINE = re.compile(r"(?:\*\*|__)([^*_]{1,100})(?:\*\*|__)\s?:?")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(.*)")
_IMAGE = re.compile(
    r"!\[[^\[\]]{0,500}\]\(([^()\n]{1,500}(?:\([^()\n]{0,99}\)[^()\n]{0,500}){0,3})\)"
    r"|!\[\[([^\[\]|#]{1,500})[^\[\]]{0,500}\]\]|<img\s[^<>]{0,500}?src=[\"']([^\"'<>]{1,500})"
)
_LINK = re.compile(r"\[\[(?:[^\[\]|]{0,500}\|)?([^\[\]]{0,500})\]\]|\[([^\[\]]{0,500})\]\([^()]{0,500}\)")
_EMPHASIS = re.compile(r"\*\*|__|`|==|(?<![\w*])[*_](?=\S)|(?<=\S)[*_](?![\w*])")
# Comments, ids of blocks and footnotes of Obsidian, shortcodes of Hugo, lines of tags.
_COMMENT = re.compile(
    r"%%[^%]*%%|(?<=\s)\^[\w-]{1,50}[ \t]*$|^\[\^[^\]\n]{1,50}\]:.*$|\[\^[^\]\n]{1,50}\]"
    r"|\{\{[%<](?!\s*figure)[^{}]{0,500}\}\}|^>\s*\[![\w-]+\].*$(?:\n>.*$)*"
    r"|(?:^|(?<=\s))(?:#[^\W\d][\w/-]{0,50}[ \t]*){1,20}$",
    re.MULTILINE,
)
_PHOTO = re.compile(rf".*?(?:{'|'.join(map(re.escape, SUFFIXES))})(?=[\s\"'“(]|$)", re.IGNORECASE)
_FIGURE = re.compile(r"\{\{<\s*figure\s[^{}]{0,500}?src=[\"']?([^\"'\s{}]{1,500})[^{}]{0,500}\}\}")
_BOLD = 7  # level of a heading that is a bold line
MAX_BYTES = 4 << 20


def read_markdown(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipe of a Markdown file; none if it has neither ingredients nor instructions."""
    recipe = markdown_recipe(decoded(read_bytes(path, MAX_BYTES)), path.stem)
    if not known_fields(recipe).keys().isdisjoint(("ingredients", "instructions")):
        yield Entry(name, path.parent, recipe, is_linked_data=True, photos_beside=photos_beside(path))


def markdown_recipe(text: str, title: str) -> dict[str, Any]:
    """Returns the recipe of a Markdown text, with `title` if it has none.

    The fields of the front matter are preferred. Otherwise the title is the first heading, ingredients and instructions
    are what follows the headings that name them; without such headings, the text is the instructions.

    Raises:
        ValueError: The front matter is malformed.
    """
    front = _FRONT.match(text)
    recipe = _front_matter(front[1], front[2]) if front else {}
    recipe = _flat(recipe)
    body = _COMMENT.sub("", without_hidden(_FIGURE.sub(r"![](<\1>)", text[front.end() :] if front else text)))
    fields = known_fields(recipe)
    first, parts = _parts(body)
    images = [image for found in _IMAGE.finditer(body) if (image := found[2] or found[3] or _target(found[1]))]
    if "ingredients" in fields and not parts["instructions"]:
        parts["instructions"] = parts[""]
    found = {"title": first or title, "ingredients": parts["ingredients"], "instructions": parts["instructions"]}
    found["images"] = images
    return recipe | {field: value for field, value in found.items() if value and field not in fields}


def _target(given: str) -> str:
    """Returns the path in the parentheses of a Markdown image, without the title or size; may be empty.

    Markdown requires <> around paths with spaces, but many people omit them. Such a path ends at the suffix of a photo.
    """
    given = given.strip()
    if given.startswith("<"):
        return given[1:].partition(">")[0]
    name = _PHOTO.match(given)
    return name[0] if name else given.partition(" ")[0]


def _front_matter(mark: str, text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text) if mark == "---" else tomllib.loads(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"malformed front matter ({' '.join(str(error).split())[:120]})") from None
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Returns front matter with the recipe and the cover photo that themes put into tables of their own."""
    for name, field in (("cover", "image"), ("featured_image", ""), ("featuredImage", ""), ("banner", "")):
        value = values.get(name)
        photo = value.get(field) if isinstance(value, dict) else value
        if isinstance(photo, str) and "images" not in known_fields(values):
            values = {key: other for key, other in values.items() if key != name} | {"image": photo}
    image = known_fields(values).get("images")
    if isinstance(image, str) and (link := re.fullmatch(r"!?\[\[([^\[\]|]+).*\]\]", image.strip())):
        values = values | {"images": link[1]}
    inner = values.get("recipe")
    return values | inner if isinstance(inner, dict) else values


def _parts(body: str) -> tuple[str, dict[str, list[str]]]:
    """Returns the first heading of level 1, and the items or paragraphs of each part; "" = under no known heading."""
    title, part, part_level = "", "", 0
    blocks: dict[str, list[str]] = {"": [], "ingredients": [], "instructions": [], "end": []}
    is_open = is_table = is_item = False
    lines = body.splitlines()
    for raw, following in itertools.pairwise([*lines, ""]):
        line = raw.strip().removeprefix("> ")
        level, name = _heading(line, following.strip())
        if name:
            found = part_of(_plain(name))
            title = title or (_plain(name) if level == 1 and not found else "")
            # A deeper heading is that of a section, any other one that of another part.
            if found:
                part, part_level = found, level
            elif part and level <= part_level and level < _BOLD:
                part = "end"
            is_open = is_item = False
        elif not line or _is_rule(line):
            is_open = is_table = False
        elif "|" in line and (is_table or _is_table_rule(following) or _is_table_rule(line)):
            if is_table and not _is_table_rule(line):
                blocks[part].append(" ".join(cell for cell in map(_plain, line.strip("|").split("|")) if cell))
            is_table = True
        elif item := _ITEM.match(line):
            blocks[part].append(_plain(item[1]))
            is_open = is_item = True
        elif text := _plain(line):
            if blocks[part] and (is_open or (is_item and raw[:1].isspace())):
                blocks[part][-1] += f" {text}"  # a line of the same paragraph, or a paragraph of the same item
            else:
                blocks[part].append(text)
                is_item = False
            is_open = is_item or part != "ingredients"  # lines of ingredients without marks are ingredients
    return title, {part: [block for block in found if block] for part, found in blocks.items()}


def _heading(line: str, following: str) -> tuple[int, str]:
    """Returns the level and the text of a heading; (0, "") for other lines."""
    if heading := _HEADING.match(line):
        return len(heading[1]), heading[2].rstrip("# ")
    if bold := _BOLD_LINE.fullmatch(line):
        return _BOLD, bold[1]
    if line.endswith(":") and part_of(line):
        return _BOLD, line
    if line and _is_rule(following) and not _is_rule(line) and not _ITEM.match(line) and "|" not in line:
        return (1 if following.startswith("=") else 2), line
    return 0, ""


def _is_rule(line: str) -> bool:
    return len(line) > 2 and set(line) in ({"="}, {"-"}, {"*"})


def _is_table_rule(line: str) -> bool:
    return "-" in line and "|" in line and set(line) <= set("|:- \t")


def _plain(text: str) -> str:
    """Returns a text without images, links and emphasis."""
    text = _LINK.sub(lambda link: link[1] or link[2] or "", _IMAGE.sub("", text)).removeprefix("[ ] ")
    return without_emphasis(text).replace("\\", "").strip()


def without_emphasis(text: str) -> str:
    """Returns a text without the marks of bold, italic, code and highlighted words."""
    return _EMPHASIS.sub("", text)
