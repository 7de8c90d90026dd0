"""Builds a collection, unless the same one exists already."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import require
from data_builders.file_errors import os_errors_reported
from data_builders.gc_tuning import rare_gc
from data_builders.recipe1m.metadata import VERSION, describe, differences
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.sources import check_files, fingerprint
from data_builders.workplace import move_into_place, workplace

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_WORKPLACE = ".recipe1m.incomplete"


def build(
    source: Path, out: Path, options: Options, *, workers: int, overwrite: bool, beam: str | None = None
) -> tuple[Path, str]:
    """Converts a download into `<out>/recipe1m/<version>/`.

    The collection is written to a temporary folder in `out` and renamed at the end, so an interrupted build leaves an
    existing collection unchanged. The next build deletes what an interrupted one left.

    Args:
        source: Folder of the download.
        out: Folder of the collections.
        options: Options of the conversion.
        workers: Number of processes that read text, and of threads that decode photos.
        overwrite: Whether to replace an existing collection.
        beam: Command-line flags of Apache Beam, whose workers then decode the photos and write the records.

    Returns:
        The folder of the collection and the summary to print.

    Raises:
        UserError: The download or one of its files cannot be used, another collection exists, or another build is
            writing to the same place.
        ModuleNotFoundError: A package that the conversion needs is not installed.
    """
    check_files(source)
    beam_options = None
    if beam is not None:
        from data_builders.recipe1m.cluster import pipeline_options  # Apache Beam may be missing

        beam_options = pipeline_options(beam)
    place = out / "recipe1m" / VERSION
    if place.exists() and not overwrite:
        requested = describe(options, fingerprint(source, options))
        if changes := differences(_read_metadata(place), requested):
            raise UserError(f"{place} contains another collection: {'; '.join(changes)}; add --overwrite to replace it")
        return place, "already built"
    require("tensorflow", "tensorflow_datasets", "gensim", "matplotlib")
    busy = f"another build is writing to {out}; wait for it or choose another --out"
    with os_errors_reported(out), workplace(out / _WORKPLACE, place, out=out, busy=busy) as folder:
        built, summary = _build_in(folder, source, options, workers, beam_options)
        move_into_place(built, place, folder)
        return place, summary


def _read_metadata(place: Path) -> dict:
    try:
        metadata = json.loads((place / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        metadata = None
    if not isinstance(metadata, dict):
        raise UserError(f"{place} exists but is not a collection of this command; add --overwrite to replace it")
    return metadata


def _build_in(
    folder: Path, source: Path, options: Options, workers: int, beam_options: "PipelineOptions | None"
) -> tuple[Path, str]:
    """Runs TFDS without its messages; returns the folder of the new collection and the summary."""
    # TensorFlow reads these variables when it is imported, which takes seconds.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from data_builders.recipe1m.recipe1m_dataset_builder import Builder

    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(manual_dir=source, try_download_gcs=False, beam_options=beam_options)
    # The path is absolute because Beam's workers may run in another directory.
    builder = Builder(data_dir=os.path.abspath(folder), options=options, workers=workers)
    try:
        with contextlib.redirect_stdout(io.StringIO()), rare_gc():
            builder.download_and_prepare(download_config=config)
    except tf.errors.OpError as error:
        raise UserError(f"{folder}: cannot be written ({error})") from error
    return Path(builder.data_dir), builder.summary
