"""Answers queries: embeds them and searches the gallery in batches."""

import asyncio
import contextlib
import dataclasses
import functools
import io
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from adamine_jax.gallery import index
from adamine_jax.gallery.store import AMONG, Gallery
from adamine_jax.queries.changes import FORMER_PLACES, changed, moved_by
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.photos import stored
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.serving.batching import Batcher
from adamine_jax.serving.limits import Limits
from adamine_jax.serving.suggestions import Names


class Busy(Exception):
    """The maximum number of queries is pending."""


class NothingLeft(Exception):
    """All content of the recipe was removed."""


@dataclasses.dataclass(frozen=True)
class Query:
    """A query and the options of its search.

    Attributes:
        by: A photo returned by `photos.stored`, a recipe, or a modality and a row of the gallery.
        among: What to search: 'recipes', 'photos' or both.
        top: Maximum number of results of each search.
        class_name: Class to which the search is restricted; None searches all classes.
        added: Ingredients added to the query.
        removed: Ingredients removed from the query.
    """

    by: bytes | RecipeText | tuple[str, int]
    among: Sequence[str]
    top: int
    class_name: str | None = None
    added: Sequence[str] = ()
    removed: Sequence[str] = ()


class Found(NamedTuple):
    """A row of the gallery, its similarity, and its place before ingredients were added or removed."""

    row: int
    similarity: float
    place_before: int | None


class Answer(NamedTuple):
    """Results of a query; see `messages.Found`.

    Attributes:
        found: Results among 'recipes' and 'photos', best first.
        names: Names of the query's ingredients.
        absent: Removed ingredients that the recipe does not contain.
    """

    found: dict[str, list[Found]]
    names: list[str]
    absent: list[str]


class _Search(NamedTuple):
    row: np.ndarray
    among: str
    top: int
    class_name: str | None


class _Embedding(NamedTuple):
    """Content to embed, and the searches (among, top, class) to run with its embedding in the same thread."""

    content: bytes | RecipeText
    searches: Sequence[tuple[str, int, str | None]] = ()


