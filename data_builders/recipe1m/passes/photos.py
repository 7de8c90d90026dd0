"""Reads and reduces photos in several threads.

A photo that cannot be read is not an error: it is left out and reported.
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from adamine_jax.recipes.decoding import JPEG_QUALITY, read_photo, reduced
from adamine_jax.recipes.photo_structure import UnreadablePhotoError
from data_builders.recipe1m.duplicates import content_digest
from data_builders.recipe1m.passes.photo_places import Listed

T = TypeVar("T")
R = TypeVar("R")

CHUNK, AHEAD = 8, 4
"""Number of items that a thread takes at once, and number of such chunks per thread taken before the first result."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that a recipe lists.

    Attributes:
        id: Image id in layer 2.
        jpeg: Reduced JPEG file, or None if the photo cannot be used or the file stayed on a worker machine.
        problem: Reason why the photo cannot be used; empty if it can.
        size: Width and height of the upright original in pixels.
        format: Format of the original, as Pillow names it ("JPEG", "PNG", ...).
        digest: Digest of the reduced JPEG file.
    """

    id: str
    jpeg: bytes | None = None
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    format: str = ""
    digest: int = 0

    @property
    def is_readable(self) -> bool:
        """Whether the photo can be used."""
        return not self.problem


def load_photo(listed: Listed, shorter_side: int, quality: int = JPEG_QUALITY) -> Photo:
    """Reads and reduces a photo; returns a `Photo` with a problem if it cannot be read."""
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
    """Yields (item, function(item)) in order, computed by threads that run a little ahead.

    Threads suffice because image decoders release the interpreter lock, and they need no pickling and no fork.

    Args:
        function: Function to call.
        items: Items; `AHEAD` chunks of `CHUNK` items per thread are taken in advance.
        workers: Number of threads.
        wanted: Predicate. Items for which it is false are yielded with None.
    """
    items = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="photos") as pool:
        ahead: collections.deque[tuple[list[T], list[bool], Future | None]] = collections.deque()

        def first_chunk() -> Iterator[tuple[T, R | None]]:
            chunk, are_wanted, future = ahead.popleft()
            results = iter(future.result() if future else ())
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
                    yield from first_chunk()
            while ahead:
                yield from first_chunk()
        finally:
            for _, _, future in ahead:
                if future:
                    future.cancel()
