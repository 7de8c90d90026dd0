"""A photo, decoded whole, becomes a small upright JPEG; in bounded memory, whatever the file says."""

import contextlib
import io
import os
import threading
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

# Decoding takes about 4 bytes a pixel: a photo beyond this is a mistake or an attack on the memory.
MAX_PIXELS = 64_000_000
# A file of more bytes would be larger than that.
MAX_BYTES = 4 * MAX_PIXELS
JPEG_QUALITY = 90
"""As libjpeg counts; docs/dataset.md says why."""
DECODE_RATIOS = (8, 4, 2, 1)
"""A JPEG can be decoded at 1/8, 1/4 or 1/2 of its size at a fraction of the cost."""
# Bytes of a file that are read at once.
_PART, _LEAST = 1 << 20, 1 << 16
# Files of more bytes or pixels than this are looked at by one thread at a time: some decoders take three times the
# memory of the pixels.
_LARGE = 16_000_000
_one_at_a_time = threading.Lock()
# Pixels that are converted at once, so that a large photo is never in memory three times.
_BAND = 4_000_000
# Downloads have files of other formats under a name that ends in .jpg.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# Markers of a JPEG (ITU T.81, table B.1): Exif and XMP, which tell how the camera was held, and where the pixels start.
_APP1, _START_OF_SCAN = b"\xff\xe1", b"\xff\xda"
# Telephones' photos, told from other files so that people know what to convert (ISO/IEC 23008-12, AVIF).
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")
Image.init()


class UnreadablePhotoError(Exception):
    """A photo cannot be used; the message says why."""


class TooLargeError(UnreadablePhotoError):
    """A photo has too many bytes or pixels."""


def read_photo(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read.
        UnreadablePhotoError: there are more than `MAX_BYTES`.
    """
    # In parts, because room for all that is asked for is made before it is read; the first one is all of most files.
    parts, left = [], MAX_BYTES
    with path.open("rb", buffering=0) as file:
        # A pipe tells no size.
        size = min(max(os.fstat(file.fileno()).st_size + 1, _LEAST), _PART)
        while part := file.read(min(size, left + 1)):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TooLargeError(f"more than {MAX_BYTES:,} bytes are too many")
    return b"".join(parts)


def reduced(data: bytes, shorter_side: int, quality: int = JPEG_QUALITY) -> tuple[bytes, tuple[int, int], str]:
    """An image file as an upright RGB JPEG whose shorter side is at most `shorter_side` pixels; see `encoded`.

    Returns:
        The JPEG file; the image's own width and height, upright; and its own format.

    Raises:
        UnreadablePhotoError: the data is no image, is cut off anywhere, or has more than `MAX_PIXELS` pixels.
    """
    if plain := decode_plain_jpeg(data, shorter_side):
        pixels, size = plain
        if min(pixels.shape[:2]) > shorter_side:
            pixels = _small(Image.fromarray(pixels), shorter_side)
        return _as_jpeg(pixels, quality), size, "JPEG"
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise TooLargeError(f"{width} x {height} pixels are too many, {MAX_PIXELS:,} the most")
            decode_small(image, shorter_side)
            decoded = image.size
            with _one_at_a_time if image.width * image.height > _LARGE else contextlib.nullcontext():
                image.load()
                jpeg, upright = encoded(image, shorter_side, quality)
            return jpeg, (width, height) if upright == decoded else (height, width), image.format or ""
    except (UnreadablePhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        is_heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS
        raise UnreadablePhotoError("HEIC or AVIF is not read" if is_heif else "not an image") from None
    except Image.DecompressionBombError:
        raise TooLargeError("too many pixels") from None
    except Exception as error:  # Pillow's decoders raise whatever the damage leads them to, of many types
        raise UnreadablePhotoError(f"not a whole image ({' '.join(str(error).split())[:80]})") from error


def decode_plain_jpeg(data: bytes, shorter_side: int) -> tuple[np.ndarray, tuple[int, int]] | None:
    """What most photos are, without Pillow: copying the pixels there and back takes as long as encoding them.

    Returns:
        (H, W, 3) uint8 pixels, those of `decode_small`, and the width and height of the whole photo. None where there
        is anything to look after: another format or other colours, a photo that is turned or large, or one of which
        the decoder has anything to say.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours != "YCbCr" or height * width > _LARGE or _may_be_turned(data):
            return None
        shorter = min(height, width)
        ratio = next(ratio for ratio in DECODE_RATIOS if ratio == 1 or shorter // ratio >= shorter_side)
        least = {"min_height": -(-height // ratio), "min_width": -(-width // ratio), "min_factor": ratio}
        return simplejpeg.decode_jpeg(data, **least), (width, height)
    except ValueError:
        return None


def _may_be_turned(data: bytes) -> bool:
    """Whether a JPEG's header has a segment that could say so."""
    place = 2
    while (marker := data[place : place + 2])[:1] == b"\xff" and marker not in (_APP1, _START_OF_SCAN):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return marker != _START_OF_SCAN


def decode_small(image: Image.Image, shorter_side: int) -> None:
    """Lets a JPEG be decoded at 1/2, 1/4 or 1/8 of its size, if that is not below what is wanted.

    The decoder then transforms the low frequencies of each block alone.

    Args:
        image: opened and not yet loaded; of other formats it stays as it is.
        shorter_side: in pixels.
    """
    shorter = min(image.size)
    if shorter > shorter_side:
        image.draft(None, (image.width * shorter_side // shorter, image.height * shorter_side // shorter))


def encoded(image: Image.Image, shorter_side: int, quality: int = JPEG_QUALITY) -> tuple[bytes, tuple[int, int]]:
    """An image as an upright RGB JPEG whose shorter side is at most `shorter_side` pixels.

    The orientation that a camera noted in the file is applied, transparent parts become white, 16 bits a channel
    become 8, and reducing is antialiased (bilinear with support scaled to the reduction). Smaller images keep their
    size.

    Returns:
        The JPEG file, and the image's own width and height, upright.
    """
    _turn_upright(image)
    rgb = _to_rgb(image)
    return _as_jpeg(_small(rgb, shorter_side), quality), rgb.size


def _small(rgb: Image.Image, shorter_side: int) -> np.ndarray:
    scale = shorter_side / min(rgb.size)
    if scale < 1:
        rgb = rgb.resize([max(round(side * scale), 1) for side in rgb.size], Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _as_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    # Outside the interpreter lock, which Pillow holds while it encodes.
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorsubsampling="420")


def _turn_upright(image: Image.Image) -> None:
    # A damaged note about the orientation says nothing against the photo itself.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    width, height = image.size
    if width * height <= _BAND:
        return _converted(image)
    rgb, rows = Image.new("RGB", image.size), max(_BAND // width, 1)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        rgb.paste(_converted(band), (0, top))
    return rgb


def _converted(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale, which convert() would clip at 255
        values = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        page = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(page, coloured).convert("RGB")
    return image.convert("RGB")
