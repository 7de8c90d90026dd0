"""The files of a download, besides the photos, that affect a conversion."""

import hashlib
from pathlib import Path

from data_builders.file_errors import file_exists
from data_builders.recipe1m.layers.reading import Layers
from data_builders.recipe1m.options import Options

_LISTS = ("remove1M.txt", "food101_classes_renamed.txt")


def vocabulary_file(source: Path, options: Options) -> Path | None:
    """Returns the given vocabulary, or else the download's; None if word vectors are to be trained."""
    return options.vocab or _first_existing(source / "vocab.bin", source / "vocab.pkl")


def classes_file(source: Path, options: Options) -> Path | None:
    """Returns the given file of classes, or else the download's; None if classes are derived from the titles."""
    return options.classes or _first_existing(source / "classes1M.pkl")


def fingerprint(source: Path, options: Options) -> dict[str, str]:
    """Returns the SHA-256 of each file, except photos, that affects a conversion of `source`."""
    files = {path.name: path for path in (*Layers.files(source), *(source / name for name in _LISTS))}
    files |= {"the vocabulary": vocabulary_file(source, options), "the file of classes": classes_file(source, options)}
    return digests(files)


def digests(files: dict[str, Path | None]) -> dict[str, str]:
    """Returns the SHA-256 of the files that exist."""
    found = {}
    for name, path in files.items():
        if path and path.is_file():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _first_existing(*paths: Path) -> Path | None:
    return next((path for path in paths if file_exists(path)), None)