class Engine:
    """Answers concurrent queries with a model and a gallery.

    Args:
        encoder: Encoder of the model.
        gallery: Gallery built by the model.
        limits: Limits of the server.
        batch: Maximum number of queries per batch.

    Attributes:
        names: Suggestions of ingredients.
        running: Number of pending queries.
        searched: What the gallery can be searched for: 'recipes', 'photos' or both.
        uploads: Semaphore to hold while a photo is received and decoded.

    Raises:
        UserError: An index of the gallery cannot be used.
    """

    def __init__(self, encoder: Encoder, gallery: Gallery, limits: Limits, batch: int):
        self.encoder, self.gallery, self.limits = encoder, gallery, limits
        self.running = 0
        self.names = Names(gallery, encoder.texts, encoder.trained.words)
        self.searched = tuple(name for name, modality in AMONG.items() if modality in gallery.modalities)
        self._indexed = {
            name for name in self.searched if len(gallery) >= index.SMALLEST and index.exists(gallery, AMONG[name])
        }
        self._warm_up()
        self._embed_photos = Batcher(functools.partial(self._embed, encoder.embed_stored), batch, "photos")
        self._embed_recipes = Batcher(functools.partial(self._embed, encoder.embed_recipes), batch, "recipes")
        self._search = Batcher(self._nearest, batch, "searches")
        self._threads = ThreadPoolExecutor(os.cpu_count(), "requests")
        self.uploads = asyncio.Semaphore(limits.uploads)

    @property
    def reads_photos(self) -> bool:
        """Whether the model embeds photos, rather than features computed by another encoder."""
        return self.encoder.trained.model.image_tower.reads_photos

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        """Counts a query as pending while it is answered.

        Raises:
            Busy: The maximum number of queries is pending.
        """
        if self.running >= self.limits.queue:
            raise Busy
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def in_thread(self, function: Callable, *arguments: Any) -> Any:
        """Runs a function that takes much CPU time in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def stored(self, photo: bytes) -> bytes:
        """Converts a photo to the form that the model reads.

        Raises:
            UnusablePhoto: The photo cannot be used.
        """
        return await self.in_thread(stored, photo, self.encoder.trained.photo_side)

    async def answer(self, query: Query) -> Answer:
        """Answers a query.

        Raises:
            NothingLeft: `removed` removes all content of the recipe.
        """
        by = query.by
        if not (query.added or query.removed or isinstance(by, tuple)):
            return await self._answer_unchanged(query, by)
        before, after, names, absent = await self._embedded(query)
        searches = [self._find(query, name, before, after) for name in query.among]
        return Answer(dict(zip(query.among, await asyncio.gather(*searches), strict=True)), names, absent)

    def close(self) -> None:
        """Answers the waiting queries and stops the threads."""
        for batcher in (self._embed_photos, self._embed_recipes, self._search):
            batcher.close()
        self._threads.shutdown()

    async def _answer_unchanged(self, query: Query, by: bytes | RecipeText) -> Answer:
        """Answers a query without changes. Searching in the embedding thread saves waiting for another one."""
        names = self.encoder.texts.names(by) if isinstance(by, RecipeText) else []
        embed = self._embed_recipes if isinstance(by, RecipeText) else self._embed_photos
        searches = [(name, query.top, query.class_name) for name in query.among]
        _, results = await embed(_Embedding(by, searches))
        found = {name: _hits(scores, rows, {}) for name, (scores, rows) in zip(query.among, results, strict=True)}
        return Answer(found, names, [])

    def _embed(self, embed: Callable, batch: list[_Embedding]) -> list[tuple[np.ndarray, list]]:
        """Returns the embedding of each element of a batch and the results of its searches."""
        rows = embed([content for content, _ in batch])
        searches = [_Search(row, *search) for (_, each), row in zip(batch, rows, strict=True) for search in each]
        found = iter(self._nearest(searches))
        return [(row, [next(found) for _ in each]) for (_, each), row in zip(batch, rows, strict=True)]

    async def _embedded(self, query: Query) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
        """Returns the (D,) embeddings before and after the changes, the ingredients, and the absent ones."""
        names, absent, added, removed = list(query.added), [], query.added, query.removed
        if isinstance(query.by, RecipeText):
            recipe, absent = changed(query.by, query.added, query.removed)
            if recipe.is_empty:
                raise NothingLeft
            recipes = [query.by] if recipe == query.by else [query.by, recipe]
            rows = [row for row, _ in await asyncio.gather(*map(self._embed_recipes, map(_Embedding, recipes)))]
            before, after = rows[0], rows[-1]
            # Ingredients that the recipe does not contain are subtracted from its embedding, as from a photo's.
            names, added, removed = self.encoder.texts.names(recipe), (), absent
        else:
            before = after = await self._row(query.by)
        added, removed = ([name for name in each if self.encoder.texts.knows(name)] for each in (added, removed))
        if added or removed:
            single = [_Embedding(RecipeText(ingredients=(name,))) for name in (*added, *removed)]
            rows = np.array([row for row, _ in await asyncio.gather(*map(self._embed_recipes, single))])
            after = moved_by(after[None], rows[: len(added)], rows[len(added) :])[0]
        return before, after, names, absent

    async def _row(self, by: bytes | tuple[str, int]) -> np.ndarray:
        if isinstance(by, bytes):
            return (await self._embed_photos(_Embedding(by)))[0]
        modality, row = by
        return np.array(self.gallery.embeddings(modality)[row])

    async def _find(self, query: Query, among: str, before: np.ndarray, after: np.ndarray) -> list[Found]:
        searches = [_Search(after, among, query.top, query.class_name)]
        if is_changed := bool(query.added or query.removed):
            searches.append(_Search(before, among, max(FORMER_PLACES, query.top), query.class_name))
        (similarities, rows), *former = await asyncio.gather(*map(self._search, searches))
        places = {int(row): place for place, row in enumerate(former[0][1], 1)} if is_changed else {}
        return _hits(similarities, rows, places)

    def _nearest(self, searches: list[_Search]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Batches the searches of the same rows and of similar depth."""
        groups: dict[tuple, list[int]] = {}
        for number, search in enumerate(searches):
            groups.setdefault((search.among, search.class_name, search.top >= FORMER_PLACES), []).append(number)
        results: list[Any] = [None] * len(searches)
        for (among, class_name, _), numbers in groups.items():
            top = max(searches[number].top for number in numbers)
            rows = np.stack([searches[number].row for number in numbers])
            similarities, found = self.gallery.nearest(rows, among, top, class_name, among in self._indexed)
            for row, number in enumerate(numbers):
                kept = slice(searches[number].top)
                results[number] = similarities[row, kept], found[row, kept]
        return results

    def _warm_up(self) -> None:
        """Compiles for every batch size and loads the indices."""
        photo = io.BytesIO()
        Image.new("RGB", (64, 64), "white").save(photo, "JPEG")
        for size in self.encoder.sizes:
            if self.reads_photos:
                self.encoder.embed_stored([photo.getvalue()] * size)
            self.encoder.embed_recipes([RecipeText(ingredients=("salt",))] * size)
        for name in self.searched:
            self.gallery.nearest(np.zeros((1, self.encoder.dim)), name, 1, approximate=name in self._indexed)


def _hits(similarities: np.ndarray, rows: np.ndarray, places: dict[int, int]) -> list[Found]:
    pairs = zip(similarities, rows, strict=True)
    return [Found(int(row), float(similarity), places.get(int(row))) for similarity, row in pairs if row >= 0]
