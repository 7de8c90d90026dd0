"""Items of a gallery as the API shows them, and their photos."""

import functools
import io
import urllib.parse
from collections.abc import Iterable

from PIL import Image

from adamine_jax.gallery import Gallery
from adamine_jax.gallery_files import Item
from adamine_jax.retrieval.changes import mention
from adamine_jax.serving import messages
from adamine_jax.serving.engine import Found
from adamine_jax.serving.suggestions import names_of

SMALL = 160
"""Pixels of the shorter side of a small photo."""
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

    def hits(self, found: Iterable[Found], query_names: Iterable[str]) -> list[messages.Hit]:
        """What a search has found; lines that name an ingredient of the query say so."""
        patterns = [mention(name) for name in query_names]
        hits = []
        for place, (row, similarity, place_before) in enumerate(found, 1):
            item = self.item(self._gallery.item(row))
            for ingredient in item.ingredients:
                ingredient.in_query = any(p.search(name) for p in patterns for name in ingredient.names)
            hits.append(
                messages.Hit.model_construct(
                    **dict(item), place=place, similarity=round(similarity, 6), place_before=place_before
                )
            )
        return hits

    def item(self, item: Item) -> messages.Item:
        """An item and where its photo is."""
        path = f"/api/v1/photo?id={urllib.parse.quote(item.id, safe='')}&size="
        return messages.Item.model_construct(
            id=item.id,
            title=item.title,
            class_name=item.class_name,
            ingredients=[
                messages.Ingredient.model_construct(line=line, names=list(names_of(line)), in_query=False)
                for line in item.ingredients
            ],
            instructions=list(item.instructions),
            photo=messages.Photo(small=f"{path}small", large=f"{path}large") if item.photo else None,
        )

    def examples(self) -> list[messages.Item]:
        """A few items with photos, from all over the gallery."""
        step = max(len(self._gallery) // EXAMPLES, 1)
        chosen = (self._gallery.item(row) for row in range(step // 2, len(self._gallery), step))
        return [self.item(item) for item in chosen if item.photo][:EXAMPLES]

    def _photo(self, row: int, size: messages.Size) -> bytes:
        """The JPEG file of a row's photo, "large" as the gallery has it.

        Raises:
            NoPhoto: there is none.
        """
        item = self._gallery.item(row)
        if item.photo is None:
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


def _small(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        scale = SMALL / min(image.size)
        if scale >= 1:
            return content
        image.draft("RGB", tuple(int(side * scale) for side in image.size))
        small, file = image.resize([max(round(side * scale), 1) for side in image.size]), io.BytesIO()
        small.convert("RGB").save(file, "JPEG", quality=85)
        return file.getvalue()
