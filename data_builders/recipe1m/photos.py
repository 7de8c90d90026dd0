"""Photos: found, read, and made small by several threads.

A photo that cannot be read is a fact about the download, not an error: it is named in the report and left out.
"""

import collections
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from data_builders.recipe1m.decoding import JPEG_QUALITY, UnreadablePhotoError, read_photo, reduced
from data_builders.recipe1m.duplicates import content_digest

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 32
# The id becomes a path: nothing but these characters may get there.
IMAGE_ID = re.compile(r"[0-9a-fA-F]{10}\.jpg")


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


def image_root(source: Path) -> Path:
    """The folder with the photos: `images/` in the download, or else the download itself."""
    return source / "images" if (source / "images").is_dir() else source


def photo_pattern(root: Path) -> str:
    """Where photos are looked for, to be told to a person."""
    return f"{root}/<partition>/a/b/c/d/abcd….jpg, then without <partition>/"


def load_photo(root: Path, partition: str, image_id: Any, shorter_side: int, quality: int = JPEG_QUALITY) -> Photo:
    """Reads a photo and makes it small; never raises for a bad photo.

    It is `<root>/<partition>/a/b/c/d/abcd….jpg`, or else, as in Recipe1M+, the same without the partition.
    """
    if not isinstance(image_id, str) or not IMAGE_ID.fullmatch(image_id):
        return Photo(str(image_id)[:40], problem="its id is not 10 hex digits and .jpg")
    folders = (os.path.join(root, partition), str(root))
    places = ("/".join((folder, *image_id[:4], image_id)) for folder in folders)
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        return Photo(image_id, problem="missing")
    if not _is_below(path, *folders):
        return Photo(image_id, problem="a symbolic link to outside of the folder of the photos")
    try:
        jpeg, size, file_format = reduced(read_photo(Path(path)), shorter_side, quality)
        return Photo(image_id, jpeg, size=size, format=file_format, digest=content_digest(jpeg))
    except OSError as error:
        return Photo(image_id, problem=f"cannot be opened ({error.strerror})")
    except UnreadablePhotoError as error:
        return Photo(image_id, problem=str(error))


def _is_below(path: str, *folders: str) -> bool:
    """Whether a file is in one of the folders, which may be links themselves, and not in another place linked to."""
    parent, name = os.path.split(path)
    real = os.path.realpath(path) if os.path.islink(path) else os.path.join(_real_folder(parent), name)
    return any(real.startswith(_real_folder(folder).rstrip(os.sep) + os.sep) for folder in folders)


@functools.lru_cache(1 << 16)
def _real_folder(folder: str) -> str:
    """What `os.path.realpath` says, with one look at each folder of a tree."""
    parent, name = os.path.split(folder)
    if not name or parent == folder or name in (os.curdir, os.pardir) or os.path.islink(folder):
        return os.path.realpath(folder)
    return os.path.join(_real_folder(parent or os.curdir), name)


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int, wanted: Callable[[T], bool] = lambda _: True
) -> Iterator[tuple[T, R | None]]:
    """Yields (item, function(item)) in the order of `items`, computed by threads that run a little ahead.

    Threads, not processes: decoders work outside the interpreter lock, so they use all cores, and there is nothing to
    pickle, to fork beside TensorFlow's threads, or to import again.

    Args:
        function: what to do with an item.
        items: taken one by one, `AHEAD` times the workers before they are yielded.
        workers: threads.
        wanted: items for which it is false keep their place in the order, with None for a result.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="photos") as pool:
        ahead: collections.deque[tuple[T, Future | None]] = collections.deque()

        def first() -> tuple[T, R | None]:
            item, result = ahead.popleft()
            return item, result.result() if result else None

        try:
            for item in items:
                ahead.append((item, pool.submit(function, item) if wanted(item) else None))
                if len(ahead) >= AHEAD * workers:
                    yield first()
            while ahead:
                yield first()
        finally:
            for _, result in ahead:
                if result:
                    result.cancel()


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
