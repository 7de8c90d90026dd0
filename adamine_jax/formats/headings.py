"""Headings of the parts of a recipe in about twenty languages; `heading_words.txt` lists them."""

import functools
import re
import unicodedata
from importlib import resources

from adamine_jax.recipes.ingredient_names import word_lists

_LISTS = word_lists(resources.files("adamine_jax.formats").joinpath("heading_words.txt").read_text(encoding="utf-8"))
_PART_OF = {word: part for part, words in _LISTS.items() for word in words}
# "The ingredients", "Ingredients for 4 people", "Zutaten (4 Portionen)", "Method:".
_ARTICLE = re.compile(r"(?:the|de|la|le|les|los|gli|die) (?=\w)")
_ADDITION = re.compile(r"\s*[(:：\-–—|].*|\s+(?:for|fur|pour|para|per|voor|do|na)\s.*", re.DOTALL)
_ENDS = re.compile(r"^[\W_]{1,80}|[\W_]{1,80}$")
_MAX_CHARS = 80


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
