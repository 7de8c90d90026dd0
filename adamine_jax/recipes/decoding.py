"""Decodes whole photos and encodes them as small upright JPEGs, in bounded memory even for malformed files."""

import contextlib
import io
import threading
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from adamine_jax.base.extras import how_to_get
from adamine_jax.recipes.photo_structure import APP1, START_OF_SCAN, UnreadablePhotoError, check_structure, markers

# Decoding takes about 4 bytes per pixel, so this limits memory to 256 MB per photo.
MAX_PIXELS = 64_000_000
MAX_BYTES = 4 * MAX_PIXELS
JPEG_QUALITY = 90
"""libjpeg quality of stored photos; docs/dataset.md explains the choice."""
DECODE_RATIOS = (8, 4, 2, 1)
"""Reductions at which libjpeg decodes; a reduced decode costs a fraction of a full one."""
# libjpeg encodes nothing longer.
_MAX_SIDE = 65_500
_READ_SIZE = 1 << 20
# Pixels from which photos are decoded by one thread at a time: some decoders use three times the pixels' memory.
_LARGE = 16_000_000
_large_photo_lock = threading.Lock()
# Pixels converted at a time, so that a large photo is never in memory three times.
_BAND = 4_000_000
# Downloads contain files of other formats whose names end in .jpg.
_FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]
# Values of the orientation tag (Exif 2.32, table 4); 1 is upright.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = tuple(_TRANSPOSITIONS[orientation] for orientation in (5, 6, 7, 8))
# libjpeg's warning if it finds a marker before the end of the image.
_INCOMPLETE = "premature end of data segment"
# Formats of phone cameras (ISO/IEC 23008-12).
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
Image.init()
try:
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)
    _FORMATS.append("HEIF")
except ImportError:  # the extra [heic]
    pi_heif = None


class TooLargeError(UnreadablePhotoError):
    """A photo exceeds `MAX_BYTES` or `MAX_PIXELS`."""


def read_photo(path: Path) -> bytes:
    """Reads a file of at most `MAX_BYTES` bytes.

    Raises:
        OSError: The file cannot be read.
        TooLargeError: The file is larger than `MAX_BYTES`.
    """
    # In chunks, because `read` allocates the requested size before it reads; a file may be a pipe of unknown size.
    chunks, left = [], MAX_BYTES
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(min(_READ_SIZE, left + 1)):
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                raise TooLargeError(f"more than {MAX_BYTES:,} bytes")
    return b"".join(chunks)


