"""Recipes on web pages, as browsers save them: JSON-LD, microdata, RDFa, scrapers of sites, and headings with lists."""

import contextlib
import email
import email.policy
import glob
import html
import json
import os
import re
import tempfile
import urllib.parse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamine_jax.base.extras import require
from adamine_jax.formats.linked_data import is_a, linked_recipes
from adamine_jax.formats.opening import decoded, read_bytes
from adamine_jax.formats.page_headings import GUESSED, recipe_under_headings
from adamine_jax.formats.report import Report
from adamine_jax.recipes import values as read
from adamine_jax.recipes.fields import Entry, field_of, known_fields
from adamine_jax.recipes.markup import plain

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_BYTES = 64 << 20
"""Maximum size of a page; with the photos that an .mhtml file contains."""

_TYPE = re.compile(r"(?:^|[/:\s])Recipe/?(?=\s|$)")
_PROPERTIES = ("name", "image", "recipeIngredient", "ingredients", "recipeInstructions", "recipeCategory", "inLanguage")
# Comment and CDATA marks around the JSON of old pages. Bounded gaps keep long runs of spaces linear.
_WRAPPING = re.compile(
    r"^(?://|/\*)?\s{0,99}(?:<!\[CDATA\[|<!--)(?:\s{0,99}\*/)?"
    r"|(?://|/\*)?\s{0,99}(?:\]\]>|-->)(?:\s{0,99}\*/)?\s{0,99}$"
)
_SAVED_FROM = re.compile(r"<!-- saved from url=\(\d+\)(\S+) -->")
_EMBEDDED = re.compile(r"data:[\w/+.-]{1,60};base64,[A-Za-z0-9+/=]{1000,}")
_SOURCE = re.compile(r"""<img\s[^<>]{0,2000}?src=["']([^"'<>]{1,500})["']""", re.IGNORECASE)
_GAP = re.compile(r"[ \t\r\n,;]*")
_TRAILING_COMMA = re.compile(r",(?=\s*[\]}])")
# What distinguishes the sizes of one photo: "soup-300x200.jpg", "soup@2x.jpg", "soup_large.jpg".
_SIZE = re.compile(
    r"(?:[-_.](?:\d{2,4}x\d{2,4}|\d{2,4}w|scaled|large|medium|small|thumb(?:nail)?)|@\dx|\(\d\)){1,4}$", re.I
)
_PHOTO = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".avif", ".heic", ".tif", ".tiff", ".bmp", "")
_JSON = json.JSONDecoder(strict=False)
_MAX_DEPTH = 200


