"""From JPEG files to square crops, on all cores.

libjpeg-turbo decodes, Pillow resizes what has not the right size already; both outside the interpreter's lock.
"""

import dataclasses
import io
import threading
from collections.abc import Sequence

import numpy as np
import simplejpeg
from PIL import Image

from adamine_jax.base.cores import map_chunks
from adamine_jax.recipes.decoding import DECODE_RATIOS

_KEPT = 4_000_000
"""Bytes of pixels, for which a thread keeps its memory."""


@dataclasses.dataclass(frozen=True)
class Crops:
    """Square crops of JPEG files; see `random_crops` and `center_crops`.

    Attributes:
        resize: pixels of the shorter side before the crop.
        size: S, pixels of the crop's sides, at most `resize`.
        is_random: whether its place is drawn; if not, it is the middle.
        flip: whether half of the photos are mirrored, which is drawn too.
    """

    resize: int
    size: int
    is_random: bool
    flip: bool = False

    def __call__(self, jpegs: Sequence[bytes], draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cuts a batch, on all cores.

        Args:
            jpegs: B files.
            draws: (B, 3) float32, uniform in [0, 1): crop row, crop column, mirrored or not.

        Returns:
            (B, S, S, 3) uint8, and (B,) bool, False where a row is zeros because its file is no whole JPEG.
        """
        crops, is_cut = np.empty((len(jpegs), self.size, self.size, 3), np.uint8), np.zeros(len(jpegs), bool)

        def cut(rows: range) -> None:
            for row in rows:
                is_cut[row] = self.cut(jpegs[row], draws[row], crops[row])

        map_chunks(cut, len(jpegs))
        return crops, is_cut

    def cut(self, jpeg: bytes, draw: np.ndarray, crop: np.ndarray) -> bool:
        """Cuts one, by its (3,) draw, into `crop`, (S, S, 3) uint8; False: it is zeros, for it is no whole JPEG."""
        full = _shape(jpeg)
        window = None
        if all(full):
            resized = _resized(full, self.resize)
            corner, is_mirrored = self._place(resized, draw)
            window = _window(jpeg, full, resized, corner, self.size, is_mirrored)
        np.copyto(crop.reshape(self.size, -1), 0 if window is None else window)
        return window is not None

    def _place(self, resized: Sequence[int], draw: np.ndarray) -> tuple[list[int], bool]:
        """The first row and column of its window, and whether it is mirrored."""
        room = [side - self.size for side in resized]
        if not self.is_random:
            return [pixels // 2 for pixels in room], False
        row, column, third = draw.tolist()
        corner = [min(int(share * (pixels + 1)), pixels) for share, pixels in zip((row, column), room, strict=True)]
        return corner, self.flip and third >= 0.5


def random_crops(resize: int, size: int, flip: bool) -> Crops:
    """Shorter side to `resize`, then a random crop of `size`, as torchvision's Resize and RandomCrop."""
    return Crops(resize, size, is_random=True, flip=flip)


def center_crops(resize: int, size: int) -> Crops:
    """Shorter side to `resize`, then the central crop of `size`; the draws are not read."""
    return Crops(resize, size, is_random=False)


def _resized(full: Sequence[int], resize: int) -> list[int]:
    """Height and width once the shorter side is `resize`, the other rounded down."""
    scale = resize / min(full)
    return [max(int(side * scale + 1e-6), resize) for side in full]


def _shape(jpeg: bytes) -> tuple[int, int]:
    """Height and width, of which the file's header is read alone; zeros where it is no JPEG."""
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
) -> np.ndarray | None:
    """(size, 3 * size) uint8, a window of the resized photo, of which no other pixel is computed; None without it.

    It is made from the smallest decoded size that is not below what is asked for, and lies in memory that the thread
    uses again. It is mirrored byte by byte, which takes a third less time than by channels, so that blue comes first
    until then.
    """
    ratio = next(ratio for ratio in DECODE_RATIOS if ratio == 1 or min(full) // ratio >= min(resized))
    pixels = _decoded(jpeg, full, ratio, "BGR" if is_mirrored else "RGB")
    if pixels is None:
        return None
    top, left = corner
    if [side * ratio for side in resized] != list(full):
        # Decoded sizes are rounded up, so the scale comes from the full size.
        rows, columns = (whole / (ratio * side) for whole, side in zip(full, resized, strict=True))
        box = (left * columns, top * rows, (left + size) * columns, (top + size) * rows)
        box = (*box[:2], min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
        pixels = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box))
        top = left = 0
    window = pixels.reshape(len(pixels), -1)[top : top + size, 3 * left : 3 * (left + size)]
    return window[:, ::-1] if is_mirrored else window


def _decoded(jpeg: bytes, full: Sequence[int], ratio: int, colours: str) -> np.ndarray | None:
    """(H, W, 3) uint8 pixels of the photo at 1 / ratio of its size, sides rounded up; None if it is not whole."""
    height, width = (-(-side // ratio) for side in full)
    try:
        memory = _own.memory_of(3 * height * width)
        return simplejpeg.decode_jpeg(
            jpeg, colours, min_height=height, min_width=width, min_factor=ratio, buffer=memory
        )
    except ValueError:  # it takes neither all colour spaces nor what other decoders only warn of
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
