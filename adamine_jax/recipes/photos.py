"""Photos as people have them, made into what the converter stores: upright RGB JPEGs of its size."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.decoding import TooLargeError, UnreadablePhotoError, encoded, read_photo, reduced

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
UNREAD = (".heic", ".heif", ".avif")
"""Photos as well, and named as such where they are left out."""

Photo = Path | str | bytes | Image.Image | np.ndarray
"""A file's path, a file's bytes, Pillow's image, or (H, W, 3) uint8 pixels."""
_FORMATS = "give a whole photo as JPEG, PNG, WebP, GIF, BMP or TIFF"


class UnusablePhoto(UserError):
    """A photo cannot be used; `reason` is why, without saying which, and `remedy` what to do instead."""

    def __init__(self, where: str, reason: str, remedy: str = _FORMATS):
        self.reason, self.remedy = reason, remedy
        super().__init__(f"{where}: {reason}; {remedy}")


def stored(photo: Photo, side: int, where: str = "photo") -> bytes:
    """A photo as the converter stores it; of an animation the first picture.

    Args:
        photo: see `Photo`.
        side: its shorter side in pixels; smaller photos keep their size.
        where: to be told to a person, if the photo is no path.

    Returns:
        A JPEG file.

    Raises:
        UnusablePhoto: it cannot be read, is no image, is not whole, or has too many pixels.
    """
    if isinstance(photo, (Path, str)):
        where = str(photo)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # the oddities of photos are looked after
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


def photo_files(folder: Path) -> list[Path]:
    """The photos in a folder and those below it, in the order of their paths; hidden ones are passed over.

    Raises:
        UserError: there is no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one with photos")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES + UNREAD and path.is_file()]
    visible = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not visible:
        raise UserError(f"{folder}: holds no photo; takes files that end in {', '.join(SUFFIXES)}")
    return sorted(visible, key=lambda path: path.relative_to(folder).parts)


def _image(pixels: np.ndarray) -> Image.Image:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise UnreadablePhotoError(f"pixels of shape {pixels.shape}, {pixels.dtype}: takes (H, W, 3) uint8")
    return Image.fromarray(pixels)
