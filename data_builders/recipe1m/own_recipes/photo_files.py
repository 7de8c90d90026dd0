"""Finds the photo files that a record lists and checks that they can be read."""

import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from adamine_jax.recipes.decoding import read_photo, reduced
from adamine_jax.recipes.photo_structure import UnreadablePhotoError

_LINK = re.compile(r"(?:https?|ftps?|file|data|blob|s3|gs):|//", re.IGNORECASE)
_OTHER_FORMATS = (".heic", ".heif", ".avif", ".svg", ".pdf", ".mp4", ".mov", ".jxl", ".dng", ".cr2", ".nef", ".psd")

LINK = "links, which are not downloaded"
OUTSIDE = "outside the input folder; --allow-outside accepts them"
MISSING = "missing"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A readable photo: the path as listed in the record, the file, and the hexadecimal SHA-256 of its bytes."""

    listed: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class PhotoProblem:
    """A photo that cannot be used, with the kind of the problem and optional details."""

    listed: str
    kind: str
    detail: str = ""


class PhotoFinder:
    """Finds photos in the input folder `root`, and with `allow_outside` in others, and caches their digests."""

    def __init__(self, root: Path, *, allow_outside: bool):
        self._root, self._allow_outside = os.path.realpath(root), allow_outside
        self._digests: dict[str, str | PhotoProblem] = {}

    def find(self, folder: Path, listed: str) -> PhotoFile | PhotoProblem:
        """Returns the photo `listed` by a record of a file in `folder`, or its problem."""
        if _LINK.match(listed):
            return PhotoProblem(listed, LINK)
        try:
            path = next(filter(os.path.isfile, _candidates(folder, listed)), None)
        except ValueError:  # a character that paths cannot contain
            path = None
        if path is None:
            is_inside = self._is_inside(_candidates(folder, listed)[0])
            return PhotoProblem(listed, MISSING if is_inside else OUTSIDE)
        if not self._is_inside(path):
            return PhotoProblem(listed, OUTSIDE)
        digest = self._digests.get(path)
        if digest is None:  # two threads may compute the same digest
            digest = self._digests[path] = _digest(path)
        if isinstance(digest, PhotoProblem):
            return PhotoProblem(listed, digest.kind, digest.detail)
        return PhotoFile(listed, Path(path), digest)

    def _is_inside(self, path: str) -> bool:
        if self._allow_outside:
            return True
        try:
            return os.path.commonpath([self._root, os.path.realpath(path)]) == self._root
        except ValueError:
            return True  # not a valid path, reported as missing


def _candidates(folder: Path, listed: str) -> list[str]:
    """Returns the path as written, with URL escapes decoded, and with Windows separators replaced."""
    paths = [listed, urllib.parse.unquote(listed), listed.replace("\\", "/")]
    return [os.path.join(folder, path) for path in dict.fromkeys(paths)]


def _digest(path: str) -> str | PhotoProblem:
    try:
        data = read_photo(Path(path))
        reduced(data, shorter_side=1)  # decodes the whole file, as the converter will
        return hashlib.sha256(data).hexdigest()
    except OSError as error:
        return PhotoProblem("", UNREADABLE, f"cannot be opened: {error.strerror}")
    except UnreadablePhotoError as error:
        suffix = os.path.splitext(path)[1].lower()
        detail = f"{suffix} files are not supported; save it as JPEG or PNG" if suffix in _OTHER_FORMATS else str(error)
        return PhotoProblem("", UNREADABLE, detail)
