"""From JPEG files to square crops, on all cores.

libjpeg-turbo decodes, Pillow resizes what has not the right size already; both outside the interpreter's lock.
"""

import collections
import functools
import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import simplejpeg
from PIL import Image

from data_builders.recipe1m.photos import available_cores

Crops = Callable[[Sequence[bytes], np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(B,) JPEG files and (B, 3) float32 uniform in [0, 1), crop row, crop column, mirrored or not → (B, S, S, 3) uint8,
and (B,) bool, False where a row is zeros because its file is no whole JPEG."""

DECODE_RATIOS = (8, 4, 2, 1)
"""A JPEG can be decoded at 1/8, 1/4 or 1/2 of its size at a fraction of the cost."""
LARGEST_CHUNK = 16
"""Photos that a thread decodes at a time, or fewer, so that all cores have some."""
_KEPT = 4_000_000
"""Bytes of pixels, for which a thread keeps its memory."""


def random_crops(resize: int, size: int, flip: bool) -> Crops:
    """Shorter side to `resize`, then a random crop, as torchvision's Resize and RandomCrop.

    Args:
        resize: pixels of the shorter side before the crop.
        size: S, pixels of the crop's sides, at most `resize`.
        flip: whether to mirror half of the photos.

    Returns:
        A function that any thread may call; see `Crops`.
    """

    def windows(room: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        corners = (draws[:, :2] * (room + 1).astype(np.float32)).astype(np.int64)
        return np.minimum(corners, room), draws[:, 2] >= 0.5 if flip else np.zeros(len(draws), bool)

    return functools.partial(_crops, resize, size, windows)


def center_crops(resize: int, size: int) -> Crops:
    """Shorter side to `resize`, then the central crop; the draws are not read. See `random_crops`."""

    def windows(room: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return room // 2, np.zeros(len(draws), bool)

    return functools.partial(_crops, resize, size, windows)


def _crops(
    resize: int, size: int, windows: Callable, jpegs: Sequence[bytes], draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts windows, whose corners (B, 2) and directions (B,) `windows` tells of the room (B, 2) that there is."""
    crops, is_cut = np.empty((len(jpegs), size, size, 3), np.uint8), np.zeros(len(jpegs), bool)
    full = np.array([_shape(jpeg) for jpeg in jpegs], np.int64).reshape(-1, 2)
    rows = np.flatnonzero(full.all(axis=1))
    resized = _resized(full[rows], resize)
    corners, is_mirrored = windows(resized - size, draws[rows])
    tasks = [column.tolist() for column in (rows, full[rows], resized, corners, is_mirrored)]
    tasks = list(zip(*tasks, strict=True))

    chunk = min(max(len(tasks) // available_cores(), 1), LARGEST_CHUNK)

    def cut(first: int) -> None:
        for row, shape, target, corner, mirrored in tasks[first : first + chunk]:
            window = _window(jpegs[row], shape, target, corner, size)
            if window is None:
                continue
            if mirrored:
                for channel in range(3):  # all three at once take NumPy six times as long
                    crops[row, :, ::-1, channel] = window[:, :, channel]
            else:
                crops[row] = window
            is_cut[row] = True

    chunks = range(0, len(tasks), chunk)
    collections.deque(_pool().map(cut, chunks) if len(chunks) > 1 else map(cut, chunks), maxlen=0)
    crops[~is_cut] = 0
    return crops, is_cut


def _resized(full: np.ndarray, resize: int) -> np.ndarray:
    """(B, 2) height and width once the shorter sides are `resize`, the others rounded down."""
    if not len(full):
        return full
    scale = resize / full.min(axis=1, keepdims=True)
    return np.maximum((full * scale + 1e-6).astype(np.int64), resize)


def _shape(jpeg: bytes) -> tuple[int, int]:
    """Height and width, of which the file's header is read alone; zeros where it is no JPEG."""
    try:
        return simplejpeg.decode_jpeg_header(jpeg)[:2]
    except ValueError:
        image = _opened(jpeg)
        return (image.height, image.width) if image else (0, 0)


def _window(
    jpeg: bytes, full: Sequence[int], resized: Sequence[int], corner: Sequence[int], size: int
) -> np.ndarray | None:
    """(size, size, 3) uint8, a window of the resized photo, of which no other pixel is computed; None without it.

    It is made from the smallest decoded size that is not below what is asked for, and lies in memory that the thread
    uses again.
    """
    ratio = next(ratio for ratio in DECODE_RATIOS if ratio == 1 or min(full) // ratio >= min(resized))
    pixels = _decoded(jpeg, full, ratio)
    if pixels is None:
        return None
    top, left = corner
    if [side * ratio for side in resized] == list(full):
        return pixels[top : top + size, left : left + size]
    # Decoded sizes are rounded up, so the scale comes from the full size.
    rows, columns = (whole / (ratio * side) for whole, side in zip(full, resized, strict=True))
    box = (left * columns, top * rows, (left + size) * columns, (top + size) * rows)
    box = (*box[:2], min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box))


def _decoded(jpeg: bytes, full: Sequence[int], ratio: int) -> np.ndarray | None:
    """(H, W, 3) uint8 pixels of the photo at 1 / ratio of its size, sides rounded up; None if it is not whole."""
    height, width = (-(-side // ratio) for side in full)
    try:
        memory = _own.memory_of(3 * height * width)
        return simplejpeg.decode_jpeg(jpeg, min_height=height, min_width=width, min_factor=ratio, buffer=memory)
    except ValueError:  # it takes neither all colour spaces nor what other decoders only warn of
        image = _opened(jpeg)
        if image is None:
            return None
    try:
        image.draft("RGB", (width, height))
        return np.asarray(image.convert("RGB"))
    except OSError:
        return None


def _opened(jpeg: bytes) -> Image.Image | None:
    try:
        return Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


class _Own(threading.local):
    """Memory of each thread, into which photos are decoded: new memory for each takes its time."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def memory_of(self, size: int) -> np.ndarray:
        if size > _KEPT:
            return np.empty(size, np.uint8)
        if self._memory.size < size:
            self._memory = np.empty(size, np.uint8)
        return self._memory


_own = _Own()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="photos")
