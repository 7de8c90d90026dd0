"""Near neighbours of the train recipes, from which batches with hard negatives are made; see docs/training.md."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from adamine_jax.base import files, storage
from adamine_jax.distributed.broadcast import run_on_first
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors
from adamine_jax.input.reading import read_groups
from adamine_jax.input.records import RecordIndex
from adamine_jax.models.adamine import AdaMine
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
        model: Both towers.
        mesh: Mesh to embed on.
        damage: Counter of damaged records.
        index: Record index, whose first `count` records are the train split's pairs.
        count: N.
        vectors: Precomputed vectors of these records.
    """

    workdir: Path
    config: Any
    model: AdaMine
    mesh: Mesh
    damage: Damage
    index: RecordIndex
    count: int
    vectors: Vectors

    def table(self, epoch: int) -> np.ndarray:
        """Returns the (N, K) int32 table of an epoch; see `near_negatives`. K = 0 before the first table."""
        first = self._first_epoch(epoch)
        return np.load(self._path(first)) if first else np.zeros((self.count, 0), np.int32)

    def next_update(self, epoch: int) -> int:
        """Returns the first epoch after `epoch` that has another table."""
        return self._first_epoch(epoch) + self.config.neighbours.every_epochs

    def update(self, epoch: int, state: TrainState) -> None:
        """Computes the table of an epoch from the parameters of `state`, unless it is there.

        Raises:
            UserError: Too many records are damaged.
            OSError: The table cannot be written.
        """
        first = self._first_epoch(epoch)
        path = self._path(first)
        storage.fetch(path)
        if not first or run_on_first(path.exists):
            return
        numbers = np.arange(self.count)
        batches = split_batches(self.index, self.config, self.mesh, self.damage, self.vectors, numbers=numbers)
        embedder = Embedder(self.model, self.config, self.mesh, self.damage)
        title = f"embedding the train split before epoch {epoch + 1}"
        parts = list(embedder.embed_batches(state.model, self.index, numbers, title, batches))
        _, readable, image, recipe = (np.concatenate(rows) for rows in zip(*parts, strict=True))

        def write() -> None:
            groups = np.where(readable, read_groups(self.index, numbers, self.damage), -1)
            image[~readable] = recipe[~readable] = 0  # what is not finite would disturb top_k
            found = near_negatives(image, recipe, groups, margin=self.config.neighbours.margin, top=CANDIDATES)
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic_write(path) as temporary:
                files.save_array(temporary, found)

        run_on_first(write)
        storage.fetch(path)  # in the other processes

    def _first_epoch(self, epoch: int) -> int:
        """Returns the epoch before which the table of `epoch` is computed; 0 = it has none."""
        return epoch - epoch % self.config.neighbours.every_epochs

    def _path(self, epoch: int) -> Path:
        return self.workdir / FOLDER / f"epoch_{epoch:04d}.npy"
