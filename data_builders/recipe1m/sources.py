"""Selects the source of data in a folder: the JSON layers with photos, or else `data_lmdb`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.conversion import Conversion
from data_builders.recipe1m.layers import source_files
from data_builders.recipe1m.layers.reading import Layers
from data_builders.recipe1m.lmdb import conversion as lmdb_conversion
from data_builders.recipe1m.lmdb import data_lmdb
from data_builders.recipe1m.lmdb.conversion import LmdbConversion
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.vocabulary import Vocabulary

if TYPE_CHECKING:  # Apache Beam may be absent
    from data_builders.recipe1m.cluster import Cluster


class Source(Protocol):
    """A source of data. The converter calls either `check` or `prepare` first, then the other methods.

    Attributes:
        report: Recipes that are kept, and recipes that are dropped with the reasons.
        vocabulary: Words of the record ids, with their vectors; set by `prepare`.
        class_names: Names of the classes; the first one is the background.
    """

    report: Report
    vocabulary: Vocabulary
    class_names: list[str]

    def check(self) -> None:
        """Reads all recipes and selects those to keep; writes only to `report`."""
        ...

    def prepare(self) -> None:
        """Does what `check` does, and stores what `examples` needs in the folder of the conversion.

        Raises:
            UserError: A file cannot be used, or no recipe would be kept.
        """
        ...

    def partitions(self) -> list[str]:
        """Returns the partitions that have recipes, from 'train', 'val' and 'test'."""
        ...

    def examples(self, partition: str) -> Iterator[dict[str, Any]]:
        """Yields the records of a partition, with the fields of the builder's `features`."""
        ...


def is_lmdb(source: Path) -> bool:
    """Returns whether `data_lmdb` is read: it exists, and the JSON layers are incomplete."""
    return _has_lmdb(source) and not all(path.is_file() for path in Layers.files(source))


def check_files(source: Path) -> None:
    """Raises a `UserError` unless the folder contains all files of one source."""
    (lmdb_conversion if is_lmdb(source) else Layers).check_files(source)


def fingerprint(source: Path, options: Options) -> dict[str, str]:
    """Returns the SHA-256 of each file, except photos, that affects a conversion of `source`."""
    return (lmdb_conversion if is_lmdb(source) else source_files).fingerprint(source, options)


def open_conversion(
    source: Path, options: Options, folder: Path, workers: int, cluster: "Cluster | None" = None
) -> Source:
    """Returns the conversion of a folder; the arguments are those of `Conversion`.

    Raises:
        UserError: A file is missing or cannot be used.
    """
    check_files(source)
    if is_lmdb(source):
        if cluster:
            raise UserError(f"{data_lmdb.FOLDER} is converted on one machine; remove the Beam options")
        return LmdbConversion(source, options, folder, workers)
    conversion = Conversion(source, options, folder, workers, cluster)
    if _has_lmdb(source):
        conversion.report.notes.append(f"the JSON layers were read; {data_lmdb.FOLDER}, which also exists, was not")
    return conversion


def _has_lmdb(source: Path) -> bool:
    return (source / data_lmdb.FOLDER).is_dir()
