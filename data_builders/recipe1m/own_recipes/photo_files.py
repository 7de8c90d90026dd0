"""The photos that a record lists, as files: where they are, and whether they can be read."""

import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from adamine_jax.recipes.decoding import UnreadablePhotoError, read_photo, reduced

_LINK = re.compile(r"(?:https?|ftps?|file|data|blob|s3|gs):|//", re.IGNORECASE)
_OTHER_FORMATS = (".heic", ".heif", ".avif", ".svg", ".pdf", ".mp4", ".mov", ".jxl", ".dng", ".cr2", ".nef", ".psd")

LINK = "links, which are not downloaded"
OUTSIDE = "outside of the input's folder; --allow-outside takes them"
MISSING = "missing"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo that can be read.

    Attributes:
        listed: as the record has it.
        path: the file.
        digest: SHA-256 of its bytes, in hexadecimal digits.
    """

    listed: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class PhotoProblem:
    """A photo that cannot be used, of which kind the problem is, and what else there is to say of it."""

    listed: str
    kind: str
    detail: str = ""


class PhotoFinder:
    """Looks photos up.

    Args:
        root: the input's folder.
        allow_outside: take photos from other folders too.
    """

    def __init__(self, root: Path, *, allow_outside: bool):
        self._root, self._allow_outside = os.path.realpath(root), allow_outside
        self._known: dict[str, str | PhotoProblem] = {}

    def find(self, folder: Path, listed: str) -> PhotoFile | PhotoProblem:
        """The photo `listed` by a record whose file is in `folder`; never raises for a bad one."""
        if _LINK.match(listed):
            return PhotoProblem(listed, LINK)
        try:
            place = next(filter(os.path.isfile, _candidates(folder, listed)), None)
        except ValueError:  # a character that no path has
            place = None
        if place is None:
            escapes = not self._is_inside(_candidates(folder, listed)[0])
            return PhotoProblem(listed, OUTSIDE if escapes else MISSING)
        if not self._is_inside(place):
            return PhotoProblem(listed, OUTSIDE)
        digest = self._known.get(place)
        if digest is None:  # two threads may both look: they find the same
            digest = self._known[place] = _digest(place)
        if isinstance(digest, PhotoProblem):
            return PhotoProblem(listed, digest.kind, digest.detail)
        return PhotoFile(listed, Path(place), digest)

    def _is_inside(self, path: str) -> bool:
        if self._allow_outside:
            return True
        try:
            return os.path.commonpath([self._root, os.path.realpath(path)]) == self._root
        except ValueError:
            return True  # no path at all: missing


def _candidates(folder: Path, listed: str) -> list[str]:
    """A path as it is written, with the escapes of a link resolved, and with the separators of Windows."""
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
        detail = f"{suffix} files are not read; save it as JPEG or PNG" if suffix in _OTHER_FORMATS else str(error)
        return PhotoProblem("", UNREADABLE, detail)
