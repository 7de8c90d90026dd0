"""A conversion's photos and records by Apache Beam, on as many machines as its runner has.

The text is read where the build was started, which takes minutes. What takes hours goes to Beam's workers:

1. The recipes are put on the disk in batches. A worker takes one, makes its photos small, and puts the records beside
   it, photos included; of what it saw, only a few numbers a photo are read back, in order, for the report.
2. Once there are classes, TFDS's own pipeline reads the records, serialises, sorts and writes them.

Everything goes through one folder, that of the collection, so all machines have to mount it, and the download, at the
same path. A worker may be lost, and a batch be done twice: the first result stands, and all of them are the same.
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
from data_builders.recipe1m.passes.text_pass import Encoded, Fate
from data_builders.recipe1m.spool import Spool, read_spool

BATCH = 500
"""Records of layer 1 that a worker takes at once: some seconds of work."""

_RECIPES, _DONE, _SEEN = "recipes.pickle", "done", "seen.pickle"


class Cluster:
    """Does the costly part of one conversion.

    Args:
        folder: a new folder, which all workers see as well.
        runner: Beam's runner; None: the one that `options` name.
        options: for it; None: its defaults.
    """

    def __init__(self, folder: Path, runner: Any = None, options: PipelineOptions | None = None):
        self._folder, self._runner, self._options = folder.absolute(), runner, options
        self._batches: list[tuple[str, collections.Counter[str]]] = []

    def load(
        self, load: LoadPhotos, root: Path, fates: Iterator[Fate], without_photos: bool
    ) -> Iterator[tuple[Fate, list[Photo] | None]]:
        """Yields each item with its photos, whose files stay in the folder; with None where it is left out anyway."""
        folders = self._write(fates)
        task = _LoadBatch(load, root.absolute(), without_photos)
        with beam.Pipeline(runner=self._runner, options=self._options) as pipeline:
            _ = pipeline | beam.Create(folders) | beam.Reshuffle() | "Photos" >> beam.Map(task)
        for folder in folders:
            recipes = pickle.loads((Path(folder) / _RECIPES).read_bytes())
            seen, splits = pickle.loads((Path(folder) / _DONE / _SEEN).read_bytes())
            self._batches.append((folder, splits))
            yield from zip(recipes, seen, strict=True)

    def examples(self, split: str, class_ids: Sequence[int]) -> beam.PTransform:
        """What gives the records of a split, each with its id.

        Args:
            split: its name.
            class_ids: of its records, in the order of the recipes.
        """
        parts, ids = [], iter(class_ids)
        for folder, splits in self._batches:
            if splits[split]:
                parts.append((folder, list(itertools.islice(ids, splits[split]))))
        return beam.Create(parts) | beam.Reshuffle() | "Records" >> beam.FlatMap(_read_batch, split)

    def close(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self._folder)

    def _write(self, fates: Iterator[Fate]) -> list[str]:
        folders = []
        while batch := list(itertools.islice(fates, BATCH)):
            folder = self._folder / f"{len(folders):06}"
            folder.mkdir(parents=True)
            (folder / _RECIPES).write_bytes(pickle.dumps(batch))
            folders.append(str(folder))
        return folders


@dataclasses.dataclass(frozen=True)
class _LoadBatch:
    """Makes the photos of a batch small, and puts its records and what was seen beside it."""

    load: LoadPhotos
    root: Path
    without_photos: bool

    def __call__(self, folder: str) -> None:
        warnings.filterwarnings("ignore", module="PIL")  # the oddities of photos are looked after
        if not self.root.is_dir():  # or else all of its photos would count as missing
            raise RuntimeError(f"{socket.gethostname()} does not see {self.root}; all workers must mount it")
        attempt = Path(tempfile.mkdtemp(dir=folder))
        spool, seen, splits = Spool(attempt), [], collections.Counter()
        for fate in pickle.loads((Path(folder) / _RECIPES).read_bytes()):
            if not isinstance(fate, Encoded):
                seen.append(None)
                continue
            loaded = self.load(fate)
            if split := split_of(fate, loaded, self.without_photos):
                spool.add(split, fate.record, small_files(loaded))
                splits[split] += 1
            seen.append([dataclasses.replace(photo, jpeg=None) for photo in loaded])
        spool.close()
        (attempt / _SEEN).write_bytes(pickle.dumps((seen, splits)))
        try:
            attempt.rename(Path(folder) / _DONE)
        except OSError:
            if not (Path(folder) / _DONE).is_dir():
                raise
            shutil.rmtree(attempt)  # the batch was done by another worker as well


def _read_batch(part: tuple[str, list[int]], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    folder, class_ids = part
    records = read_spool(Path(folder) / _DONE / split)
    for class_id, (fields, images) in zip(class_ids, records, strict=True):
        yield fields["id"], {**fields, "class_id": class_id, "images": images}


@contextlib.contextmanager
def failures() -> Generator[None]:
    """Makes a `UserError` of one line of a pipeline that failed; Beam itself logs what the worker says."""
    try:
        yield
    except RuntimeError as error:
        said = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        raise UserError(f"Beam's pipeline failed: {said[-1].partition(' [while running')[0]}") from error
    except (grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise UserError(f"Beam's runner does not answer ({type(error).__name__}); see --beam-options") from error


def pipeline_options(flags: str) -> PipelineOptions:
    """Beam's options out of one text.

    Raises:
        UserError: they name no runner or one that Beam does not have, or are none. (Flags that Beam does not know are
            handed to the runner, which may.)
    """
    said = io.StringIO()
    try:
        options = PipelineOptions(shlex.split(flags))
        runner = options.view_as(StandardOptions).runner
        with contextlib.redirect_stderr(said):
            options.get_all_options(retain_unknown_options=True)
        if not runner:
            raise ValueError(f"{flags!r} names no runner, as in --beam-options='--runner=FlinkRunner ...'")
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(f"--beam-options: {error}") from None
    except SystemExit:  # argparse, with a page of usage
        raise UserError(f"--beam-options: {said.getvalue().splitlines()[-1].partition('error: ')[2]}") from None
    return options
