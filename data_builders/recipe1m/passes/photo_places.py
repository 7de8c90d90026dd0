"""Where the photos that a recipe lists are."""

import functools
import os
import re
from pathlib import Path

import msgspec

# The id becomes a path: nothing but these characters may get there.
IMAGE_ID = re.compile(r"[0-9a-fA-F]{10}\.jpg")


class Listed(msgspec.Struct, array_like=True, gc=False):
    """A photo a recipe lists, before it is read.

    Attributes:
        id: as layer 2 has it.
        path: of its file; empty where it cannot be used.
        problem: why not.
    """

    id: str
    path: str = ""
    problem: str = ""


def image_root(source: Path) -> Path:
    """The folder with the photos: `images/` in the download, or else the download itself."""
    return source / "images" if (source / "images").is_dir() else source


def photo_pattern(root: Path) -> str:
    """Where photos are looked for, to be told to a person."""
    return f"{root}/<partition>/a/b/c/d/abcd….jpg, then without <partition>/"


def find_photo(root: Path, partition: str, image_id: str) -> Listed:
    """Looks for a photo, and never raises for a bad one.

    It is `<root>/<partition>/a/b/c/d/abcd….jpg`, or else, as in Recipe1M+, the same without the partition.
    """
    if not IMAGE_ID.fullmatch(image_id):
        return Listed(image_id[:40], problem="its id is not 10 hex digits and .jpg")
    folders = (os.path.join(root, partition), str(root))
    places = ("/".join((folder, *image_id[:4], image_id)) for folder in folders if _is_folder(folder, image_id[0]))
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        return Listed(image_id, problem="missing")
    if not _is_below(path, *folders):
        return Listed(image_id, problem="a symbolic link to outside of the folder of the photos")
    return Listed(image_id, path)


@functools.lru_cache
def _is_folder(folder: str, name: str) -> bool:
    """Whether there are photos like this at all: most downloads have one of two layouts, and looking takes a while."""
    return os.path.isdir(os.path.join(folder, name))


def _is_below(path: str, *folders: str) -> bool:
    """Whether a file is in one of the folders, which may be links themselves, and not in another place linked to."""
    parent, name = os.path.split(path)
    real = os.path.realpath(path) if os.path.islink(path) else os.path.join(_real_folder(parent), name)
    return any(real.startswith(_real_folder(folder).rstrip(os.sep) + os.sep) for folder in folders)


@functools.lru_cache(1 << 16)
def _real_folder(folder: str) -> str:
    """What `os.path.realpath` says, with one look at each folder of a tree."""
    parent, name = os.path.split(folder)
    if not name or parent == folder or name in (os.curdir, os.pardir) or os.path.islink(folder):
        return os.path.realpath(folder)
    return os.path.join(_real_folder(parent or os.curdir), name)
