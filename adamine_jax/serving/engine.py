"""Answers queries: embeds them in batches, searches in batches, reads what was found."""

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
from adamine_jax.queries.changes import LOOKED_AT, alone, changed, moved_by
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.photos import stored
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.serving.batching import Batcher
from adamine_jax.serving.limits import Limits
from adamine_jax.serving.suggestions import Names


class Busy(Exception):
    """As many queries as the server takes are being answered."""


class NothingLeft(Exception):
    """A recipe from which everything was taken away."""


@dataclasses.dataclass(frozen=True)
class Query:
    """What is searched for, and where.

    Attributes:
        by: a photo that `photos.stored` made, a recipe, or a side and a row of the gallery.
        among: of 'recipes' and 'photos'.
        top: results of each.
        class_name: None = all classes.
        added: ingredients.
        removed: ingredients.
    """

    by: bytes | RecipeText | tuple[str, int]
    among: Sequence[str]
    top: int
    class_name: str | None = None
    added: Sequence[str] = ()
    removed: Sequence[str] = ()


class Found(NamedTuple):
    """A row of the gallery with its similarity, and its place before ingredients were added or taken away."""

    row: int
    similarity: float
    place_before: int | None


class Answer(NamedTuple):
    """What `Engine.answer` gives; see `messages.Found`.

    Attributes:
        found: of each of 'recipes' and 'photos' that was searched, the best first.
        names: of the query's ingredients.
        absent: of `removed`, what the recipe does not have.
    """

    found: dict[str, list[Found]]
    names: list[str]
    absent: list[str]


class _Search(NamedTuple):
    row: np.ndarray
    among: str
    top: int
    class_name: str | None


class _Asked(NamedTuple):
    """What is to be embedded, and what (among, top, class) is to be searched with it at once."""

    content: bytes | RecipeText
    searches: Sequence[tuple[str, int, str | None]] = ()


