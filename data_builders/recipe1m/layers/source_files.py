"""The files of a download that decide what a conversion gives, besides the photos."""

import hashlib
from pathlib import Path

from data_builders.file_errors import is_there
from data_builders.recipe1m.layers.reading import Layers
from data_builders.recipe1m.options import Options

_LISTS = ("remove1M.txt", "food101_classes_renamed.txt")


def vocabulary_file(source: Path, options: Options) -> Path | None:
    """The vectors to use: those that were asked for, or else the download's; None: train them."""
    return options.vocab or _first_there(source / "vocab.bin", source / "vocab.pkl")


def classes_file(source: Path, options: Options) -> Path | None:
    """The classes to use: those that were asked for, or else the download's; None: make them from the titles."""
    return options.classes or _first_there(source / "classes1M.pkl")


def fingerprint(source: Path, options: Options) -> dict[str, str]:
    """SHA-256 of each file but photos that decides what a conversion of `source` gives."""
    files = {path.name: path for path in (*Layers.files(source), *(source / name for name in _LISTS))}
    files |= {"the vocabulary": vocabulary_file(source, options), "the file of classes": classes_file(source, options)}
    return digests(files)


def digests(files: dict[str, Path | None]) -> dict[str, str]:
    """SHA-256 of those files that are there."""
    found = {}
    for name, path in files.items():
        if path and path.is_file():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _first_there(*paths: Path) -> Path | None:
    return next((path for path in paths if is_there(path)), None)
