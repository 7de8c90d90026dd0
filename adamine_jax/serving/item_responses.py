"""Items of a gallery in the form in which the API returns them, and their photos.

Items are plain dictionaries with the fields of `messages.Item` and `messages.Hit`: creating pydantic objects for the
results of searches took 30 % of the interpreter's time under load.
"""

import functools
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

from fastapi import HTTPException

from adamine_jax.gallery.items import Item
from adamine_jax.gallery.store import Store
from adamine_jax.recipes.decoding import reduced
from adamine_jax.recipes.mentions import mention
from adamine_jax.recipes.photo_structure import UnreadablePhotoError
from adamine_jax.serving import messages
from adamine_jax.serving.engine import Found
from adamine_jax.serving.suggestions import names_of

SMALL = 160
"""Shorter side of a small photo in pixels."""
CACHED = 4096
"""Number of items kept in memory."""
EXAMPLES = 6


class ItemResponses:
    """Returns the items of a gallery as the API does.

    Args:
        gallery: Gallery of the items.
    """

    def __init__(self, gallery: Store):
        self._gallery = gallery
        self._thumbnail = functools.lru_cache(maxsize=512)(lambda row: _small(self._photo(row)))
        self._items: dict[int, dict[str, Any]] = {}  # the described items of some rows

    def hits(self, found: Iterable[Found], query_names: Iterable[str]) -> list[dict[str, Any]]:
        """Returns search results as `messages.Hit`; ingredient lines that the query names are marked."""
        patterns = [mention(name) for name in query_names]
        results = list(found)
        items = self.items(result.row for result in results)
        hits = []
        for row, similarity, place_before, places in results:
            if (item := items.get(row)) is None:  # removed since the search
                continue
            hits.append(
                {
                    **(_marked(item, patterns) if patterns else item),
                    "place": len(hits) + 1,
                    "place_before": place_before,
                    "similarity": None if similarity is None else round(similarity, 6),
                    "places": places,
                }
            )
        return hits

    def examples(self) -> list[messages.Item]:
        """Returns a few items with photos, evenly spaced over the gallery."""
        items = self.items(self._gallery.sample(2 * EXAMPLES).tolist()).values()
        shown = [item for item in items if item["photo"]]
        return [messages.Item.model_validate(item) for item in shown[:: -(-len(shown) // EXAMPLES) or 1]]

    def item(self, row: int) -> dict[str, Any]:
        """Returns the item of a row as a `messages.Item`, or raises a 404."""
        if (item := self.items([row]).get(row)) is None:
            raise HTTPException(404, "The gallery has no such item.")
        return item

    def items(self, rows: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Returns the items of rows, without those that have none. They are cached and must not be modified."""
        wanted, known = list(rows), self._items
        missing = [row for row in wanted if row not in known]
        new = {row: _described(item) for row, item in (self._gallery.items(missing) if missing else {}).items()}
        found = {row: known.get(row) or new.get(row) for row in wanted}
        if len(known) + len(new) > CACHED:
            self._items = known = {}
        known.update(new)
        return {row: item for row, item in found.items() if item is not None}

    def photo(self, row: int, size: messages.Size) -> bytes:
        """Returns the JPEG file of a row's photo, or raises a 404; "large" is the size stored in the gallery."""
        try:
            return self._thumbnail(row) if size == "small" else self._photo(row)
        except (OSError, UnreadablePhotoError):
            raise HTTPException(404, "The item's photo is missing from the gallery or damaged.") from None

    def _photo(self, row: int) -> bytes:
        if (photo := self._gallery.photo(row)) is None:
            raise HTTPException(404, "The item has no photo.")
        return photo


def _marked(item: dict[str, Any], patterns: list[re.Pattern]) -> dict[str, Any]:
    """Returns a copy of an item in which the ingredient lines that match a pattern are marked."""
    ingredients = [
        {**ingredient, "in_query": any(p.search(name) for p in patterns for name in ingredient["names"])}
        for ingredient in item["ingredients"]
    ]
    return {**item, "ingredients": ingredients}


def _small(content: bytes) -> bytes:
    return reduced(content, SMALL, quality=85)[0]


def _described(item: Item) -> dict[str, Any]:
    """Returns an item as a `messages.Item`."""
    path = f"/api/v1/photo?id={urllib.parse.quote(item.id, safe='')}&size="
    return {
        "id": item.id,
        "title": item.title,
        "class": item.class_name,
        "language": item.language,
        "tags": item.tags,
        "ingredients": [{"line": line, "names": list(names_of(line)), "in_query": False} for line in item.ingredients],
        "instructions": list(item.instructions),
        "photo": {"small": f"{path}small", "large": f"{path}large"} if item.photo is not None else None,
    }
