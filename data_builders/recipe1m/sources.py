"""Which form of the data a folder holds: the JSON layers with photos, or else `data_lmdb`."""

from pathlib import Path
from typing import TYPE_CHECKING

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.conversion import Conversion
from data_builders.recipe1m.layers import source_files
from data_builders.recipe1m.layers.reading import Layers
from data_builders.recipe1m.lmdb import conversion as lmdb_conversion
from data_builders.recipe1m.lmdb import data_lmdb
from data_builders.recipe1m.lmdb.conversion import LmdbConversion
from data_builders.recipe1m.options import Options

if TYPE_CHECKING:  # Apache Beam may be absent
    from data_builders.recipe1m.cluster import Cluster


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
) -> Conversion | LmdbConversion:
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
