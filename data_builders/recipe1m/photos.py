"""Photos: found, checked by decoding them whole, made small, and written again as JPEG.

A photo that cannot be read is a fact about the download, not an error: it is named in the report and left out.
"""

import collections
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data_builders.recipe1m.duplicates import content_digest

T = TypeVar("T")
R = TypeVar("R")

# Decoding takes about 4 bytes a pixel: a photo beyond this is a mistake or an attack on the memory.
MAX_PIXELS = 64_000_000
JPEG_QUALITY = 95
AHEAD = 32
# Downloads have files of other formats under a name that ends in .jpg.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
Image.init()
# The id becomes a path: nothing but these characters may get there.
_IMAGE_ID = re.compile(r"[0-9a-fA-F]{10}\.jpg")


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


class UnreadablePhotoError(Exception):
    """A photo cannot be used; the message says why."""


def image_root(source: Path) -> Path:
    """The folder with the photos: `images/` in the download, or else the download itself."""
    return source / "images" if (source / "images").is_dir() else source


def photo_pattern(root: Path) -> str:
    """Where photos are looked for, to be told to a person."""
    return f"{root}/<partition>/a/b/c/d/abcd….jpg, then without <partition>/"


def load_photo(root: Path, partition: str, image_id: Any, shorter_side: int) -> Photo:
    """Reads a photo and makes it small; never raises for a bad photo.

    It is `<root>/<partition>/a/b/c/d/abcd….jpg`, or else, as in Recipe1M+, the same without the partition.
    """
    if not isinstance(image_id, str) or not _IMAGE_ID.fullmatch(image_id):
        return Photo(str(image_id)[:40], problem="its id is not 10 hex digits and .jpg")
    places = (root.joinpath(*folder, *image_id[:4], image_id) for folder in ((partition,), ()))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return Photo(image_id, problem="missing")
    try:
        jpeg, size, file_format = reduced(path.read_bytes(), shorter_side)
        return Photo(image_id, jpeg, size=size, format=file_format, digest=content_digest(jpeg))
    except OSError as error:
        return Photo(image_id, problem=f"cannot be opened ({error.strerror})")
    except UnreadablePhotoError as error:
        return Photo(image_id, problem=str(error))


def reduced(data: bytes, shorter_side: int) -> tuple[bytes, tuple[int, int], str]:
    """An image file as an upright RGB JPEG whose shorter side is at most `shorter_side` pixels; see `encoded`.

    Returns:
        The JPEG file; the image's own width and height, upright; and its own format.

    Raises:
        UnreadablePhotoError: the data is no image, is cut off anywhere, or has more than `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadablePhotoError(f"{width} x {height} pixels are too many")
            image.load()
            file_format = image.format
            return *encoded(image, shorter_side), file_format
    except (UnreadablePhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UnreadablePhotoError("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadablePhotoError("too many pixels") from None
    except Exception as error:  # Pillow's decoders raise whatever the damage leads them to, of many types
        raise UnreadablePhotoError(f"not a whole image ({' '.join(str(error).split())[:80]})") from error


def encoded(image: Image.Image, shorter_side: int) -> tuple[bytes, tuple[int, int]]:
    """An image as an upright RGB JPEG whose shorter side is at most `shorter_side` pixels.

    The orientation that a camera noted in the file is applied, transparent parts become white, 16 bits a channel
    become 8, and reducing is antialiased (bilinear with support scaled to the reduction). Smaller images keep their
    size.

    Returns:
        The JPEG file, and the image's own width and height, upright.
    """
    rgb = _to_rgb(_upright(image))
    size, scale = rgb.size, shorter_side / min(rgb.size)
    if scale < 1:
        rgb = rgb.resize([max(round(side * scale), 1) for side in rgb.size], Image.Resampling.BILINEAR)
    small = io.BytesIO()
    rgb.save(small, "JPEG", quality=JPEG_QUALITY)
    return small.getvalue(), size


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int, wanted: Callable[[T], bool] = lambda _: True
) -> Iterator[tuple[T, R | None]]:
    """Yields (item, function(item)) in the order of `items`, computed by threads that run a little ahead.

    Threads, not processes: Pillow works outside the interpreter lock, so they use all cores, and there is nothing to
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


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged note about the orientation says nothing against the photo itself
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale, which convert() would clip at 255
        values = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        page = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(page, coloured).convert("RGB")
    return image.convert("RGB")
