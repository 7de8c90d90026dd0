"""Photos as people have them, converted to what the data set stores: upright RGB JPEGs of limited size."""

import functools
import os
import unicodedata
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.decoding import TooLargeError, encoded, read_photo, reduced
from adamine_jax.recipes.photo_structure import UnreadablePhotoError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif"),
)
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")

FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
"""For messages. HEIC needs the extra [heic]."""

Photo = Path | str | bytes | Image.Image | np.ndarray
"""A path, the content of a file, a Pillow image, or (H, W, 3) uint8 pixels."""


class UnusablePhoto(UserError):
    """A photo cannot be used; `reason` says why and `remedy` what to do, without naming the photo."""

    def __init__(self, where: str, reason: str, remedy: str = f"use an intact {FORMATS} file"):
        self.reason, self.remedy = reason, remedy
        super().__init__(f"{where}: {reason}; {remedy}")


def stored(photo: Photo, side: int, where: str = "photo") -> bytes:
    """Converts a photo, or the first frame of an animation, to the JPEG file that the data set builder would store.

    Args:
        photo: See `Photo`.
        side: Maximum length of the shorter side in pixels; smaller photos keep their size.
        where: Name of the photo in errors, if it is not a path.

    Raises:
        UnusablePhoto: The photo cannot be read, is not an image, is truncated, or has too many pixels.
    """
    if isinstance(photo, (Path, str)):
        where = str(photo)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # about metadata that is not used
            if isinstance(photo, Image.Image):
                return encoded(photo.copy(), side)[0]
            if isinstance(photo, np.ndarray):
                return encoded(_image(photo), side)[0]
            return reduced(photo if isinstance(photo, bytes) else read_photo(Path(photo)), side)[0]
    except TooLargeError as error:
        raise UnusablePhoto(where, str(error), "make it smaller") from None
    except UnreadablePhotoError as error:
        raise UnusablePhoto(where, str(error)) from None
    except OSError as error:
        raise UnusablePhoto(where, f"cannot be read ({error.strerror or error})") from None


def photos_beside(file: Path) -> tuple[str, ...]:
    """Returns the names of the photos in the folder of a file that have its name, apart from suffix and case."""
    name = file.name.removesuffix(".gz")
    return _photos_in(file.parent, file.parent.stat().st_mtime_ns).get(_folded(name), ())


@functools.lru_cache(maxsize=4)
def _photos_in(folder: Path, changed: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(os.listdir(folder)):
        if os.path.splitext(name)[1].lower() in SUFFIXES:
            found[_folded(name)] = (*found.get(_folded(name), ()), name)
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(name)[0]).casefold()


def photo_files(folder: Path) -> list[Path]:
    """Lists the photos in a folder and its subfolders, sorted by path; hidden files and folders are skipped.

    A photo is recognised by its suffix, or by its content if its name has none. Pipes, devices and broken links with
    the suffix of a photo are listed, too, so that skipping them is reported.

    Raises:
        UserError: The folder does not exist, or contains no photo.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a folder of photos")
    files = (path for path in folder.rglob("*") if not path.is_dir())
    visible = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    visible = [path for path in visible if path.suffix.lower() in SUFFIXES or (not path.suffix and is_image(path))]
    if not visible:
        raise UserError(f"{folder}: contains no photo; give a folder of files that end in {', '.join(SUFFIXES)}")
    return sorted(visible, key=lambda path: path.relative_to(folder).parts)


def is_image(path: Path) -> bool:
    """Whether a regular file begins like an image."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return start.startswith(_STARTS) or start[8:12] == b"WEBP" or start[4:8] == b"ftyp"


def _image(pixels: np.ndarray) -> Image.Image:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise UnreadablePhotoError(f"pixels of shape {pixels.shape}, {pixels.dtype}: must be (H, W, 3) uint8")
    return Image.fromarray(pixels)