def read_page(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipes of an HTML or MHTML file, with the photos that were saved with it."""
    data, photos, address = read_bytes(path, MAX_BYTES), {}, ""
    if path.suffix.lower() in (".mhtml", ".mht"):
        data, photos, address = _unpacked(data, report.unpacked)
    text = decoded(data, is_page=True)
    recipes = page_recipes(text, address)
    files = photos or _files_beside(path, text)
    for number, recipe in enumerate(recipes, start=1):
        where = name if len(recipes) == 1 else f"{name} recipe {number}"
        listed = _links(recipe.get("image"))
        found = _saved(listed, files) or listed
        images = found[:1] if recipe.pop(GUESSED, False) else found
        yield Entry(where, path.parent, recipe | {"image": images}, is_linked_data=True)


def page_recipes(page: str, address: str = "", *, use_scrapers: bool = True) -> list[dict[str, Any]]:
    """Returns the recipes of a page, in the form of schema.org; no connection is opened.

    The scraper of recipe-scrapers for the page's site is preferred, then JSON-LD, then microdata and RDFa. What they
    lack is taken from headings such as "Ingredients" with what follows them.

    Args:
        page: HTML.
        address: Address of the page; "" = the one that it names itself by.
        use_scrapers: Whether to use the scrapers of sites.

    Raises:
        ModuleNotFoundError: recipe-scrapers is not installed.
    """
    require("recipe_scrapers")
    from lxml import etree
    from lxml import html as lxml_html

    # Embedded photos exceed the limit of an attribute.
    data = _EMBEDDED.sub("", page).encode("utf-8", "replace")
    try:
        tree = lxml_html.document_fromstring(data, parser=lxml_html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, ValueError):
        return []
    recipes = linked_recipes(linked_data(tree))
    recipes += [recipe for recipe in _marked_up(tree) if not recipes]
    address = (address or _address(page, tree, recipes)) if use_scrapers else ""
    if site := _by_site(page, address, headings_in(recipes)):
        same = next((recipe for recipe in recipes if plain(str(recipe.get("name"))) == site["name"]), {})
        recipes = [same | site, *(recipe for recipe in recipes if recipe is not same)] if same else [site, *recipes[1:]]
    whole = [recipe for recipe in recipes if known_fields(recipe).keys() >= {"title", "ingredients", "instructions"}]
    if whole or len(recipes) > 1:
        return recipes
    if not (found := recipe_under_headings(tree)):
        return recipes
    known = known_fields(recipes[0]) if recipes else {}
    if "images" in known:
        found.pop(GUESSED, None)
    lacking = {key: value for key, value in found.items() if field_of(key) not in known}
    return [{**(recipes[0] if recipes else {}), **lacking}]


def linked_data(tree: "HtmlElement") -> list[Any]:
    """Returns the JSON-LD of a page."""
    return [document for script in tree.iter("script") for document in _documents(script)]


def _documents(script: "HtmlElement") -> list[Any]:
    """Returns the JSON values of a script; [] if it is broken or contains none."""
    if "ld+json" not in (script.get("type") or "").lower():
        return []
    text = _WRAPPING.sub("", (script.text or "").strip()).strip().rstrip(";")
    for candidate in (text, _TRAILING_COMMA.sub("", text)):
        values, place = [], 0
        with contextlib.suppress(ValueError, RecursionError):
            while place < len(candidate):  # some scripts contain several values
                value, place = _JSON.raw_decode(candidate, place)
                values.append(value)
                place = _end_of_gap(candidate, place)
        if values:
            return values
    return []


def _end_of_gap(text: str, place: int) -> int:
    gap = _GAP.match(text, place)
    return gap.end() if gap else place


def _marked_up(tree: "HtmlElement") -> list[dict[str, Any]]:
    """Returns the recipes of microdata (itemtype, itemprop) and RDFa (typeof, property)."""
    recipes = []
    for kind, prop in (("itemtype", "itemprop"), ("typeof", "property")):
        for root in tree.xpath(f"//*[@{kind}]"):
            if _TYPE.search(root.get(kind)):
                recipe: dict[str, Any] = {"@type": "Recipe"}
                _collect(root, kind, prop, recipe)
                recipe |= {"name": recipe["name"][0]} if recipe.get("name") else {}
                recipes.append(recipe)
    return [recipe for recipe in recipes if len(recipe) > 1]


def _collect(element: "HtmlElement", kind: str, prop: str, recipe: dict[str, Any], depth: int = 0) -> None:
    """Adds the properties of an element's descendants, without those of other objects in it."""
    for child in element if depth < _MAX_DEPTH else ():
        if not isinstance(child.tag, str):
            continue
        names = [re.split(r"[:/]", name)[-1] for name in (child.get(prop) or "").split()]
        is_object = child.get(kind) is not None
        for name in names:
            if name in _PROPERTIES and not (is_object and name == "name"):
                recipe.setdefault(name, []).append(_value(child, is_photo=name == "image"))
        if not is_object and not any(name in ("recipeInstructions", "recipeIngredient") for name in names):
            _collect(child, kind, prop, recipe, depth + 1)


def _value(element: "HtmlElement", is_photo: bool) -> str:
    """Returns the value of a property: an address, a given content, or the element's HTML."""
    from lxml.html import tostring

    if is_photo:
        photos = [element, *element.iter("img")]
        return next((at for e in photos for key in ("src", "data-src", "href", "content") if (at := e.get(key))), "")
    if content := element.get("content"):
        return content
    return (element.text or "") + "".join(tostring(child, encoding="unicode") for child in element)


def _address(page: str, tree: "HtmlElement", recipes: list[dict[str, Any]]) -> str:
    """Returns the canonical address of a page, or else another one that the page states or a browser added."""
    links = tree.xpath('//link[@rel="canonical"]/@href | //meta[@property="og:url"]/@content')
    links += [recipe[key] for recipe in recipes for key in ("url", "@id", "mainEntityOfPage") if key in recipe]
    links += _SAVED_FROM.findall(page[:2000])
    return next((link for link in links if isinstance(link, str) and link.startswith("http")), "")


def _by_site(page: str, address: str, headings: set[str]) -> dict[str, Any] | None:
    """Returns the recipe that the scraper for the page's site finds; None without a scraper, or if it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from recipe_scrapers import scrape_html, scraper_exists_for

        found: dict[str, Any] = {}
        try:  # malformed addresses raise, and a scraper may raise anything on a page that its site has changed
            if not address or not scraper_exists_for(address):
                return None
            scraper = scrape_html(page, org_url=address)
            title, ingredients, steps = scraper.title(), scraper.ingredients(), scraper.instructions_list()
        except Exception:
            return None
        with contextlib.suppress(Exception):
            found["image"] = scraper.image()
    steps = [step for step in steps if plain(step) not in headings]  # a section's name is no step
    if not title or not (ingredients or steps):
        return None
    return found | {
        "@type": "Recipe",
        "name": plain(title),
        "recipeIngredient": ingredients,
        "recipeInstructions": steps,
    }


def headings_in(value: Any) -> set[str]:
    """Returns the names of sections in linked data, and those of steps that have another text."""
    names = set()
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += node
        elif isinstance(node, dict):
            name = plain(str(node.get("name") or node.get("Name") or ""))
            text = read.text(node.get("text"))
            is_section = bool(node.get("itemListElement")) or is_a(node, "HowToSection")
            if name and (is_section or (text and not text.startswith(name.rstrip(".…")))):
                names.add(name)
            stack += node.values()
    return names


def _links(image: Any) -> list[str]:
    """Returns the first link of each image of a recipe; objects contain one photo in one or several sizes."""
    links, stack = [], [image]
    while stack:
        node = stack.pop()
        if isinstance(node, str) and node.strip():
            links.append(node.strip())
        elif isinstance(node, list):
            stack += reversed(node)
        elif isinstance(node, dict):
            stack += [value for key in ("contentUrl", "url", "@id") if (value := node.get(key))][:1]
    return list(dict.fromkeys(links))


def _stem(link: str) -> str:
    """Returns the name of a photo without its size and suffix, by which its sizes are recognised."""
    try:
        path = urllib.parse.urlsplit(link).path
    except ValueError:
        path = ""
    name = urllib.parse.unquote(path).rsplit("/", 1)[-1][-300:]
    return _SIZE.sub("", os.path.splitext(name)[0]).casefold()


def _saved(links: list[str], files: dict[str, str]) -> list[str]:
    """Returns the saved files of photos, one for each, given those of each stem."""
    return list(dict.fromkeys(files[stem] for stem in map(_stem, links) if stem in files))


def _files_beside(page: Path, text: str) -> dict[str, str]:
    """Returns the largest photo of each stem that a browser saved with a page, relative to the page.

    They are in a folder of the page's name, and where its `img` elements say, also if the page was renamed.
    """
    folders = [folder for folder in page.parent.glob(f"{glob.escape(page.stem)}[_.-]*") if folder.is_dir()]
    named = [page.parent / urllib.parse.unquote(html.unescape(source)) for source in set(_SOURCE.findall(text))]
    files = [file for folder in folders for file in folder.iterdir()]
    files += [file for file in named if file.parent not in folders and _is_below(file, page.parent)]
    files = [file for file in files if file.suffix.lower() in _PHOTO and file.is_file()]
    files.sort(key=lambda file: file.stat().st_size)
    return {_stem(file.name): str(file.relative_to(page.parent)) for file in files}


def _is_below(file: Path, folder: Path) -> bool:
    try:
        return file.is_file() and folder.resolve() in file.resolve().parents
    except (OSError, ValueError):  # a name that is no path
        return False


def _unpacked(data: bytes, folder: Path | None) -> tuple[bytes, dict[str, str], str]:
    """Returns the page of an MHTML file, the largest photo of each stem, written to `folder`, and its address."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.compat32)
        parts = list(message.walk())
    except (IndexError, LookupError, TypeError) as error:
        raise ValueError(f"malformed MHTML ({error})") from None
    folder = folder and Path(tempfile.mkdtemp(dir=folder))
    page, photos = b"", {}
    for part in parts:
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            continue
        if part.get_content_type() == "text/html" and not page:
            page = content
        elif part.get_content_maintype() == "image" and folder is not None:
            stem = _stem(str(part.get("Content-Location", "")))
            if len(content) > len(photos.get(stem, (b"", ""))[0]):
                photos[stem] = content, f"{len(list(folder.iterdir()))}"
    if not page:
        raise ValueError("contains no HTML page")
    for content, name in photos.values():
        assert folder is not None
        (folder / name).write_bytes(content)
    files = {stem: str((folder or Path()) / name) for stem, (_, name) in photos.items()}
    return page, files, str(message.get("Snapshot-Content-Location", ""))
