"""Near duplicates: items whose embeddings are nearly the same, and whose recipes share most words.

Photos without a recipe are compared by a difference hash: whether each point of a small grey copy is brighter than the
next one.
"""

import functools
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from adamine_jax.base.progress import track
from adamine_jax.gallery import store
from adamine_jax.gallery.items import Item, MissingItem
from adamine_jax.gallery.store import AMONG, Store

SIMILAR = 0.99
"""Cosine similarity of near duplicates, in all modalities of the gallery."""
SHARED = 0.8
"""Share of the words of two recipes that both have (Jaccard index)."""
_SIDE, _DIFFERENT = 8, 6  # of the difference hash: points of a row, and points that may differ
_MORE, _DEEPEST = 10, 1000  # results to look at in addition, and at most
_NEIGHBOURS, _BLOCK, _FEW = 10, 1024, 256

Content = frozenset[str] | np.ndarray | None
"""Words of a recipe, or hash of a photo; None if the item was removed or cannot be read."""


def nearest(gallery: Store, queries: np.ndarray, among: str, top: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Searches like `Store.nearest`; of near duplicates, only the most similar item is a result."""
    depth = top + _MORE
    content = functools.cache(functools.partial(_content, gallery))
    while True:
        similarities, rows = gallery.nearest(queries, among, depth, **options)
        kept = [distinct(gallery, found[found >= 0], top, content) for found in rows]
        if rows.shape[1] < depth or depth >= _DEEPEST or min(map(len, kept), default=top) == top:
            break
        depth = min(4 * depth, max(_DEEPEST, top + _MORE))
    width = max(map(len, kept), default=0)
    best = np.full((len(rows), width), -np.inf, np.float32)
    chosen = np.full((len(rows), width), -1, np.int64)
    for number, places in enumerate(kept):
        chosen[number, : len(places)] = rows[number, places]
        best[number, : len(places)] = similarities[number, places]
    return best, chosen


def distinct(
    gallery: Store, rows: np.ndarray | Sequence[int], top: int, content: Callable[[int], Content] | None = None
) -> list[int]:
    """Returns the places of the first `top` rows that are no near duplicates of rows before them.

    Args:
        gallery: Gallery.
        rows: (n,) row numbers.
        top: Maximum number of places.
        content: Function that reads the content of a row, if it is cached.
    """
    content = content or functools.cache(functools.partial(_content, gallery))
    places, vectors = _embedded(gallery, rows)
    if len(places) <= _FEW and np.count_nonzero(_similar(vectors, vectors)) <= len(places):  # each to itself alone
        return places[:top]
    kept: list[int] = []  # numbers of `places`
    for number, place in enumerate(places):
        similar = _similar([block[kept] for block in vectors], [block[[number]] for block in vectors])
        near = [places[kept[other]] for other in np.flatnonzero(similar)]
        if not any(_is_same(content(int(rows[place])), content(int(rows[other]))) for other in near):
            kept.append(number)
        if len(kept) == top:
            break
    return [places[number] for number in kept]


def _embedded(gallery: Store, rows: np.ndarray | Sequence[int]) -> tuple[list[int], list[np.ndarray]]:
    """Returns the places of the rows that have not been removed meanwhile, and their embeddings of each modality."""
    places = list(range(len(rows)))
    while True:
        chosen = [int(rows[place]) for place in places]
        try:
            return places, [gallery.embeddings_of(side, chosen) for side in gallery.modalities]
        except MissingItem:
            present = gallery.items(chosen)
            places = [place for place, row in zip(places, chosen, strict=True) if row in present]


def _similar(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> np.ndarray:
    """Returns which of (n, D) and (m, D) embeddings of each modality are similar in all, (n, m) bool."""
    return np.logical_and.reduce([one @ other.T >= SIMILAR for one, other in zip(ones, others, strict=True)])


def groups(gallery: Store) -> list[list[str]]:
    """Returns the ids of groups of near duplicates, largest first."""
    rows = gallery.rows
    parent = {int(row): int(row) for row in rows}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    among = next(name for name, modality in AMONG.items() if modality == gallery.modalities[-1])
    is_indexed = len(gallery) >= store.SMALLEST and gallery.has_index(AMONG[among])
    content = functools.lru_cache(_BLOCK)(lambda row: _content(gallery, row))
    for start in track(range(0, len(rows), _BLOCK), "comparing", unit="block"):
        block = rows[start : start + _BLOCK]
        places, vectors = _embedded(gallery, rows[start : start + _BLOCK])
        block = rows[start : start + _BLOCK][places].tolist()
        similarities, found = gallery.nearest(vectors[-1], among, _NEIGHBOURS, approximate=is_indexed)
        for row, others in zip(block, np.where(similarities >= SIMILAR, found, -1).tolist(), strict=True):
            for other in others:
                is_new = other in parent and root(other) != root(row)
                if is_new and _are_near(gallery, row, other) and _is_same(content(row), content(other)):
                    one, two = sorted((root(row), root(other)))
                    parent[two] = one
    members: dict[int, list[int]] = {}
    for row in parent:
        members.setdefault(root(row), []).append(row)
    shared = [group for group in members.values() if len(group) > 1]
    items = gallery.items(row for group in shared for row in group)
    names = [[items[row].id for row in group if row in items] for group in shared]
    return sorted((group for group in names if len(group) > 1), key=lambda group: (-len(group), group))


def _are_near(gallery: Store, one: int, other: int) -> bool:
    places, vectors = _embedded(gallery, [one, other])
    return len(places) == 2 and all(float(a @ b) >= SIMILAR for a, b in vectors)


def _content(gallery: Store, row: int) -> Content:
    try:
        if gallery.modalities != ("image",):
            return _words(gallery.item(row))
        return _hash(gallery.photo(row) or b"")
    except (MissingItem, OSError):
        return None


def _words(item: Item) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", " ".join((item.title, *item.ingredients, *item.instructions)).lower()))


def _hash(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        grey = np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE)), np.int16)
    return grey[:, 1:] > grey[:, :-1]


def _is_same(one: Content, other: Content) -> bool:
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return len(one & other) >= SHARED * len(one | other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return int(np.count_nonzero(one != other)) <= _DIFFERENT
    return False
