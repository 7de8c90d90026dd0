"""Finds the files of the photos that recipes list."""

import functools
import os
import re
from pathlib import Path

import msgspec

# Image ids become paths, so no other characters are allowed.
IMAGE_ID = re.compile(r"[0-9a-fA-F]{10}\.jpg")


class Listed(msgspec.Struct, array_like=True, gc=False):
    """A photo that a recipe lists, before it is read.

    Attributes:
        id: Image id in layer 2.
        path: Path of the file; empty if it cannot be used.
        problem: Reason why it cannot be used.
    """

    id: str
    path: str = ""
    problem: str = ""


def image_root(source: Path) -> Path:
    """Returns the folder of the photos: `images/` in the download if it exists, or else the download itself."""
    return source / "images" if (source / "images").is_dir() else source


def photo_pattern(root: Path) -> str:
    """Describes the paths that photos are searched at."""
    return f"{root}/<partition>/a/b/c/d/abcd….jpg, then without <partition>/"


def find_photo(root: Path, partition: str, image_id: str) -> Listed:
    """Searches for `<root>/<partition>/a/b/c/d/abcd….jpg`, then, as in Recipe1M+, without the partition."""
    if not IMAGE_ID.fullmatch(image_id):
        return Listed(image_id[:40], problem="its id is not 10 hex digits and .jpg")
    folders = (os.path.join(root, partition), str(root))
    places = ("/".join((folder, *image_id[:4], image_id)) for folder in folders if _is_folder(folder, image_id[0]))
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        return Listed(image_id, problem="missing")
    if not _is_below(path, *folders):
        return Listed(image_id, problem="a symbolic link to a file outside the folder of the photos")
    return Listed(image_id, path)


@functools.lru_cache
def _is_folder(folder: str, name: str) -> bool:
    """Returns whether a folder exists. Cached: most downloads have only one of the two layouts."""
    return os.path.isdir(os.path.join(folder, name))


def _is_below(path: str, *folders: str) -> bool:
    """Returns whether the file that `path` resolves to is in one of the folders, which may be links themselves."""
    parent, name = os.path.split(path)
    real = os.path.realpath(path) if os.path.islink(path) else os.path.join(_real_folder(parent), name)
    return any(real.startswith(_real_folder(folder).rstrip(os.sep) + os.sep) for folder in folders)


@functools.lru_cache(1 << 16)
def _real_folder(folder: str) -> str:
    """Returns `os.path.realpath(folder)`, but examines each folder of a tree only once."""
    parent, name = os.path.split(folder)
    if not name or parent == folder or name in (os.curdir, os.pardir) or os.path.islink(folder):
        return os.path.realpath(folder)
    return os.path.join(_real_folder(parent or os.curdir), name)
