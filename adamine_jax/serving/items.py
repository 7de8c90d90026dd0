"""Items of a gallery as the API shows them, and their photos.

They are plain dictionaries in the form of `messages.Item` and `messages.Hit`: making pydantic objects of a search's
results took 30 % of the interpreter's time under load.
"""

import functools
import io
import re
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from adamine_jax.gallery.store import Gallery
from adamine_jax.queries.changes import mention
from adamine_jax.serving import messages
from adamine_jax.serving.engine import Found
from adamine_jax.serving.suggestions import names_of

SMALL = 160
"""Pixels of the shorter side of a small photo."""
REMEMBERED = 4096
"""Items that need not be read again."""
EXAMPLES = 6


class NoPhoto(Exception):
    """An item has no photo, or it cannot be read; the message says so."""


class Items:
    """Shows the items of a gallery.

    Args:
        gallery: whose items they are.
    """

    def __init__(self, gallery: Gallery):
        self._gallery = gallery
        self._root = gallery.folder.resolve()
        self.photo = functools.lru_cache(maxsize=512)(self._photo)
        self.item = functools.lru_cache(maxsize=REMEMBERED)(self._item)

    def hits(self, found: Iterable[Found], query_names: Iterable[str]) -> list[dict[str, Any]]:
        """What a search has found, each a `messages.Hit`; lines that name an ingredient of the query say so."""
        patterns = [mention(name) for name in query_names]
        return [
            {
                **(_marked(self.item(row), patterns) if patterns else self.item(row)),
                "place": place,
                "place_before": place_before,
                "similarity": round(similarity, 6),
            }
            for place, (row, similarity, place_before) in enumerate(found, 1)
        ]

    def examples(self) -> list[messages.Item]:
        """A few items with photos, from all over the gallery."""
        step = max(len(self._gallery) // EXAMPLES, 1)
        chosen = map(self.item, range(step // 2, len(self._gallery), step))
        return [messages.Item.model_validate(item) for item in chosen if item["photo"]][:EXAMPLES]

    def _item(self, row: int) -> dict[str, Any]:
        """The item of a row and where its photo is: a `messages.Item`, which is shared and not to be changed."""
        item = self._gallery.item(row)
        path = f"/api/v1/photo?id={urllib.parse.quote(item.id, safe='')}&size="
        return {
            "id": item.id,
            "title": item.title,
            "class": item.class_name,
            "ingredients": [
                {"line": line, "names": list(names_of(line)), "in_query": False} for line in item.ingredients
            ],
            "instructions": list(item.instructions),
            "photo": {"small": f"{path}small", "large": f"{path}large"} if item.photo else None,
        }

    def _photo(self, row: int, size: messages.Size) -> bytes:
        """The JPEG file of a row's photo, "large" as the gallery has it.

        Raises:
            NoPhoto: there is none.
        """
        item = self._gallery.item(row)
        if not isinstance(item.photo, Path):
            raise NoPhoto("The item has no photo.")
        path = item.photo.resolve()
        if not path.is_relative_to(self._root):
            raise NoPhoto("The item's photo is not in the gallery.")
        try:
            content = path.read_bytes()
            if size == "small":
                return _small(content)
            return content
        except OSError:
            raise NoPhoto("The item's photo is missing from the gallery, or damaged.") from None


def _marked(item: dict[str, Any], patterns: list[re.Pattern]) -> dict[str, Any]:
    """The same item, the lines marked that name one of the query's ingredients."""
    ingredients = [
        {**ingredient, "in_query": any(p.search(name) for p in patterns for name in ingredient["names"])}
        for ingredient in item["ingredients"]
    ]
    return {**item, "ingredients": ingredients}


def _small(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        scale = SMALL / min(image.size)
        if scale >= 1:
            return content
        image.draft("RGB", (int(image.width * scale), int(image.height * scale)))
        small, file = image.resize([max(round(side * scale), 1) for side in image.size]), io.BytesIO()
        small.convert("RGB").save(file, "JPEG", quality=85)
        return file.getvalue()
