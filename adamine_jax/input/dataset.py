"""A converted data set on disk: its shards, vocabulary and metadata."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.files import check_regular
from adamine_jax.input.damage import Damage
from adamine_jax.input.record_index import RecordIndex, load_index

_FILES = ("metadata.json", "words.txt", "classes.json", "dataset_info.json")
_SHARD = re.compile(r"(.+\.tfrecord)-\d{5}-of-(\d{5})")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set written by `python -m data_builders.recipe1m`.

    Attributes:
        folder: Folder of the TFRecord shards and the other files.
        words: The V words of the vocabulary; word k has the id k + 2.
        class_names: Names of the classes; `class_names[0]` is the background.
        vocabulary_digest: SHA-256 of the words and their vectors. A model belongs to one vocabulary.
        unknown_ingredients: How ingredient names outside the vocabulary were handled: "drop", or "words" if they were
            split into words.
        photo_side: Shorter side of a stored photo in pixels. Smaller photos were not resized.
    """

    folder: Path
    words: tuple[str, ...]
    class_names: tuple[str, ...]
    vocabulary_digest: str
    unknown_ingredients: str = "drop"
    photo_side: int = 256

    @property
    def table_rows(self) -> int:
        """Rows of the word table: padding, `</i>`, the words, and one for unknown words."""
        return len(self.words) + 3

    def word_vectors(self) -> np.ndarray:
        """Loads the (V, dim) float32 word2vec vectors, rows of unit norm, in the order of `words`."""
        storage.fetch(self.folder / "word_vectors.npy")
        return np.load(self.folder / "word_vectors.npy")

    def shards(self, split: str) -> list[Path]:
        """Returns the TFRecord files of a split ('train', 'val' or 'test') in order; empty if it has no recipes.

        Raises:
            UserError: Files are missing, according to the names of the others (`-00000-of-00002`) or to TFDS's list.
        """
        files = {path.name: path for path in storage.glob(self.folder, f"*-{split}.tfrecord-*")}
        expected = set(_listed_shards(self.folder, split))
        for stem, count in {(match[1], int(match[2])) for match in map(_SHARD.fullmatch, files) if match}:
            expected |= {f"{stem}-{number:05d}-of-{count:05d}" for number in range(count)}
        if missing := sorted(expected - set(files)):
            named = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UserError(
                f"{self.folder}: {len(missing)} of the {len(expected)} files of the {split} split are missing "
                f"({named}); copy them again, or convert the data set again with --overwrite"
            )
        return [files[name] for name in sorted(files)]

    def index(self, split: str, damage: Damage | None = None) -> RecordIndex:
        """Loads the record index of a split; see `load_index`.

        Raises:
            UserError: Files are missing, a file has another number of records than TFDS's list says, or see
                `load_index`.
        """
        index = load_index(self.shards(split), damage)
        lengths = _listed_shards(self.folder, split)
        left_out = [int(str(line).split("\t")[0]) for line in index.left_out]
        counts = np.bincount([*index.shard, *left_out], minlength=len(index.shards))
        for path, count in zip(index.shards, counts.tolist(), strict=True):
            if count != (length := lengths.get(path.name, count)):
                raise UserError(
                    f"{path}: {count:,} records instead of the {length:,} that dataset_info.json lists; copy the file "
                    "again, or convert the data set again with --overwrite"
                )
        return index


def _listed_shards(folder: Path, split: str) -> dict[str, int]:
    """Returns the files of a split and their numbers of records, according to `dataset_info.json` of TFDS, if any."""
    try:
        info = json.loads((folder / "dataset_info.json").read_text())
        name = info["name"]
        lengths = {entry["name"]: [int(length) for length in entry["shardLengths"]] for entry in info["splits"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    found = lengths.get(split, [])
    return {f"{name}-{split}.tfrecord-{number:05d}-of-{len(found):05d}": length for number, length in enumerate(found)}


def open_dataset(directory: str | Path, name: str = "recipe1m") -> Dataset:
    """Opens the data set in a directory.

    Args:
        directory: The `--out` of the converter, or the folder of the shards; a path or a URL.
        name: Name of the TFDS data set.

    Raises:
        UserError: The directory contains no data set, several, or a damaged one.
    """
    directory = storage.local(directory)
    # At most <name>/<config>/<version>/ of TFDS. This also finds the shards, which are not copied.
    storage.fetch(directory, *(f"*{name}" for name in _FILES), depth=4)
    if not directory.is_dir():
        raise UserError(f"data.dir = {directory}: no such folder; give the --out of `python -m data_builders.recipe1m`")
    patterns = ("metadata.json", f"{name}/*/metadata.json", f"{name}/*/*/metadata.json")
    found = sorted(
        path.parent for pattern in patterns for path in directory.glob(pattern) if ".incomplete" not in str(path)
    )
    if not found and any((directory / mark).exists() for mark in ("layer1.json", "data_lmdb")):
        raise UserError(
            f"data.dir = {directory}: a download that has not been converted; "
            f"run `python -m data_builders.recipe1m --source {directory} --out data` and use data.dir = data"
        )
    if not found:
        raise UserError(
            f"data.dir = {directory}: no complete {name} data set; "
            f"make one with `python -m data_builders.recipe1m --source DOWNLOAD --out {directory}`"
        )
    if len(found) > 1:
        folders = ", ".join(str(folder) for folder in found)
        raise UserError(f"data.dir = {directory}: several data sets; give one of {folders}")
    folder = found[0]
    try:
        for name in ("metadata.json", "words.txt", "classes.json"):
            check_regular(folder / name)
        metadata = json.loads((folder / "metadata.json").read_text())
        dataset = Dataset(
            folder=folder,
            words=tuple((folder / "words.txt").read_bytes().decode().split("\n")[:-1]),
            class_names=tuple(json.loads((folder / "classes.json").read_text())),
            vocabulary_digest=metadata["vocabulary_digest"],
            unknown_ingredients=metadata.get("options", {}).get("unknown_ingredients", "drop"),
            photo_side=metadata.get("options", {}).get("resize", 256),
        )
        if len(dataset.words) != metadata["words"]:
            raise ValueError(f"words.txt has {len(dataset.words)} words instead of {metadata['words']}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{folder}: damaged data set ({error}); convert it again with --overwrite") from None
    return dataset
