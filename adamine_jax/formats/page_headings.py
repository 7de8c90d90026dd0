"""Recipes on pages without any markup for them: lists or paragraphs below headings such as "Ingredients"."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from adamine_jax.formats.headings import part_of

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_SKIPPED = re.compile("script|style|noscript|template|svg|head|select|button|iframe")
_MENU = re.compile("nav|footer")
_INLINE = re.compile(
    "a|abbr|b|bdi|big|cite|code|del|dfn|em|font|i|img|ins|kbd|label|mark|q|s|samp|small|span|strong|sub|sup|time|u|var|wbr|input"
)
_HEADING = re.compile("h([1-6])")
_ITEM = re.compile("li|dt|tr")
_SHORT = 7
"""Level of a short paragraph that names a part but is not a heading."""
_NO_PHOTO = re.compile(r"^data:|logo|icon|avatar|sprite|pixel|emoji|\.svg", re.IGNORECASE)
_MAX_HEADINGS = 20  # of one part, on a page
_MAX_DEPTH = 200
GUESSED = "guessed"
"""Field of a recipe whose `image` lists all photos of the page, of which only the first saved one is taken."""


class Block(NamedTuple):
    """A paragraph of a page.

    Attributes:
        text: Its text in one line.
        level: Level of a heading, from 1; 0 = no heading.
        is_item: Whether it is the item of a list or the row of a table.
    """

    text: str
    level: int
    is_item: bool


def recipe_under_headings(tree: "HtmlElement") -> dict[str, Any] | None:
    """Returns the recipe below the headings of a page, in the form of schema.org; None if the page has no recipe."""
    blocks = _Blocks(tree).found
    found: dict[str, list[tuple[int, list[str]]]] = {"ingredients": [], "instructions": []}
    tried = dict.fromkeys(found, 0)
    for place, block in enumerate(blocks):
        part = part_of(block.text) if block.level else ""
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
    recipe = {"@type": "Recipe", "name": _title(tree, blocks), "recipeIngredient": ingredients}
    recipe |= {"recipeInstructions": instructions}
    return recipe | ({"image": photos, GUESSED: True} if (photos := _photos(tree)) else {})


def _title(tree: "HtmlElement", blocks: list[Block]) -> str:
    """Returns the main heading of a page, or else its title without the name of the site."""
    heading = next((block.text for block in blocks if block.level == 1), "")
    title = next(iter(tree.xpath('//meta[@property="og:title"]/@content')), "") or tree.findtext(".//title") or ""
    return heading or re.split(r"\s[|–—·»-]\s", title.strip())[0]


def _photos(tree: "HtmlElement") -> list[str]:
    """Returns the addresses of a page's main photo, which sites state for links to it, and of those in its text."""
    stated = tree.xpath('//meta[@property="og:image" or @name="twitter:image"]/@content')
    images = tree.xpath("//img[not(ancestor::nav or ancestor::header or ancestor::footer or ancestor::aside)]/@src")
    return [source for source in dict.fromkeys([*stated, *images]) if not _NO_PHOTO.search(source)]


def _section(blocks: list[Block], start: int, part: str) -> list[str]:
    """Returns the texts between a heading and the next one that is known or of the same level."""
    limit = min(blocks[start].level, 6)
    end = start + 1
    while end < len(blocks):
        block = blocks[end]
        if block.level and (part_of(block.text) not in ("", part) or block.level <= limit):
            break
        end += 1
    texts = [block for block in blocks[start + 1 : end] if not block.level]
    items = [block for block in texts if block.is_item]
    return [block.text for block in (items if len(items) > 1 else texts)]


class _Blocks:
    """Collects the paragraphs of a page in order, in `found`."""

    def __init__(self, tree: "HtmlElement"):
        self.found: list[Block] = []
        self._pieces: list[str] = []
        # A menu that is not closed contains most of the page, and is not skipped.
        self._most = len(tree.xpath(".//*")) // 2
        self._walk(tree, 0, False, 0)
        self._close(0, False)

    def _walk(self, element: "HtmlElement", level: int, is_item: bool, depth: int) -> None:
        """Adds the blocks of an element inside a heading of `level`, or an item."""
        if depth > _MAX_DEPTH:
            return
        self._pieces.append(element.text or "")
        for child in element:
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag == "br" and not is_item:
                self._close(level, is_item)
            elif _INLINE.fullmatch(tag):
                self._walk(child, level, is_item, depth + 1)
            elif tag and not _SKIPPED.fullmatch(tag) and not self._is_menu(child, tag):
                if is_item:  # an item is one block
                    self._pieces.append(" ")
                    self._walk(child, level, is_item, depth + 1)
                else:
                    self._close(level, is_item)
                    heading = _HEADING.fullmatch(tag)
                    inner = (int(heading[1]) if heading else level), _ITEM.fullmatch(tag) is not None
                    self._walk(child, *inner, depth + 1)
                    self._close(*inner)
            self._pieces.append(f" {child.tail or ''}" if tag == "br" else child.tail or "")

    def _is_menu(self, element: "HtmlElement", tag: str) -> bool:
        return _MENU.fullmatch(tag) is not None and len(element.xpath(".//*")) < self._most

    def _close(self, level: int, is_item: bool) -> None:
        """Ends the current block."""
        text = " ".join("".join(self._pieces).split())
        self._pieces.clear()
        if text:
            self.found.append(Block(text, level or (_SHORT if part_of(text) else 0), is_item))
