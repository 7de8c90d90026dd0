"""Finds the photo files that a record lists and checks that they can be read."""

import dataclasses
import difflib
import hashlib
import os
import re
import unicodedata
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adamine_jax.recipes.decoding import read_photo, reduced
from adamine_jax.recipes.photo_structure import UnreadablePhotoError
from adamine_jax.recipes.photos import SUFFIXES

_LINK = re.compile(r"(?:https?|ftps?|file|data|blob|s3|gs):|//", re.IGNORECASE)
_MAX_SIMILAR = 5000  # names that are compared with a missing one
_OTHER_FORMATS = (".svg", ".pdf", ".mp4", ".mov", ".jxl", ".dng", ".cr2", ".nef", ".psd")

LINK = "links, which are not downloaded"
OUTSIDE = "outside the input folder; --allow-outside accepts them"
MISSING = "missing"
UNREADABLE = "unreadable"
NOT_A_PATH = "not a path"


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
    """Finds photos in the input folder `root`, and with `allow_outside` in others, and caches their digests.

    A name also matches in another case, in another Unicode normal form, and without its suffix. A name without a
    folder is found anywhere in `root` if it is there once.

    Args:
        root: Folder of the input.
        unpacked: Folder with the photos of archives.
        allow_outside: Whether photos may be in other folders.
        digest_of: Returns the digest of a file, or its problem.
    """

    def __init__(
        self,
        root: Path,
        *,
        unpacked: Path | None = None,
        allow_outside: bool,
        digest_of: "Callable[[str], str | PhotoProblem] | None" = None,
    ):
        self._digest_of = digest_of or photo_digest
        self._root, self._allow_outside = os.path.realpath(root), allow_outside
        self._roots = [self._root, *([os.path.realpath(unpacked)] if unpacked else [])]
        self._indexes: dict[str, tuple[dict[str, list[str]], dict[str, str]]] = {}
        self._digests: dict[str, str | PhotoProblem] = {}

    def find(self, folder: Path, listed: str) -> PhotoFile | PhotoProblem:
        """Returns the photo `listed` by a record of a file in `folder`, or its problem."""
        found = self._find(folder, listed)
        if any(listed.startswith(unpacked + os.sep) for unpacked in self._roots[1:]):
            return dataclasses.replace(found, listed=os.path.basename(listed))  # not the temporary path
        return found

    def _find(self, folder: Path, listed: str) -> PhotoFile | PhotoProblem:
        if _LINK.match(listed):
            return PhotoProblem(listed, LINK)
        if not listed:
            return PhotoProblem(listed, MISSING)
        try:
            path = next(filter(os.path.isfile, _candidates(folder, listed)), None)
        except ValueError:  # a character that paths cannot contain
            return PhotoProblem(listed, MISSING)
        detail = ""
        if path is None:
            path, detail = self._similar(folder, listed)
        if path is None:
            is_inside = self._is_inside(_candidates(folder, listed)[0])
            return PhotoProblem(listed, MISSING if is_inside else OUTSIDE, detail if is_inside else "")
        if not self._is_inside(path):
            return PhotoProblem(listed, OUTSIDE)
        digest = self._digests.get(path)
        if digest is None:  # two threads may compute the same digest
            digest = self._digests[path] = self._digest_of(path)
        if isinstance(digest, PhotoProblem):
            return PhotoProblem(listed, digest.kind, digest.detail)
        return PhotoFile(listed, Path(path), digest)

    def _similar(self, folder: Path, listed: str) -> tuple[str | None, str]:
        """Returns the file whose name differs only in case, normal form or suffix; or None and a similar name."""
        root = self._root_of(folder)
        files, names = self._indexed(root)
        is_of_site = listed.startswith("/")  # "/images/pie.jpg" in the front matter of a page
        for candidate in _candidates(folder, listed.lstrip("/")):
            path = _folded(os.path.relpath(os.path.normpath(candidate), root))
            name = os.path.basename(path)
            has_folder = os.path.dirname(os.path.normpath(listed).replace("\\", "/")) and not is_of_site
            for key in [path] if has_folder else [path, f"*/{name}"]:
                if len(found := files.get(key, ())) == 1:
                    return found[0], ""
                if found:
                    return None, f"{len(found)} photos have this name; give its folder"
            # A path from another root: "attachments/pie.jpg" in "vault/Recipes/Pie.md" is in "vault/attachments".
            end = f"/{_folded(os.path.normpath(listed.lstrip('/')).replace(os.sep, '/'))}"
            below = [file for file in files.get(f"*/{name}", ()) if _folded(file).endswith(end)]
            if has_folder and len(below) == 1:
                return below[0], ""
        near = difflib.get_close_matches(_folded(os.path.basename(listed)), names, n=1, cutoff=0.8)
        return None, f"similar: {os.path.relpath(names[near[0]], root)}" if near else ""

    def _root_of(self, folder: Path) -> str:
        """Returns the folder in which names are searched: that of the archive that a record is in, or the input's."""
        real = os.path.realpath(folder)
        for unpacked in self._roots[1:]:
            if real.startswith(unpacked + os.sep):
                return os.path.join(unpacked, os.path.relpath(real, unpacked).split(os.sep)[0])
        return self._root

    def _indexed(self, root: str) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Returns the files below a root by folded path, by name, and by both without the suffix; and their names.

        The names are empty if there are too many to search for similar ones.
        """
        if root not in self._indexes:  # two threads may make the same index
            files = self._files(root)
            names = {_folded(os.path.basename(path)): path for paths in files.values() for path in paths}
            self._indexes[root] = files, names if len(names) <= _MAX_SIMILAR else {}
        return self._indexes[root]

    @staticmethod
    def _files(root: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for parent, folders, files in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = os.path.join(parent, name)
                if not os.path.isfile(path):
                    continue
                folded = _folded(os.path.relpath(path, root))
                by_name = f"*/{os.path.basename(folded)}"
                for key in dict.fromkeys(
                    (folded, by_name, *(os.path.splitext(key)[0] for key in (folded, by_name) if _is_photo(key)))
                ):
                    found.setdefault(key, []).append(path)
        return found

    def _is_inside(self, path: str) -> bool:
        if self._allow_outside:
            return True
        try:
            real = os.path.realpath(path)
            return any(os.path.commonpath([root, real]) == root for root in self._roots)
        except ValueError:
            return True  # not a valid path, reported as missing


def _candidates(folder: Path, listed: str) -> list[str]:
    """Returns the path as written, with URL escapes decoded, with other separators, and without a query."""
    paths = [listed, urllib.parse.unquote(listed), listed.replace("\\", "/")]
    paths += [re.split(r"[?#]", path)[0] for path in paths]
    return [os.path.join(folder, path) for path in dict.fromkeys(paths) if path]


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _is_photo(path: str) -> bool:
    return os.path.splitext(path)[1] in SUFFIXES


def photo_digest(path: str) -> str | PhotoProblem:
    """Returns the hexadecimal SHA-256 of a photo's bytes, or its problem."""
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
