"""Answers queries: embeds them and searches the gallery in batches."""

import asyncio
import contextlib
import functools
import io
import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from fastapi import HTTPException
from PIL import Image

from adamine_jax.gallery import duplicates, store
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.items import MissingItem
from adamine_jax.gallery.store import AMONG, Store
from adamine_jax.queries.changes import FORMER_PLACES, changed, moved_by
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.serving.batching import Batcher
from adamine_jax.serving.decoders import Decoders
from adamine_jax.serving.guard import Limits
from adamine_jax.serving.messages import Options
from adamine_jax.serving.suggestions import Names

Query = bytes | RecipeText | tuple[str, int]
"""A photo returned by `photos.stored`, a recipe, or a modality and a row of the gallery."""


class Found(NamedTuple):
    """A result of a query.

    Attributes:
        row: Row of the gallery.
        similarity: Cosine similarity; None in a search by words alone.
        place_before: Place before ingredients were added or removed.
        places: Places in the searches that were fused.
    """

    row: int
    similarity: float | None
    place_before: int | None = None
    places: dict[str, int] | None = None


class Answer(NamedTuple):
    """Results of a query.

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
    where: Filter
    with_duplicates: bool


class _Embedding(NamedTuple):
    """Content to embed, and the searches to run with its embedding in the same thread: `_Search` without the row."""

    content: bytes | RecipeText
    searches: Sequence[tuple[str, int, Filter, bool]] = ()


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
        decoders: Decoders of uploaded photos, or None if the model reads precomputed features instead of photos.

    Raises:
        UserError: An index of the gallery cannot be used.
    """

    def __init__(self, encoder: Encoder, gallery: Store, limits: Limits, batch: int):
        self.encoder, self.gallery, self.limits = encoder, gallery, limits
        self.running = 0
        self.names = Names(gallery, encoder.texts, encoder.trained.words)
        self.searched = tuple(among for among, modality in AMONG.items() if modality in gallery.modalities)
        self._indexed = {
            among for among in self.searched if len(gallery) >= store.SMALLEST and gallery.has_index(AMONG[among])
        }
        self._warm_up()
        self.decoders = Decoders() if encoder.reads_photos else None
        self._embed_photos = Batcher(functools.partial(self._embed, encoder.embed_stored), batch, "photos")
        self._embed_recipes = Batcher(functools.partial(self._embed, encoder.embed_recipes), batch, "recipes")
        self._search = Batcher(self._nearest, batch, "searches")
        self._batchers = (self._embed_photos, self._embed_recipes, self._search)
        self._threads = ThreadPoolExecutor(os.cpu_count(), "requests")

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        """Counts a query as pending while it is answered; raises a 503 if too many queries are pending."""
        if self.running >= self.limits.queue:
            raise HTTPException(503, "The server is busy; try again in a second.", {"Retry-After": "1"})
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def in_thread(self, function: Callable, *arguments: Any) -> Any:
        """Runs a function that takes much CPU time in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def answer(self, query: Query, among: Sequence[str], options: Options) -> Answer:
        """Searches among 'recipes', 'photos' or both; raises a 422 if nothing is left of the recipe."""
        if not (options.added or options.removed or options.words or isinstance(query, tuple)):
            return await self._answer_unchanged(query, among, options)
        before, after, names, absent = await self._embedded(query, options)
        if options.words:
            return Answer({each: await self.find_words(each, options, after) for each in among}, names, absent)
        found = await asyncio.gather(*[self._find(each, options, before, after) for each in among])
        return Answer(dict(zip(among, found, strict=True)), names, absent)

    async def embed_item(self, recipe: RecipeText | None, photo: bytes | None) -> dict[str, np.ndarray]:
        """Returns the (1, D) embeddings of an item for the gallery, by modality."""
        contents = {"recipe": (self._embed_recipes, recipe), "image": (self._embed_photos, photo)}
        given = {side: (embed, content) for side, (embed, content) in contents.items() if content is not None}
        rows = await asyncio.gather(*[embed(_Embedding(content)) for embed, content in given.values()])
        return {side: row[None] for side, (row, _) in zip(given, rows, strict=True)}

    async def find_words(self, among: str, options: Options, query: np.ndarray | None = None) -> list[Found]:
        """Searches by words, or by words and the (D,) embedding of a query."""
        return await self.in_thread(self._find_words, among, options, query)

    def _find_words(self, among: str, options: Options, query: np.ndarray | None) -> list[Found]:
        rows = None if query is None else query[None]
        approximate = among in self._indexed
        depth = options.top if options.duplicates else 2 * options.top
        found = self.gallery.search_words(
            options.words or "", rows, among, depth, where=options.where, approximate=approximate
        )
        if not options.duplicates:
            found = [found[place] for place in duplicates.distinct(self.gallery, [f.row for f in found], options.top)]
        results = []
        for row, _, places in found:
            with contextlib.suppress(MissingItem):  # removed meanwhile
                similarity = None if query is None else float(self.gallery.embedding(AMONG[among], row) @ query)
                results.append(Found(row, similarity, places=places))
        return results

    def check_progress(self) -> None:
        """Raises a 503 if a batch or a photo takes so long that its queries will time out."""
        busy = [batcher.seconds_busy() for batcher in self._batchers]
        waited = max(*busy, self.decoders.seconds_waiting() if self.decoders else 0)
        if waited > self.limits.seconds / 3:
            raise HTTPException(503, f"A query has been waiting for {waited:.0f} seconds.", {"Retry-After": "5"})

    def close(self, seconds: float = 2.0) -> None:
        """Answers the waiting queries, for at most `seconds`, and stops the threads and processes."""
        if self.decoders:
            self.decoders.close()
        end = time.monotonic() + seconds
        for batcher in self._batchers:
            batcher.close(max(end - time.monotonic(), 0))
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _answer_unchanged(self, query: bytes | RecipeText, among: Sequence[str], options: Options) -> Answer:
        """Answers a query without changes. Searching in the embedding thread saves waiting for another one."""
        is_recipe = isinstance(query, RecipeText)
        searches = [(each, options.top, options.where, options.duplicates) for each in among]
        _, results = await (self._embed_recipes if is_recipe else self._embed_photos)(_Embedding(query, searches))
        found = {each: _hits(similarities, rows, {}) for each, (similarities, rows) in zip(among, results, strict=True)}
        return Answer(found, self.encoder.texts.names(query) if is_recipe else [], [])

    def _embed(self, embed: Callable, batch: list[_Embedding]) -> list[tuple[np.ndarray, list]]:
        """Returns the embedding of each element of a batch and the results of its searches."""
        rows = embed([content for content, _ in batch])
        searches = [_Search(row, *search) for (_, each), row in zip(batch, rows, strict=True) for search in each]
        found = iter(self._nearest(searches))
        return [(row, [next(found) for _ in each]) for (_, each), row in zip(batch, rows, strict=True)]

    async def _embed_all(self, recipes: Sequence[RecipeText]) -> np.ndarray:
        embedded = await asyncio.gather(*[self._embed_recipes(_Embedding(recipe)) for recipe in recipes])
        return np.array([row for row, _ in embedded])

    async def _embedded(self, query: Query, options: Options) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
        """Returns the (D,) embeddings before and after the changes, the ingredients, and the absent ones."""
        names, absent, added, removed = options.added, [], options.added, options.removed
        if isinstance(query, RecipeText):
            recipe, absent = changed(query, added, removed)
            if recipe.is_empty:
                raise HTTPException(422, "Nothing is left of the recipe; remove fewer ingredients.")
            rows = await self._embed_all([query] if recipe == query else [query, recipe])
            before, after = rows[0], rows[-1]
            # Ingredients that the recipe does not contain are subtracted from its embedding, as from a photo's.
            names, added, removed = self.encoder.texts.names(recipe), [], absent
        elif isinstance(query, bytes):
            before = after = (await self._embed_photos(_Embedding(query)))[0]
        else:
            modality, row = query
            try:
                before = after = self.gallery.embedding(modality, row)
            except MissingItem:
                raise HTTPException(404, "The gallery has no such item.") from None
        added, removed = ([name for name in each if self.encoder.texts.knows(name)] for each in (added, removed))
        if added or removed:
            rows = await self._embed_all([RecipeText(ingredients=(name,)) for name in (*added, *removed)])
            after = moved_by(after[None], rows[: len(added)], rows[len(added) :])[0]
        return before, after, names, absent

    async def _find(self, among: str, options: Options, before: np.ndarray, after: np.ndarray) -> list[Found]:
        searches = [_Search(after, among, options.top, options.where, options.duplicates)]
        if is_changed := bool(options.added or options.removed):
            searches.append(_Search(before, among, max(FORMER_PLACES, options.top), options.where, True))
        (similarities, rows), *former = await asyncio.gather(*map(self._search, searches))
        places = {int(row): place for place, row in enumerate(former[0][1], 1)} if is_changed else {}
        return _hits(similarities, rows, places)

    def _nearest(self, searches: list[_Search]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Batches the searches of the same rows and of similar depth."""
        groups: dict[tuple, list[int]] = {}
        for number, search in enumerate(searches):
            groups.setdefault((search.among, search.where, search.with_duplicates), []).append(number)
        results: list[Any] = [None] * len(searches)
        for (among, where, with_duplicates), numbers in groups.items():
            top = max(searches[number].top for number in numbers)
            rows = np.stack([searches[number].row for number in numbers])
            nearest = self.gallery.nearest if with_duplicates else functools.partial(duplicates.nearest, self.gallery)
            similarities, found = nearest(rows, among, top, where=where, approximate=among in self._indexed)
            for row, number in enumerate(numbers):
                kept = slice(searches[number].top)
                results[number] = similarities[row, kept], found[row, kept]
        return results

    def _warm_up(self) -> None:
        """Compiles for every batch size and loads the indices."""
        photo = io.BytesIO()
        Image.new("RGB", (64, 64), "white").save(photo, "JPEG")
        for size in self.encoder.sizes:
            if self.encoder.reads_photos:
                self.encoder.embed_stored([photo.getvalue()] * size)
            self.encoder.embed_recipes([RecipeText(ingredients=("salt",))] * size)
        for among in self.searched:
            self.gallery.nearest(np.zeros((1, self.encoder.dim)), among, 1, approximate=among in self._indexed)


def _hits(similarities: np.ndarray, rows: np.ndarray, places: dict[int, int]) -> list[Found]:
    pairs = zip(similarities, rows, strict=True)
    return [Found(int(row), float(similarity), places.get(int(row))) for similarity, row in pairs if row >= 0]
