"""Photos, read and made small by several threads.

A photo that cannot be read is a fact about the download, not an error: it is named in the report and left out.
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from adamine_jax.recipes.decoding import JPEG_QUALITY, UnreadablePhotoError, read_photo, reduced
from data_builders.recipe1m.duplicates import content_digest
from data_builders.recipe1m.passes.photo_places import Listed

T = TypeVar("T")
R = TypeVar("R")

CHUNK, AHEAD = 8, 4
"""A thread takes so many items at once; so many times that are taken for each thread before the first is yielded."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo a recipe lists.

    Attributes:
        id: as layer 2 has it.
        jpeg: the small JPEG file, or None when the photo cannot be used (or stayed where it was made small).
        problem: why it cannot be used; empty: it can.
        size: width and height in pixels before it was made small, upright.
        format: of the file it was read from, as Pillow calls it ("JPEG", "PNG", ...).
        digest: of the small JPEG file.
    """

    id: str
    jpeg: bytes | None = None
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    format: str = ""
    digest: int = 0

    @property
    def is_readable(self) -> bool:
        """Whether it can be used."""
        return not self.problem


def load_photo(listed: Listed, shorter_side: int, quality: int = JPEG_QUALITY) -> Photo:
    """Reads a photo and makes it small; never raises for a bad one."""
    if listed.problem:
        return Photo(listed.id, problem=listed.problem)
    try:
        jpeg, size, file_format = reduced(read_photo(Path(listed.path)), shorter_side, quality)
        return Photo(listed.id, jpeg, size=size, format=file_format, digest=content_digest(jpeg))
    except OSError as error:
        return Photo(listed.id, problem=f"cannot be opened ({error.strerror})")
    except UnreadablePhotoError as error:
        return Photo(listed.id, problem=str(error))


def map_in_order(
    function: Callable[[Any], R], items: Iterable[T], workers: int, wanted: Callable[[T], bool] = lambda _: True
) -> Iterator[tuple[T, R | None]]:
    """Yields (item, function(item)) in the order of `items`, computed by threads that run a little ahead.

    Threads, not processes: decoders work outside the interpreter lock, so they use all cores, and there is nothing to
    pickle, to fork beside TensorFlow's threads, or to import again.

    Args:
        function: what to do with an item.
        items: taken `CHUNK` by `CHUNK`, `AHEAD` chunks for each thread before they are yielded.
        workers: threads.
        wanted: items for which it is false keep their place in the order, with None for a result.
    """
    items = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="photos") as pool:
        ahead: collections.deque[tuple[list[T], list[bool], Future | None]] = collections.deque()

        def first() -> Iterator[tuple[T, R | None]]:
            chunk, are_wanted, done = ahead.popleft()
            results = iter(done.result() if done else ())
            for item, is_wanted in zip(chunk, are_wanted, strict=True):
                yield item, next(results) if is_wanted else None

        def run(chunk: list[T]) -> list[R]:
            return [function(item) for item in chunk]

        try:
            while chunk := list(itertools.islice(items, CHUNK)):
                are_wanted = [wanted(item) for item in chunk]
                work = list(itertools.compress(chunk, are_wanted))
                ahead.append((chunk, are_wanted, pool.submit(run, work) if work else None))
                if len(ahead) >= AHEAD * workers:
                    yield from first()
            while ahead:
                yield from first()
        finally:
            for _, _, done in ahead:
                if done:
                    done.cancel()
