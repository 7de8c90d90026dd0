"""Near neighbours of the train recipes, from which batches with hard negatives are made; see docs/training.md."""

import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from adamine_jax.base import files, storage
from adamine_jax.base.errors import UserError, shown
from adamine_jax.distributed.broadcast import run_on_first
from adamine_jax.distributed.preemption import StopRequest
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors
from adamine_jax.input.reading import read_groups
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.retrieval.neighbours import CANDIDATES, near_negatives
from adamine_jax.runs.embedding import Embedder, split_batches
from adamine_jax.training.state import TrainState

FOLDER = "neighbours"


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Tables of near neighbours, `neighbours/epoch_<number>.npy` in the workdir.

    A table is computed every `config.neighbours.every_epochs` epochs and kept, so a resumed run has the same batches.

    Attributes:
        workdir: Workdir of the run.
        config: Configuration of the run.
        embedder: Embeds with both towers.
        mesh: Mesh to embed on.
        damage: Counter of damaged records.
        train: Record index of the train split's N pairs.
    """

    workdir: Path
    config: Any
    embedder: Embedder
    mesh: Mesh
    damage: Damage
    train: RecordIndex

    def table(self, epoch: int) -> np.ndarray:
        """Returns the (N, K) int32 table of an epoch; see `near_negatives`. K = 0 before the first table.

        Raises:
            UserError: The table is missing or damaged.
        """
        first = self._first_epoch(epoch)
        if not first:
            return np.zeros((len(self.train), 0), np.int32)
        found = self._load(first)
        if found is None:
            raise UserError(f"{shown(self._path(first))}: missing or damaged; rerun the command to compute it again")
        return found

    def next_update(self, epoch: int) -> int:
        """Returns the first epoch after `epoch` that has another table."""
        return self._first_epoch(epoch) + self.config.neighbours.every_epochs

    def update(
        self, epoch: int, state: TrainState, steps_per_epoch: int, vectors: Vectors, request: StopRequest
    ) -> None:
        """Computes the table of an epoch from the parameters of `state`, unless it is there.

        Args:
            epoch: Epoch, from 0.
            state: State at a step of this epoch.
            steps_per_epoch: Number of steps of an epoch.
            vectors: Precomputed vectors of the train split.
            request: Stop request.

        Raises:
            Stopped: A stop was requested.
            UserError: Too many records are damaged.
            OSError: The table cannot be written.
        """
        first = self._first_epoch(epoch)
        if not first or run_on_first(lambda: self._load(first) is not None):
            return
        step, path = int(state.step), self._path(first)
        if step != first * steps_per_epoch:
            line = (
                f"{shown(path)}: missing or damaged; recomputing it from the parameters of step {step}, so the "
                "batches differ from those of an uninterrupted run"
            )
            run_on_first(lambda: print(line, flush=True))
        numbers = np.arange(len(self.train))
        batches = split_batches(self.train, self.config, self.mesh, self.damage, vectors, numbers=numbers)
        title = f"embedding the train split before epoch {epoch + 1}"
        with contextlib.closing(batches):
            watched = request.watched(batches, step)
            parts = list(self.embedder.embed_batches(state.model, self.train, numbers, title, watched))
        _, readable, image, recipe = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        del parts  # as large as the result

        def write() -> None:
            image[~readable] = recipe[~readable] = 0  # what is not finite would disturb top_k
            groups = np.where(readable, self._groups, -1)
            found = near_negatives(image, recipe, groups, margin=self.config.neighbours.margin, top=CANDIDATES)
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic_write(path) as temporary:
                files.save_array(temporary, found)

        run_on_first(write)

    @functools.cached_property
    def _groups(self) -> np.ndarray:
        """The (N,) digests of the recipes' texts."""
        return read_groups(self.train, np.arange(len(self.train)), self.damage)

    def _load(self, first: int) -> np.ndarray | None:
        """Returns the table that is computed before the epoch `first`; None if it is missing or damaged."""
        path, rows = self._path(first), len(self.train)
        storage.fetch(path)
        try:
            found = np.load(path)
        except (OSError, ValueError, EOFError):
            return None
        is_table = found.dtype == np.int32 and found.shape == (rows, CANDIDATES)
        return found if is_table and found.min() >= -1 and found.max() < rows else None

    def _first_epoch(self, epoch: int) -> int:
        """Returns the epoch before which the table of `epoch` is computed; 0 = it has none."""
        return epoch - epoch % self.config.neighbours.every_epochs

    def _path(self, epoch: int) -> Path:
        return self.workdir / FOLDER / f"epoch_{epoch:04d}.npy"
