"""Builds the collection in its place, or finds that it is there already."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import how_to_get, require
from data_builders.file_errors import told_in_one_line
from data_builders.garbage import seldom_collected
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

    Everything is written into a folder beside it and renamed at the end: the collection is there whole, or as it was
    before. What an interrupted build left is deleted by the next one.

    Args:
        source: the download's folder.
        out: where the collection goes.
        options: what to do.
        workers: processes that read the text, and threads that decode photos.
        overwrite: replace what is there.
        beam: options of Apache Beam, one text: its workers decode photos and write records.

    Returns:
        The folder and the summary to print.

    Raises:
        UserError: the download or one of the files cannot be used, another collection is there, or another build is
            running in the same place.
        ModuleNotFoundError: a package that the conversion needs is not installed.
    """
    check_files(source)
    beam_options = None if beam is None else _beam_options(beam)
    place = out / "recipe1m" / VERSION
    if place.exists() and not overwrite:
        wanted = describe(options, fingerprint(source, options))
        if changes := differences(_read_metadata(place), wanted):
            raise UserError(f"{place} holds another collection: {'; '.join(changes)}; add --overwrite to replace it")
        return place, "already built"
    require("tensorflow", "tensorflow_datasets", "gensim", "matplotlib")
    busy = f"another build is writing to {out}; wait for it or choose another --out"
    with told_in_one_line(out), workplace(out / _WORKPLACE, place, out=out, busy=busy) as folder:
        built, summary = _build_in(folder, source, options, workers, beam_options)
        move_into_place(built, place, folder)
        return place, summary


def _read_metadata(place: Path) -> dict:
    try:
        metadata = json.loads((place / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        metadata = None
    if not isinstance(metadata, dict):
        raise UserError(f"{place} is there, but is no collection of this command; add --overwrite to replace it")
    return metadata


def _beam_options(flags: str) -> "PipelineOptions":
    try:
        from data_builders.recipe1m.cluster import pipeline_options
    except ModuleNotFoundError:
        raise UserError(f"--beam-options {how_to_get('apache_beam')}") from None
    return pipeline_options(flags)


def _build_in(
    folder: Path, source: Path, options: Options, workers: int, beam_options: "PipelineOptions | None"
) -> tuple[Path, str]:
    """Runs TFDS without its messages; returns the new folder and the summary."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # TensorFlow takes seconds to import, and reads these variables when it is.
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from data_builders.recipe1m.recipe1m_dataset_builder import Builder

    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(manual_dir=source, try_download_gcs=False, beam_options=beam_options)
    # Workers of Beam may have another working directory.
    builder = Builder(data_dir=os.path.abspath(folder), options=options, workers=workers)
    try:
        with contextlib.redirect_stdout(io.StringIO()), seldom_collected():
            builder.download_and_prepare(download_config=config)
    except tf.errors.OpError as error:
        raise UserError(f"{folder}: writing failed ({error})") from error
    return Path(builder.data_dir), builder.summary
