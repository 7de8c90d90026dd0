"""Cooklang files (cooklang.org/docs/spec): steps in which ingredients, tools and times are marked."""

import re
from collections.abc import Iterator
from pathlib import Path

from adamine_jax.formats.markdown import MAX_BYTES, markdown_recipe
from adamine_jax.formats.opening import decoded, read_bytes
from adamine_jax.formats.report import Report
from adamine_jax.recipes.fields import Entry
from adamine_jax.recipes.ingredient_lines import line_of
from adamine_jax.recipes.photos import photos_beside

_FRONT = re.compile(r"\A---[ \t]*\r?\n.*?\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LINE_COMMENT = re.compile(r"(?:^|(?<=\s))--(?!-).*", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"\[-.{0,1000}?-\]", re.DOTALL)
# "@ground black pepper{1%tsp}(fresh)", "@salt", "#large pot{}", "~{10%minutes}".
_MARKED = re.compile(
    r"([@#~])[&?+-]{0,3}(?:([^@#~{}\n]{0,99}?)\{([^{}]{0,200})\}|([\w'’-]{1,99}))(?:\(([^()]{0,300})\))?",
)
_KEYS = {"source": "url", "image": "image", "course": "category", "category": "category", "title": "title"}


def read_cooklang(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipe of a Cooklang file; its photo has the same name and another suffix."""
    text = decoded(read_bytes(path, MAX_BYTES))
    front = _FRONT.match(text)
    recipe = markdown_recipe(front[0], "") if front else {}
    body = _LINE_COMMENT.sub("", _BLOCK_COMMENT.sub("", text[front.end() :] if front else text))
    ingredients: list[str] = []
    steps: list[str] = []
    paragraph: list[str] = []
    for line in [*map(str.strip, body.splitlines()), ""]:
        if line.startswith(">>"):
            name_of, _, value = line[2:].partition(":")
            if key := _KEYS.get(name_of.strip().lower()):
                recipe.setdefault(key, value.strip())
        elif line and not line.startswith(("=", ">")):
            paragraph.append(line)
        elif paragraph:
            steps.append(_MARKED.sub(lambda mark: _shown(mark, ingredients), " ".join(paragraph)))
            paragraph.clear()
    recipe |= {"ingredients": list(dict.fromkeys(ingredients)), "instructions": steps}
    recipe["title"] = recipe.get("title") or path.stem
    if ingredients or steps:
        yield Entry(name, path.parent, recipe, is_linked_data=True, photos_beside=photos_beside(path))


def _shown(mark: re.Match[str], ingredients: list[str]) -> str:
    """Returns a marked item as it is read in a step; adds an ingredient to the list."""
    kind, name, amount = mark[1], (mark[2] or mark[4] or "").strip(), mark[3] or ""
    quantity, _, unit = (part.strip() for part in amount.lstrip("=").partition("%"))
    if kind == "@" and name:
        ingredients.append(line_of({"amount": quantity, "unit": unit, "name": name, "note": mark[5] or ""}))
    return " ".join(part for part in (quantity, unit) if part) if kind == "~" and amount else name