class Engine:
    """A model and a gallery that answer many queries at once.

    Args:
        encoder: of the model.
        gallery: that it made.
        limits: how many queries are taken.
        batch: queries that are embedded together; 1 = each alone.

    Attributes:
        names: suggestions of ingredients.
        running: queries that are being answered.

    Raises:
        UserError: an index of the gallery cannot be used.
    """

    def __init__(self, encoder: Encoder, gallery: Gallery, limits: Limits, batch: int):
        self.encoder, self.gallery, self.limits = encoder, gallery, limits
        self.running = 0
        self.names = Names(gallery, encoder.texts, encoder.trained.words)
        self.searched = tuple(name for name, side in AMONG.items() if side in gallery.sides)
        self._indexed = {
            name for name in self.searched if len(gallery) >= index.SMALLEST and index.is_there(gallery, AMONG[name])
        }
        self._warm_up()
        self._embed_photos = Batcher(functools.partial(self._embed, encoder.embed_stored), batch, "photos")
        self._embed_recipes = Batcher(functools.partial(self._embed, encoder.embed_recipes), batch, "recipes")
        self._search = Batcher(self._nearest, batch, "searches")
        self._threads = ThreadPoolExecutor(os.cpu_count(), "requests")
        self._uploads: asyncio.Semaphore = asyncio.Semaphore(limits.uploads)

    @property
    def reads_photos(self) -> bool:
        """Whether the model embeds photos, and not another encoder's features of them."""
        return self.encoder.trained.model.image_tower.reads_photos

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        """Counts a query while it is answered.

        Raises:
            Busy: there are as many as the limit.
        """
        if self.running >= self.limits.queue:
            raise Busy
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def upload(self) -> asyncio.Semaphore:
        """To be held while a photo is received and decoded."""
        return self._uploads

    async def in_thread(self, function: Callable, *arguments: Any) -> Any:
        """Runs what takes the processor a while."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def stored(self, photo: bytes) -> bytes:
        """A photo as the model reads it.

        Raises:
            UnusablePhoto: it cannot be used.
        """
        return await self.in_thread(stored, photo, self.encoder.trained.photo_side)

    async def answer(self, query: Query) -> Answer:
        """Searches for a query.

        Raises:
            NothingLeft: `removed` took everything away.
        """
        by = query.by
        if not (query.added or query.removed or isinstance(by, tuple)):
            return await self._answer_at_once(query, by)
        before, after, names, absent = await self._embedded(query)
        searches = [self._find(query, name, before, after) for name in query.among]
        return Answer(dict(zip(query.among, await asyncio.gather(*searches), strict=True)), names, absent)

    def close(self) -> None:
        """Answers what waits and ends the threads."""
        for batcher in (self._embed_photos, self._embed_recipes, self._search):
            batcher.close()
        self._threads.shutdown()

    async def _answer_at_once(self, query: Query, by: bytes | RecipeText) -> Answer:
        """An answer without changes: it is searched where it is embedded, which saves waiting for another thread."""
        names = self.encoder.texts.names(by) if isinstance(by, RecipeText) else []
        embed = self._embed_recipes if isinstance(by, RecipeText) else self._embed_photos
        searches = [(name, query.top, query.class_name) for name in query.among]
        _, results = await embed(_Asked(by, searches))
        found = {name: _hits(scores, rows, {}) for name, (scores, rows) in zip(query.among, results, strict=True)}
        return Answer(found, names, [])

    def _embed(self, embed: Callable, asked: list[_Asked]) -> list[tuple[np.ndarray, list]]:
        """The row of each, and what its searches have found."""
        rows = embed([one.content for one in asked])
        searches = [_Search(row, *search) for one, row in zip(asked, rows, strict=True) for search in one.searches]
        found = iter(self._nearest(searches))
        return [(row, [next(found) for _ in one.searches]) for one, row in zip(asked, rows, strict=True)]

    async def _embedded(self, query: Query) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
        """(D,) rows of the query before and after its changes, the names of its ingredients, and what it lacks."""
        names, absent, removed = list(query.added), [], query.removed
        added = query.added
        if isinstance(query.by, RecipeText):
            recipe, absent = changed(query.by, query.added, query.removed)
            if recipe.is_empty:
                raise NothingLeft
            different = [query.by] if recipe == query.by else [query.by, recipe]
            rows = [row for row, _ in await asyncio.gather(*map(self._embed_recipes, map(_Asked, different)))]
            before, after = rows[0], rows[-1]
            # What the recipe does not have can be taken away from its embedding alone, as from a photo's.
            names, added, removed = self.encoder.texts.names(recipe), (), absent
        else:
            before = after = await self._row(query.by)
        added, removed = ([name for name in some if self.encoder.texts.knows(name)] for some in (added, removed))
        if added or removed:
            moves = await asyncio.gather(*[self._embed_recipes(_Asked(alone(name))) for name in (*added, *removed)])
            moves = np.asarray([row for row, _ in moves]).reshape(-1, self.encoder.dim)
            after = moved_by(after[None], moves[: len(added)], moves[len(added) :])[0]
        return before, after, names, absent

    async def _row(self, by: bytes | tuple[str, int]) -> np.ndarray:
        if isinstance(by, bytes):
            return (await self._embed_photos(_Asked(by)))[0]
        side, row = by
        return np.array(self.gallery.embeddings(side)[row])

    async def _find(self, query: Query, among: str, before: np.ndarray, after: np.ndarray) -> list[Found]:
        searches = [_Search(after, among, query.top, query.class_name)]
        if is_changed := bool(query.added or query.removed):
            searches.append(_Search(before, among, max(LOOKED_AT, query.top), query.class_name))
        (similarities, rows), *former = await asyncio.gather(*map(self._search, searches))
        places = {int(row): place for place, row in enumerate(former[0][1], 1)} if is_changed else {}
        return _hits(similarities, rows, places)

    def _nearest(self, searches: list[_Search]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Searches together what is looked for in the same rows and to a similar depth."""
        groups: dict[tuple, list[int]] = {}
        for number, search in enumerate(searches):
            groups.setdefault((search.among, search.class_name, search.top >= LOOKED_AT), []).append(number)
        results: list[Any] = [None] * len(searches)
        for (among, class_name, _), numbers in groups.items():
            top = max(searches[number].top for number in numbers)
            rows = np.stack([searches[number].row for number in numbers])
            similarities, found = self.gallery.nearest(rows, among, top, class_name, among in self._indexed)
            for place, number in enumerate(numbers):
                own = slice(searches[number].top)
                results[number] = similarities[place, own], found[place, own]
        return results

    def _warm_up(self) -> None:
        """Compiles for every size of a batch, and reads the indices."""
        picture = io.BytesIO()
        Image.new("RGB", (64, 64), "white").save(picture, "JPEG")
        for size in self.encoder.sizes:
            if self.reads_photos:
                self.encoder.embed_stored([picture.getvalue()] * size)
            self.encoder.embed_recipes([alone("salt")] * size)
        for name in self.searched:
            self.gallery.nearest(np.zeros((1, self.encoder.dim)), name, 1, approximate=name in self._indexed)


def _hits(similarities: np.ndarray, rows: np.ndarray, places: dict[int, int]) -> list[Found]:
    pairs = zip(similarities, rows, strict=True)
    return [Found(int(row), float(similarity), places.get(int(row))) for similarity, row in pairs if row >= 0]
