"""What a training run reads: batches in the order of the epoch plans, and the validation split after each epoch."""

import dataclasses
import itertools
from collections.abc import Generator, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from adamine_jax.distributed import mesh as devices
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors, open_vectors
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.records import RecordIndex
from adamine_jax.models import registry
from adamine_jax.models.adamine import AdaMine
from adamine_jax.runs import embedding
from adamine_jax.training.frozen_features import FrozenBackbone
from adamine_jax.training.state import TrainState

PLANNED_ROWS = 2_000_000
"""Rows planned at a time: while an epoch is validated, the first batches of the next one are read already."""

Batches = Generator[dict[str, jax.Array], None, None]


class Feed:
    """The batches of a run, on its mesh.

    Args:
        config: of the run.
        directory: the workdir, which keeps the features of a frozen backbone.
        splits: the records of 'train' and 'val'.
        model: both towers.
        mesh: with the axis 'data'.
        damage: takes the damaged records.
    """

    def __init__(
        self,
        config,
        directory: Path,
        splits: dict[str, RecordIndex],
        model: AdaMine,
        mesh: Mesh,
        damage: Damage,
    ):
        self._config, self._directory, self._splits = config, directory, splits
        self._model, self._mesh, self._damage = model, mesh, damage
        self._vectors = {split: open_vectors(config, splits[split]) for split in ("train", "val")}
        self._epochs = range(0)  # those that the two iterators below are set up for
        self._train: Batches = _nothing()
        self._val: Batches = _nothing()
        self.steps_per_epoch = len(self.plan(0))

    def plan(self, epoch: int) -> np.ndarray:
        """(steps, B) record numbers of an epoch; the number of steps is the same in every epoch."""
        config = self._config
        return epoch_plan(self._splits["train"].class_id, config.seed, epoch, config.batch_size)

    def is_frozen(self, epoch: int) -> bool:
        """Whether the backbone of the towers is frozen in an epoch."""
        return epoch < self._config.unfreeze_epoch and bool(self._model.backbone)

    def train_batches(self, epoch: int, state: TrainState) -> Iterator[dict[str, jax.Array]]:
        """The batches that are left of an epoch; they must be used up before those of the next one are asked for.

        Args:
            epoch: from 0.
            state: before the first of them.
        """
        step = int(state.step)
        if epoch not in self._epochs:
            self._set_up(epoch, step, state)
        return itertools.islice(self._train, (epoch + 1) * self.steps_per_epoch - step)

    def val_batches(self) -> Batches:
        """The validation split once more; see `embedding.split_batches`."""
        return self._val

    def close(self) -> None:
        """Stops reading ahead."""
        self._train.close()
        self._val.close()

    def _set_up(self, epoch: int, step: int, state: TrainState) -> None:
        config, train, val = self._config, self._splits["train"], self._splits["val"]
        is_cached = self.is_frozen(epoch) and config.cache_frozen_features > 0
        end = min(config.unfreeze_epoch, config.epochs) if is_cached else config.epochs
        ahead = max(PLANNED_ROWS // (self.steps_per_epoch * config.batch_size), 1)
        self.close()
        self._epochs = range(epoch, min(epoch + ahead, end))
        vectors = self._frozen(state) if is_cached else self._vectors
        plans = np.concatenate([self.plan(planned) for planned in self._epochs])
        batches = pipeline.train_batches(
            train,
            plans[step - epoch * self.steps_per_epoch :],
            first_step=step,
            rows=devices.local_rows(config.batch_size),
            seed=config.seed,
            data=config.data,
            recipe_fields=registry.recipe_fields(config.model),
            vectors=vectors["train"],
            damage=self._damage,
        )
        self._train = pipeline.to_devices(batches, self._mesh)
        if len(val):
            times = len(self._epochs)
            self._val = embedding.split_batches(val, config, self._mesh, self._damage, vectors["val"], times)

    def _frozen(self, state: TrainState) -> dict[str, Vectors]:
        """What the frozen backbone sees, computed once, in place of the photos."""
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        backbone = FrozenBackbone(self._directory, self._config, self._model, variables, self._mesh, self._damage)
        frozen = dict(self._vectors)
        for split, features in (("train", backbone.random_crops), ("val", backbone.central_crops)):
            if len(self._splits[split]):
                frozen[split] = dataclasses.replace(frozen[split], photos=features(self._splits[split]))
        return frozen


def _nothing() -> Batches:
    yield from ()
