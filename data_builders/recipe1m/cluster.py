"""Decodes photos and writes records with Apache Beam, on as many machines as its runner has.

The text is read where the build is started, which takes minutes. Two Beam jobs do the work that takes hours:

1. The recipes are written to disk in batches. A worker decodes the photos of a batch and writes the records, including
   the reduced photos, beside it. The build reads back only a few numbers per photo, in order, for the report.
2. When the classes are known, TFDS's own pipeline reads the records, serialises, sorts and writes them.

All files pass through the folder of the collection, so every machine must mount it and the download at the same paths.
Workers may be lost and batches may be processed twice: all results of a batch are equal, and the first one is used.
"""

import collections
import contextlib
import dataclasses
import io
import itertools
import pickle
import shlex
import shutil
import socket
import tempfile
import warnings
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.passes.photo_pass import LoadPhotos, small_files, split_of
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import Encoded, Outcome
from data_builders.recipe1m.spool import Spool, read_spool

BATCH = 500
"""Number of recipes in a batch, which takes a worker a few seconds."""

_RECIPES, _DONE, _PHOTOS = "recipes.pickle", "done", "photos.pickle"


class Cluster:
    """Runs the Beam jobs of one conversion.

    Args:
        folder: New folder that all workers mount.
        runner: Beam runner. None selects the one in `options`.
        options: Options of the runner. None selects its defaults.
    """

    def __init__(self, folder: Path, runner: Any = None, options: PipelineOptions | None = None):
        self._folder, self._runner, self._options = folder.absolute(), runner, options
        self._batches: list[tuple[str, collections.Counter[str]]] = []

    def load(
        self, load: LoadPhotos, root: Path, outcomes: Iterator[Outcome], without_photos: bool
    ) -> Iterator[tuple[Outcome, list[Photo] | None]]:
        """Yields each outcome with its photos, whose JPEG files stay in the folder, or None if it is dropped anyway."""
        folders = []
        while batch := list(itertools.islice(outcomes, BATCH)):
            folder = self._folder / f"{len(folders):06}"
            folder.mkdir(parents=True)
            (folder / _RECIPES).write_bytes(pickle.dumps(batch))
            folders.append(str(folder))
        task = _LoadBatch(load, root.absolute(), without_photos)
        with beam.Pipeline(runner=self._runner, options=self._options) as pipeline:
            _ = pipeline | beam.Create(folders) | beam.Reshuffle() | "Photos" >> beam.Map(task)
        for folder in folders:
            recipes = pickle.loads((Path(folder) / _RECIPES).read_bytes())
            photos, splits = pickle.loads((Path(folder) / _DONE / _PHOTOS).read_bytes())
            self._batches.append((folder, splits))
            yield from zip(recipes, photos, strict=True)

    def examples(self, split: str, class_ids: Sequence[int]) -> beam.PTransform:
        """Returns the transform that produces the records of a split, each with its id, given their class ids."""
        parts, ids = [], iter(class_ids)
        for folder, splits in self._batches:
            if splits[split]:
                parts.append((folder, list(itertools.islice(ids, splits[split]))))
        return beam.Create(parts) | beam.Reshuffle() | "Records" >> beam.FlatMap(_read_batch, split)

    def close(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self._folder)


@dataclasses.dataclass(frozen=True)
class _LoadBatch:
    """Decodes the photos of a batch and writes its records and a description of the photos beside it."""

    load: LoadPhotos
    root: Path
    without_photos: bool

    def __call__(self, folder: str) -> None:
        warnings.filterwarnings("ignore", module="PIL")  # the problems of photos are reported instead
        if not self.root.is_dir():  # otherwise all photos would count as missing
            raise RuntimeError(f"{socket.gethostname()}: {self.root} is missing; all workers must mount it")
        attempt = Path(tempfile.mkdtemp(dir=folder))
        spool, photos, splits = Spool(attempt), [], collections.Counter()
        for outcome in pickle.loads((Path(folder) / _RECIPES).read_bytes()):
            if not isinstance(outcome, Encoded):
                photos.append(None)
                continue
            loaded = self.load(outcome)
            if split := split_of(outcome, loaded, self.without_photos):
                spool.add(split, outcome.record, small_files(loaded))
                splits[split] += 1
            photos.append([dataclasses.replace(photo, jpeg=None) for photo in loaded])
        spool.close()
        (attempt / _PHOTOS).write_bytes(pickle.dumps((photos, splits)))
        try:
            attempt.rename(Path(folder) / _DONE)
        except OSError:
            if not (Path(folder) / _DONE).is_dir():
                raise
            shutil.rmtree(attempt)  # another worker has processed the batch


def _read_batch(part: tuple[str, list[int]], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    folder, class_ids = part
    records = read_spool(Path(folder) / _DONE / split)
    for class_id, (fields, images) in zip(class_ids, records, strict=True):
        yield fields["id"], {**fields, "class_id": class_id, "images": images}


@contextlib.contextmanager
def failures() -> Generator[None]:
    """Converts the failure of a pipeline to a one-line `UserError`; Beam itself logs the worker's messages."""
    try:
        yield
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        raise UserError(f"the Beam pipeline failed: {lines[-1].partition(' [while running')[0]}") from error
    except (grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise UserError(f"the Beam runner does not respond ({type(error).__name__}); check --beam-options") from error


def pipeline_options(flags: str) -> PipelineOptions:
    """Parses the value of `--beam-options`. Flags that Beam does not recognise are passed to the runner.

    Raises:
        UserError: A flag is malformed, or the runner is missing or unknown.
    """
    stderr = io.StringIO()
    try:
        options = PipelineOptions(shlex.split(flags))
        runner = options.view_as(StandardOptions).runner
        with contextlib.redirect_stderr(stderr):
            options.get_all_options(retain_unknown_options=True)
        if not runner:
            raise ValueError(f"{flags!r} names no runner, as in --beam-options='--runner=FlinkRunner ...'")
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(f"--beam-options: {error}") from None
    except SystemExit:  # raised by argparse, which prints its usage
        raise UserError(f"--beam-options: {stderr.getvalue().splitlines()[-1].partition('error: ')[2]}") from None
    return options
