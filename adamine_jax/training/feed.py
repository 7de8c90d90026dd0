"""Input of a training run: the batches of the epoch plans, and the validation split after each epoch."""

import dataclasses
import itertools
from collections.abc import Generator, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from adamine_jax.distributed import mesh as devices
from adamine_jax.distributed.preemption import StopRequest
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors
from adamine_jax.input.plan import epoch_plan, neighbour_plan, with_text
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.input.tokens import open_inputs
from adamine_jax.models.adamine import AdaMine
from adamine_jax.runs import embedding
from adamine_jax.runs.embedding import Embedder
from adamine_jax.training.frozen_features import FrozenBackbone
from adamine_jax.training.neighbours import Neighbours
from adamine_jax.training.state import TrainState

PLANNED_ROWS = 2_000_000
"""Rows planned at a time, so that the next epoch's first batches are prefetched during validation."""

Batches = Generator[dict[str, jax.Array], None, None]


class Feed:
    """Batches of a run, on its mesh; `splits` has 'train' and 'val', and `directory` is the workdir."""

    def __init__(
        self,
        config,
        directory: Path,
        splits: dict[str, RecordIndex],
        model: AdaMine,
        embedder: Embedder,
        mesh: Mesh,
        damage: Damage,
    ):
        self._config, self._directory, self._splits = config, directory, dict(splits)
        self._pairs = splits["train"]
        if text_rows(config):
            self._splits["train"] = self._pairs.joined(splits["text"])
        self._model, self._mesh, self._damage = model, mesh, damage
        self._vectors = {split: open_inputs(config, self._splits[split]) for split in ("train", "val")}
        self._neighbours = Neighbours(directory, config, embedder, mesh, damage, self._pairs)
        self._epochs = range(0)  # covered by the two iterators below
        self._train: Batches = _empty()
        self._val: Batches = _empty()
        self.steps_per_epoch = len(self.plan(0))

    def feature_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the (F,) mean and standard deviation of the given features of the train split's photos."""
        photos = self._vectors["train"].photos
        assert photos is not None, "the image tower reads photos"
        features = np.asarray(photos.values[np.unique(photos.rows)], np.float32)
        return features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)

    @property
    def ids(self) -> np.ndarray:
        """Ids of the records that `plan` numbers."""
        return self._splits["train"].ids

    def plan(self, epoch: int) -> np.ndarray:
        """Returns the (steps, B) record numbers of an epoch; every epoch has the same number of steps.

        Recipes without photos, the last rows of each batch, follow the train split's in their numbers.
        """
        config, count = self._config, text_rows(self._config)
        size = config.batch_size - count
        if config.batches == "neighbours":
            table, section = self._neighbours.table(epoch), config.neighbours
            plan = neighbour_plan(table, config.seed, epoch, size, section.share, section.size)
        else:
            plan = epoch_plan(self._pairs.class_id, config.seed, epoch, size)
        if not count:
            return plan
        return with_text(plan, len(self._pairs), len(self._splits["train"]), config.seed, epoch, count)

    def is_frozen(self, epoch: int) -> bool:
        """Whether the towers' backbone is frozen in `epoch`."""
        return epoch < self._config.unfreeze_epoch and bool(self._model.backbone)

    def train_batches(self, epoch: int, state: TrainState, request: StopRequest) -> Iterator[dict[str, jax.Array]]:
        """Returns the batches of an epoch after `state`; they must be consumed before the next epoch is requested.

        Raises:
            Stopped: `request` was made while the train split was embedded. The state is that of the last checkpoint.
        """
        step = int(state.step)
        if epoch not in self._epochs:
            self._set_up(epoch, step, state, request)
        return itertools.islice(self._train, (epoch + 1) * self.steps_per_epoch - step)

    def val_batches(self) -> Batches:
        """Returns one more pass over the validation split; see `embedding.split_batches`."""
        return self._val

    def close(self) -> None:
        """Stops prefetching."""
        self._train.close()
        self._val.close()

    def _set_up(self, epoch: int, step: int, state: TrainState, request: StopRequest) -> None:
        config, train, val = self._config, self._splits["train"], self._splits["val"]
        is_cached = self.is_frozen(epoch) and config.cache_frozen_features > 0
        end = min(config.unfreeze_epoch, config.epochs) if is_cached else config.epochs
        vectors = self._frozen_vectors(state) if is_cached else self._vectors
        if config.batches == "neighbours":
            self._neighbours.update(epoch, state, self.steps_per_epoch, vectors["train"], request)
            end = min(end, self._neighbours.next_update(epoch))
        num_planned = max(PLANNED_ROWS // (self.steps_per_epoch * config.batch_size), 1)
        self.close()
        self._epochs = range(epoch, min(epoch + num_planned, end))
        plans = np.concatenate([self.plan(planned) for planned in self._epochs])
        batches = pipeline.train_batches(
            train,
            plans[step - epoch * self.steps_per_epoch :],
            config,
            first_step=step,
            rows=devices.local_rows(config.batch_size),
            vectors=vectors["train"],
            damage=self._damage,
            with_photo=len(self._pairs),
        )
        self._train = pipeline.to_devices(batches, self._mesh)
        if len(val):
            times = len(self._epochs)
            self._val = embedding.split_batches(val, config, self._mesh, self._damage, vectors["val"], times)

    def _frozen_vectors(self, state: TrainState) -> dict[str, Vectors]:
        """Returns the vectors of each split, with the frozen backbone's features in place of photos."""
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        backbone = FrozenBackbone(self._directory, self._config, self._model, variables, self._mesh, self._damage)
        frozen = dict(self._vectors)
        for split, features in (("train", backbone.random_crops), ("val", backbone.central_crops)):
            if len(self._splits[split]):
                frozen[split] = dataclasses.replace(frozen[split], photos=features(self._splits[split]))
        return frozen


def text_rows(config) -> int:
    """Returns the number of rows of a batch that are recipes without photos."""
    return round(config.data.text_share * config.batch_size)


def _empty() -> Batches:
    yield from ()