def reduced(data: bytes, shorter_side: int, quality: int = JPEG_QUALITY) -> tuple[bytes, tuple[int, int], str]:
    """Converts an image file to an upright RGB JPEG whose shorter side is at most `shorter_side` pixels.

    See `encoded` for the conversion.

    Returns:
        The JPEG file, the (width, height) of the upright original, and the original's format.

    Raises:
        UnreadablePhotoError: The data is not an image, is truncated, or has more than `MAX_PIXELS` pixels.
    """
    check_structure(data)
    if plain := decode_plain_jpeg(data, shorter_side):
        pixels, size = plain
        if min(pixels.shape[:2]) > shorter_side:
            pixels = _small(Image.fromarray(pixels), shorter_side)
        return _as_jpeg(pixels, quality), size, "JPEG"
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise TooLargeError(f"{width} x {height} pixels exceed the limit of {MAX_PIXELS:,}")
            if max(image.size) * min(1, shorter_side / min(image.size)) > _MAX_SIDE:
                raise TooLargeError(f"{width} x {height} pixels are too elongated")
            decode_small(image, shorter_side)
            decoded = image.size
            with _large_photo_lock if image.width * image.height > _LARGE else contextlib.nullcontext():
                image.load()
                jpeg, upright = encoded(image, shorter_side, quality)
            return jpeg, (width, height) if upright == decoded else (height, width), image.format or ""
    except (UnreadablePhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        is_heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS
        if is_heif and pi_heif is None:
            raise UnreadablePhotoError(f"HEIC {how_to_get('pi_heif')}") from None
        raise UnreadablePhotoError("not an image") from None
    except Image.DecompressionBombError:
        raise TooLargeError("too many pixels") from None
    except Exception as error:  # Pillow's decoders raise many types for damaged data
        raise UnreadablePhotoError(f"truncated or damaged image ({' '.join(str(error).split())[:80]})") from error


def is_large(data: bytes) -> bool:
    """Whether a photo has so many pixels that decoding it may take a second; False for unreadable photos."""
    with contextlib.suppress(ValueError):  # for a JPEG, whose header needs no Pillow
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        return height * width > _LARGE
    with contextlib.suppress(Exception):
        check_structure(data)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.width * image.height > _LARGE
    return False


def decode_plain_jpeg(data: bytes, shorter_side: int) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Decodes a plain JPEG, which most photos are, without Pillow, whose copies of the pixels take as long as encoding.

    Returns:
        (H, W, 3) uint8 upright pixels, equal to those that Pillow decodes after `decode_small`, and the (width, height)
        of the upright original. None if the photo needs Pillow: another format or colour space, a large photo, or a
        decoder warning.

    Raises:
        UnreadablePhotoError: The image data are incomplete.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS:
            return None
        shorter = min(height, width)
        ratio = next(ratio for ratio in DECODE_RATIOS if ratio == 1 or shorter // ratio >= shorter_side)
        rows, columns = -(-height // ratio), -(-width // ratio)
        if colours not in ("YCbCr", "Gray") or rows * columns > _LARGE:
            # Only for its warnings, which Pillow does not report.
            simplejpeg.decode_jpeg(data, "CMYK" if "K" in colours else "RGB", min_height=1, min_width=1, min_factor=8)
            return None
        pixels = simplejpeg.decode_jpeg(data, min_height=rows, min_width=columns, min_factor=ratio)
    except ValueError as warning:
        if _INCOMPLETE in str(warning):  # libjpeg fills the rest with grey
            raise UnreadablePhotoError(f"truncated or damaged image ({_INCOMPLETE})") from None
        return None
    if _may_be_rotated(data):
        method = None
        with contextlib.suppress(Exception), Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            method = _transposition(image)
        if method is not None:
            pixels = np.asarray(Image.fromarray(pixels).transpose(method))
            width, height = (height, width) if method in _SWAPS_SIDES else (width, height)
    return pixels, (width, height)


def _may_be_rotated(data: bytes) -> bool:
    """Whether a JPEG has a segment that may store an orientation."""
    return next((marker for marker, _ in markers(data) if marker in (APP1, START_OF_SCAN)), APP1) == APP1


def _transposition(image: Image.Image) -> Image.Transpose | None:
    """Returns how to make an image upright, according to its Exif or XMP metadata.

    `ImageOps.exif_transpose` would also encode all metadata again, which takes minutes for crafted ones.
    """
    with contextlib.suppress(Exception):  # a photo with a damaged orientation is still usable
        return _TRANSPOSITIONS.get(image.getexif()[ExifTags.Base.Orientation])
    return None


def decode_small(image: Image.Image, shorter_side: int) -> None:
    """Configures a JPEG to be decoded at 1/2, 1/4 or 1/8 of its size, but not below `shorter_side` pixels.

    Args:
        image: An image that is opened but not loaded; formats other than JPEG are left unchanged.
        shorter_side: Minimum of the decoded shorter side, in pixels.
    """
    shorter = min(image.size)
    if shorter > shorter_side:
        image.draft(None, (image.width * shorter_side // shorter, image.height * shorter_side // shorter))


def encoded(image: Image.Image, shorter_side: int, quality: int = JPEG_QUALITY) -> tuple[bytes, tuple[int, int]]:
    """Encodes an image as an upright RGB JPEG whose shorter side is at most `shorter_side` pixels.

    Applies the orientation stored in the file, replaces transparency by white, converts 16 bits per channel to 8, and
    downsamples with antialiasing (bilinear with support scaled to the reduction). Smaller images keep their size.

    Returns:
        The JPEG file, and the (width, height) of the upright original.
    """
    method = _transposition(image)
    rgb = _to_rgb(image if method is None else image.transpose(method))
    return _as_jpeg(_small(rgb, shorter_side), quality), rgb.size


def _small(rgb: Image.Image, shorter_side: int) -> np.ndarray:
    scale = shorter_side / min(rgb.size)
    if scale < 1:
        rgb = rgb.resize([max(round(side * scale), 1) for side in rgb.size], Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _as_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    # Unlike Pillow, simplejpeg releases the interpreter lock while it encodes.
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorsubsampling="420")


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
    if image.mode == "F":  # from 0 to 1, to 255 or to 65,535
        values = np.nan_to_num(np.asarray(image))
        largest = next((limit for limit in (1.0, 255.0) if values.max() <= limit), 65_535.0)
        return Image.fromarray((values.clip(0, largest) * (255 / largest)).astype(np.uint8)).convert("RGB")
    if image.mode.startswith("I"):  # 16-bit greyscale, which convert() clips at 255
        values = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")
