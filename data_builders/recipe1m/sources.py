"""Sources of data, and which of them a folder holds: the JSON layers with photos, or else `data_lmdb`."""

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
    """What the converter asks of a source of data, in this order: `check` or `prepare`, then the rest.

    Attributes:
        report: What was kept, what was not, and why.
        vocabulary: The words that the records are coded by, with their vectors; set by `prepare`.
        class_names: Names of the classes; the first one is the background.
    """

    report: Report
    vocabulary: Vocabulary
    class_names: list[str]

    def check(self) -> None:
        """Reads everything and decides what is kept; writes nothing but what `report` says."""
        ...

    def prepare(self) -> None:
        """As `check`, and keeps what `examples` needs in the folder of the conversion.

        Raises:
            UserError: A file cannot be used, or nothing would be kept.
        """
        ...

    def partitions(self) -> list[str]:
        """The partitions that have recipes, of 'train', 'val' and 'test'."""
        ...

    def examples(self, partition: str) -> Iterator[dict[str, Any]]:
        """The records of a partition, with the fields that the builder's `features` names."""
        ...


def is_lmdb(source: Path) -> bool:
    """Whether `data_lmdb` is what is read: it is there, and not all of the JSON layers are."""
    return _has_lmdb(source) and not all(path.is_file() for path in Layers.files(source))


def check_files(source: Path) -> None:
    """Raises a `UserError` unless the folder holds all files of one form."""
    if is_lmdb(source):
        lmdb_conversion.check_files(source)
    else:
        Layers.check_files(source)


def fingerprint(source: Path, options: Options) -> dict[str, str]:
    """SHA-256 of each file, but those of photos, that decides what a conversion of `source` gives."""
    return (lmdb_conversion if is_lmdb(source) else source_files).fingerprint(source, options)


def open_conversion(
    source: Path, options: Options, folder: Path, workers: int, cluster: "Cluster | None" = None
) -> Source:
    """The conversion of what the folder holds; arguments as for `Conversion`.

    Raises:
        UserError: a file is missing or cannot be used.
    """
    check_files(source)
    if is_lmdb(source):
        if cluster:
            raise UserError(f"{data_lmdb.FOLDER} is converted on one machine: leave Beam's options out")
        return LmdbConversion(source, options, folder, workers)
    opened = Conversion(source, options, folder, workers, cluster)
    if _has_lmdb(source):
        opened.report.notes.append(f"the JSON layers were read and {data_lmdb.FOLDER}, which is there too, was not")
    return opened


def _has_lmdb(source: Path) -> bool:
    return (source / data_lmdb.FOLDER).is_dir()
