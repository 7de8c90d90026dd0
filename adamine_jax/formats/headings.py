"""Headings of the parts of a recipe in the larger languages, and recipes on pages that have nothing but headings."""

import functools
import re
import unicodedata
from importlib import resources
from typing import TYPE_CHECKING, Any

from adamine_jax.recipes.ingredient_names import word_lists

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_LISTS = word_lists(resources.files("adamine_jax.formats").joinpath("heading_words.txt").read_text(encoding="utf-8"))
_PART_OF = {word: part for part, words in _LISTS.items() for word in words}
# "The ingredients", "Ingredients for 4 people", "Zutaten (4 Portionen)", "Method:".
_ARTICLE = re.compile(r"(?:the|de|la|le|les|los|gli|die) (?=\w)")
_ADDITION = re.compile(r"\s*[(:：\-–—|].*|\s+(?:for|fur|pour|para|per|voor|do|na)\s.*", re.DOTALL)
_ENDS = re.compile(r"^[\W_]{1,80}|[\W_]{1,80}$")
_MAX_CHARS = 80
_MAX_HEADINGS = 20  # of one part, on a page
_SKIPPED = (
    "script",
    "style",
    "noscript",
    "nav",
    "footer",
    "form",
    "template",
    "svg",
    "head",
    "select",
    "button",
    "iframe",
)
_MENUS = ("nav", "footer")
_INLINE = [
    "a",
    "abbr",
    "b",
    "bdi",
    "big",
    "cite",
    "code",
    "del",
    "dfn",
    "em",
    "font",
    "i",
    "img",
    "ins",
    "kbd",
    "label",
    "mark",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "time",
    "u",
    "var",
    "wbr",
    "input",
]


@functools.lru_cache(maxsize=4096)
def part_of(heading: str) -> str:
    """Returns "ingredients" or "instructions" if a heading names this part, "end" if a recipe ends there, or ""."""
    if len(heading) > _MAX_CHARS:
        return ""
    folded = unicodedata.normalize("NFKD", heading.lower().replace("’", "'"))
    text = " ".join("".join(char for char in folded if not unicodedata.combining(char)).split())
    text = _ENDS.sub("", unicodedata.normalize("NFC", text))
    forms = (text, _ARTICLE.sub("", text, count=1), _ADDITION.sub("", text))
    return next((_PART_OF[form] for form in forms if form in _PART_OF), "")


def recipe_under_headings(tree: "HtmlElement") -> dict[str, Any] | None:
    """Returns the recipe of a page on which lists or paragraphs follow headings of its parts; None if there is none."""
    blocks = _blocks(tree)
    found: dict[str, list[tuple[int, list[str]]]] = {"ingredients": [], "instructions": []}
    tried = dict.fromkeys(found, 0)
    for place, (text, level, _) in enumerate(blocks):
        part = part_of(text) if level else ""
        if part in found and tried[part] < _MAX_HEADINGS:
            tried[part] += 1
            if items := _section(blocks, place, part):
                found[part].append((place, items))
    lists = [(place, items) for place, items in found["ingredients"] if len(items) > 1]
    if not lists or not found["instructions"]:
        return None
    place, ingredients = lists[0]
    # The first instructions after the ingredients, or else the last ones before them.
    after = [items for other, items in found["instructions"] if other > place]
    instructions = after[0] if after else found["instructions"][-1][1]
    if part_of(instructions[0]) == "instructions":
        instructions = instructions[1:]
    title = next((text for text, level, _ in blocks if level == 1), "") or tree.findtext(".//title") or ""
    recipe = {"@type": "Recipe", "name": title, "recipeIngredient": ingredients}
    return recipe | {"recipeInstructions": instructions}


def _section(blocks: list[tuple[str, int, bool]], start: int, part: str) -> list[str]:
    """Returns what is under a heading: up to another known heading, or one of its level."""
    limit = min(blocks[start][1], 6)
    for end in range(start + 1, len(blocks)):
        text, level, _ = blocks[end]
        if level and (part_of(text) not in ("", part) or level <= limit):
            return _items(blocks[start + 1 : end])
    return _items(blocks[start + 1 :])


def _items(blocks: list[tuple[str, int, bool]]) -> list[str]:
    """Returns the texts of list items, or of all blocks if there are no lists; without headings."""
    items = [text for text, level, is_item in blocks if is_item and not level]
    return items if len(items) > 1 else [text for text, level, _ in blocks if not level]


def _blocks(tree: "HtmlElement") -> list[tuple[str, int, bool]]:
    """Returns the paragraphs of a page in order.

    Returns:
        For each its text, the level of a heading (1 to 6; 7 = a short paragraph that may be one; 0 = none), and whether
        it is in the item of a list.
    """
    blocks: list[tuple[str, int, bool]] = []
    pieces: list[str] = []
    state = {"level": 0, "item": False}
    most = len(tree.xpath(".//*")) // 2  # a menu that is not closed contains most of the page

    def close() -> None:
        text = " ".join("".join(pieces).split())
        pieces.clear()
        if text:
            level = state["level"] or (7 if part_of(text) else 0)
            blocks.append((text, level, bool(state["item"])))

    def walk(element: "HtmlElement", depth: int) -> None:
        if depth > 200:
            return
        pieces.append(element.text or "")
        for child in element:
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag == "br":
                if state["item"]:
                    pieces.append(" ")
                else:
                    close()
            elif tag in _INLINE:
                walk(child, depth + 1)
            elif tag and tag not in _SKIPPED and not (tag in _MENUS and len(child.xpath(".//*")) < most):
                before = dict(state)
                inside_item = state["item"]
                if not inside_item:
                    close()
                else:
                    pieces.append(" ")
                state["level"] = int(tag[1]) if re.fullmatch("h[1-6]", tag) else state["level"]
                state["item"] = inside_item or tag in ("li", "dt", "tr")
                walk(child, depth + 1)
                if not inside_item:
                    close()
                state.update(before)
            pieces.append(child.tail or "")

    walk(tree, 0)
    close()
    return blocks
