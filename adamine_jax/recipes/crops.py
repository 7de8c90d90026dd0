"""Square crops of JPEG files, computed on all cores.

libjpeg-turbo decodes and Pillow resizes; both release the interpreter lock.
"""

import dataclasses
import io
import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

from adamine_jax.base.cores import map_chunks
from adamine_jax.recipes.decoding import DECODE_RATIOS
from adamine_jax.recipes.photo_structure import MAX_SCANS, START_OF_SCAN

_MAX_REUSED_BYTES = 4_000_000
# Pillow 13 orders its two passes by the sizes, and rounds and clips between them: with the bicubic filter, a window may
# differ from the same part of the whole photo by several grey levels. Pretrained encoders saw whole photos. These are
# resized, therefore, if they are at most this many times as long as the crop.
_MAX_WHOLE = 4
_thread = threading.local()
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclasses.dataclass(frozen=True)
class Resizing:
    """How photos are resized before the crop.

    Attributes:
        resample: Pillow's filter; its support grows with the reduction, so both antialias.
        squash: Whether both sides get the same length, whatever the aspect ratio; otherwise only the shorter side does.
    """

    resample: Literal["bilinear", "bicubic"] = "bilinear"
    squash: bool = False


BILINEAR = Resizing()


@dataclasses.dataclass(frozen=True)
class Crops:
    """Square crops of JPEG files; see `random_crops` and `center_crops`.

    Attributes:
        resize: Length of the shorter side before the crop, in pixels; of both sides with `Resizing.squash`.
        size: S, length of the crop's sides in pixels; at most `resize`.
        is_random: Whether the position is random; otherwise the crop is central.
        flip: Whether random crops are mirrored with probability 1/2.
        resizing: Filter, and whether both sides become `resize` pixels long.
        area: If below 1, random crops are windows of at least this share of the photo, of an aspect ratio from 3/4 to
            4/3 where the photo allows it, which are then resized to S × S.
    """

    resize: int
    size: int
    is_random: bool
    flip: bool = False
    resizing: Resizing = BILINEAR
    area: float = 1.0

    def __call__(self, jpegs: Sequence[bytes], draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crops a batch of photos on all cores.

        Args:
            jpegs: B JPEG files.
            draws: (B, 3) float32, uniform in [0, 1), for row, column and mirroring; (B, 5) with `area`, for the area
                and the aspect ratio.

        Returns:
            (B, S, S, 3) uint8 crops, and (B,) bool, False for a truncated or damaged JPEG, whose crop is zeros.
        """
        crops, is_decoded = np.empty((len(jpegs), self.size, self.size, 3), np.uint8), np.zeros(len(jpegs), bool)

        def crop_rows(rows: range) -> None:
            for row in rows:
                is_decoded[row] = self.cut(jpegs[row], draws[row], crops[row])

        map_chunks(crop_rows, len(jpegs))
        return crops, is_decoded

    def cut(self, jpeg: bytes, draw: np.ndarray, crop: np.ndarray) -> bool:
        """Writes the crop of one photo into `crop`, (S, S, 3) uint8, for a (3,) draw; see `__call__`."""
        full = _shape(jpeg)
        window = None
        if all(full) and self.is_random and self.area < 1:
            window = self._resized_window(jpeg, full, draw.tolist())
        elif all(full):
            resized = self._resized(full)
            corner, is_mirrored = self._position(resized, draw)
            window = _window(jpeg, full, resized, corner, self.size, is_mirrored, _FILTERS[self.resizing.resample])
        np.copyto(crop.reshape(self.size, -1), 0 if window is None else window)
        return window is not None

    def _resized_window(self, jpeg: bytes, full: Sequence[int], draw: list[float]) -> np.ndarray | None:
        """Returns a random window, resized to (S, 3 S) uint8; None if the JPEG is truncated or damaged."""
        row, column, mirror, area, ratio = draw
        pixels = (self.area + (1 - self.area) * area) * full[0] * full[1]
        ratio = min(max((3 / 4) ** (1 - 2 * ratio), pixels / full[0] ** 2), full[1] ** 2 / pixels)  # within the photo
        height, width = min((pixels / ratio) ** 0.5, full[0]), min((pixels * ratio) ** 0.5, full[1])
        top, left = row * (full[0] - height), column * (full[1] - width)
        reduced = next(factor for factor in DECODE_RATIOS if factor == 1 or min(height, width) // factor >= self.size)
        is_mirrored = self.flip and mirror >= 0.5
        decoded = _decoded(jpeg, full, reduced, "BGR" if is_mirrored else "RGB")
        if decoded is None:
            return None
        right, bottom = min((left + width) / reduced, decoded.shape[1]), min((top + height) / reduced, decoded.shape[0])
        resized = Image.fromarray(decoded).resize(
            (self.size, self.size), _FILTERS[self.resizing.resample], (left / reduced, top / reduced, right, bottom)
        )
        window = np.asarray(resized).reshape(self.size, -1)
        return window[:, ::-1] if is_mirrored else window

    def _resized(self, full: Sequence[int]) -> list[int]:
        """Returns height and width of the resized photo."""
        if self.resizing.squash:
            return [self.resize, self.resize]
        scale = self.resize / min(full)
        return [max(int(side * scale + 1e-6), self.resize) for side in full]

    def _position(self, resized: Sequence[int], draw: np.ndarray) -> tuple[list[int], bool]:
        """Returns the first row and column of the crop, and whether it is mirrored."""
        slack = [side - self.size for side in resized]
        if not self.is_random:
            return [pixels // 2 for pixels in slack], False
        row, column, mirror = draw[:3].tolist()
        corner = [min(int(share * (pixels + 1)), pixels) for share, pixels in zip((row, column), slack, strict=True)]
        return corner, self.flip and mirror >= 0.5


def random_crops(resize: int, size: int, flip: bool, resizing: Resizing = BILINEAR, area: float = 1.0) -> Crops:
    """Resizes the shorter side to `resize`, then crops at random, like torchvision's Resize and RandomCrop.

    With an `area` below 1 it resizes a random window instead, like RandomResizedCrop.
    """
    return Crops(resize, size, is_random=True, flip=flip, resizing=resizing, area=area)


def center_crops(resize: int, size: int, resizing: Resizing = BILINEAR) -> Crops:
    """Resizes the shorter side to `resize`, then crops the centre; the draws are ignored."""
    return Crops(resize, size, is_random=False, resizing=resizing)


def _shape(jpeg: bytes) -> tuple[int, int]:
    """Reads height and width from the header; zeros if the file is not a JPEG, or has too many scans to decode."""
    if jpeg.count(START_OF_SCAN) > MAX_SCANS:  # a stored photo has one; see `check_structure`
        return 0, 0
    try:
        return simplejpeg.decode_jpeg_header(jpeg)[:2]
    except ValueError:
        image = _opened(jpeg)
        return (image.height, image.width) if image else (0, 0)


def _window(
    jpeg: bytes,
    full: Sequence[int],
    resized: Sequence[int],
    corner: Sequence[int],
    size: int,
    is_mirrored: bool,
    resample: Image.Resampling,
) -> np.ndarray | None:
    """Computes one window of the resized photo, from the smallest sufficient decoded size.

    A mirrored window is decoded as BGR and its bytes are reversed, which is a third faster than reversing pixels.

    Returns:
        (size, 3 * size) uint8, which may be a view of the thread's buffer; None if the JPEG is truncated or damaged.
    """
    # Then neither side is decoded shorter than its resized length: the longer one is reduced at least as much.
    ratio = next(ratio for ratio in DECODE_RATIOS if ratio == 1 or min(full) // ratio >= min(resized))
    pixels = _decoded(jpeg, full, ratio, "BGR" if is_mirrored else "RGB")
    if pixels is None:
        return None
    top, left = corner
    if [side * ratio for side in resized] != list(full):
        # Decoded sizes are rounded up, so the scale comes from the full size.
        rows, columns = (whole / (ratio * side) for whole, side in zip(full, resized, strict=True))
        first, last = (top, left), (top + size, left + size)
        if resample == Image.Resampling.BICUBIC and max(resized) <= _MAX_WHOLE * size:
            first, last = (0, 0), resized
        box = (first[1] * columns, first[0] * rows, last[1] * columns, last[0] * rows)
        box = (*box[:2], min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
        shape = (last[1] - first[1], last[0] - first[0])
        pixels = np.asarray(Image.fromarray(pixels).resize(shape, resample, box))
        top, left = top - first[0], left - first[1]
    window = pixels.reshape(len(pixels), -1)[top : top + size, 3 * left : 3 * (left + size)]
    return window[:, ::-1] if is_mirrored else window


def _decoded(jpeg: bytes, full: Sequence[int], ratio: int, colours: str) -> np.ndarray | None:
    """Decodes a photo to (H, W, 3) uint8 at 1 / ratio of its size, rounded up; None if it is truncated or damaged."""
    height, width = (-(-side // ratio) for side in full)
    try:
        buffer = _buffer(3 * height * width)
        return simplejpeg.decode_jpeg(
            jpeg, colours, min_height=height, min_width=width, min_factor=ratio, buffer=buffer
        )
    except ValueError:  # simplejpeg rejects some colour spaces, and files for which other decoders only warn
        image = _opened(jpeg)
        if image is None:
            return None
    try:
        image.draft("RGB", (width, height))
        pixels = np.asarray(image.convert("RGB"))
    except OSError:
        return None
    return np.ascontiguousarray(pixels[..., ::-1]) if colours == "BGR" else pixels


def _opened(jpeg: bytes) -> Image.Image | None:
    try:
        return Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _buffer(size: int) -> np.ndarray:
    """Returns memory to decode a photo into; small buffers are reused by the thread, because allocating is slow."""
    buffer = getattr(_thread, "buffer", None)
    if buffer is not None and buffer.size >= size:
        return buffer
    buffer = np.empty(size, np.uint8)
    if size <= _MAX_REUSED_BYTES:
        _thread.buffer = buffer
    return buffer
