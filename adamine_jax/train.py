"""The training loop: batches in the order of the epoch plans, a validation after each epoch, the test at the end."""

import dataclasses
import resource
import sys
import time
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from adamine_jax import config as configuration
from adamine_jax import devices, embedding, report, workdir
from adamine_jax.checkpoints import Checkpoints
from adamine_jax.errors import UserError
from adamine_jax.feed import Feed
from adamine_jax.fine_tuning import init_from
from adamine_jax.import_weights import load_image_weights
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import Dataset, open_dataset
from adamine_jax.input.features import read_matrix
from adamine_jax.input.plan import batch_shares
from adamine_jax.input.records import RecordIndex, load_index
from adamine_jax.losses.triplet import SEMANTIC_STRATEGIES
from adamine_jax.metrics_log import MetricsLog
from adamine_jax.models.adamine import AdaMine, build_model, init_variables
from adamine_jax.progress import Progress
from adamine_jax.retrieval.protocols import DIRECTIONS, evaluate
from adamine_jax.state import TrainState, create_state, learning_rate, make_train_step, zero_sums

LARGEST_FULL_VALIDATION = 10_000
"""Pairs up to which validation ranks all of them at once; a larger split is measured on 10 draws of 1,000."""


def train(config: ml_collections.ConfigDict, directory: str | Path, mesh: Mesh | None = None) -> dict[str, dict]:
    """Trains, validates each epoch, and tests the best checkpoint; a run that was interrupted goes on.

    Args:
        config: of the run; see `configs/adamine.py`.
        directory: the workdir. What it holds afterwards is listed in the README.
        mesh: to train on, with the one axis 'data'; all devices of all processes where it is not given.

    Returns:
        The test's results, as `eval_test.json` holds them.

    Raises:
        UserError: the configuration, the data set or the workdir cannot be used, or training went astray.
    """
    configuration.check(config)
    mesh = mesh or devices.make_mesh()
    devices.check_batch_size(config.batch_size, mesh)
    dataset = open_dataset(config.data.dir, config.data.name)
    config = _with_dims(config, dataset)
    num_classes = len(dataset.class_names) if config.loss.classifier_weight else None
    model = build_model(config.model, table_rows=dataset.table_rows, num_classes=num_classes)
    damage = Damage(config.data.max_damaged)
    splits = {split: load_index(dataset.shards(split), damage) for split in ("train", "val", "test")}
    _check_splits(config, dataset, splits)

    directory = Path(directory)
    with workdir.locked(directory):
        workdir.claim(directory, config, dataset, splits["train"])
        _Run(config, directory, dataset, splits, model, mesh, damage).finish()
        return report.run_test(directory, damage)


RECALLS = ("r1", "r5", "r10")


@dataclasses.dataclass
class _Run:
    """One process's view of a training run."""

    config: ml_collections.ConfigDict
    directory: Path
    dataset: Dataset
    splits: dict[str, RecordIndex]
    model: AdaMine
    mesh: Mesh
    damage: Damage

    def __post_init__(self):
        self.feed = Feed(self.config, self.directory, self.splits, self.model, self.mesh, self.damage)
        self.steps_per_epoch = self.feed.steps_per_epoch
        rate = learning_rate(self.config, self.steps_per_epoch)
        self.train_step = make_train_step(self.model, self.config, self.mesh, rate)
        self.embed_step = embedding.make_embed_step(self.model, self.mesh)

    def finish(self) -> None:
        """Trains from the last checkpoint, or from the start, to the last epoch."""
        checkpoints = Checkpoints(self.directory, self.config.checkpoint.keep, self.config.checkpoint.best_by)
        last_step = self.config.epochs * self.steps_per_epoch
        state = self.first_state(checkpoints)
        done = int(state.step)
        log = MetricsLog(self.directory, step=done)
        if last_step == 0 and checkpoints.latest_step() is None:
            checkpoints.save(state)  # the untrained model, to be tested for comparison
        try:
            with Progress("training", last_step, "step", initial=min(done, last_step)) as progress:
                for epoch in range(done // self.steps_per_epoch, self.config.epochs):
                    state = self.train_epoch(epoch, state, log, checkpoints, progress)
        finally:
            self.feed.close()
            checkpoints.close()
            log.close()

    def first_state(self, checkpoints: Checkpoints) -> TrainState:
        """The state of the last checkpoint, or a new one with word vectors and image weights where they are given."""
        config = self.config

        def variables(word_vectors: np.ndarray | None = None) -> dict[str, Any]:
            return init_variables(
                self.model,
                jax.random.key(config.seed),
                image_size=config.data.image_size,
                max_words=config.model.max_words,
                feature_dim=config.model.image.feature_dim,
                sentence_dim=config.model.sentence_dim,
                word_vectors=word_vectors,
            )

        if (step := checkpoints.latest_step()) is not None:
            print(f"going on from step {step} of {self.directory}", flush=True)
            like = jax.eval_shape(lambda: create_state(config, variables(), self.mesh))
            return checkpoints.restore(step, like, self.mesh)
        first = variables(config.model.word_norm * self.dataset.word_vectors())
        if config.train.init_from:
            first = init_from(Path(config.train.init_from), first, self.dataset)
        elif config.model.image.weights:
            first = load_image_weights(config.model.image.weights, first)
        elif config.unfreeze_epoch > 0 and not config.data.image_features:
            print(_RANDOM_RESNET.format(epochs=min(config.unfreeze_epoch, config.epochs)), file=sys.stderr, flush=True)
        return create_state(config, first, self.mesh)

    def train_epoch(
        self, epoch: int, state: TrainState, log: MetricsLog, checkpoints: Checkpoints, progress: Progress
    ) -> TrainState:
        """Trains on what is left of an epoch, then validates and saves."""
        config = self.config
        first_step = int(state.step)
        frozen = self.feed.is_frozen(epoch)
        batches = self.feed.train_batches(epoch, state)
        start, before = time.monotonic(), epoch * self.steps_per_epoch
        last_step = before + self.steps_per_epoch
        for step, batch in enumerate(batches, start=first_step + 1):
            state = self.train_step(state, batch, frozen=frozen)
            note = ""
            if (step - before) % config.train.log_every_steps == 0 or step == last_step:
                state, means = self.log_train(epoch, state, log)
                note = f"epoch {epoch + 1}, loss {means['loss']:.4f}, bad pairs {means['bad_pairs']:.2f}"
            progress.update(note=note)
            # The epoch's last state is saved with its validation: a run must not go on from there without one.
            if config.checkpoint.every_steps and step % config.checkpoint.every_steps == 0 and step < last_step:
                checkpoints.save(state)
        rate = (last_step - first_step) * config.batch_size / (time.monotonic() - start)
        scores = self.validate(state, epoch)
        if scores:
            log.write(int(state.step), epoch, "val", scores)
        progress.print(_epoch_line(epoch, config.epochs, note, rate, scores))
        best_by = config.checkpoint.best_by
        checkpoints.save(state, {best_by: scores[best_by]} if scores else None)
        return state

    def log_train(self, epoch: int, state: TrainState, log: MetricsLog) -> tuple[TrainState, dict[str, float]]:
        """Writes the means since the last line and begins new sums; stops a run in which no step works any more."""
        sums = {name: float(total) for name, total in jax.device_get(state.sums).items()}
        steps, step, streak = max(sums.pop("steps"), 1), int(state.step), int(state.streak)
        means = {name: total / steps for name, total in sums.items()}
        counts = {"skipped_steps": int(state.skipped), "damaged_records": self.damage.count}
        log.write(step, epoch, "train", means | counts | _peak_memory())
        if streak >= self.config.train.nonfinite_streak:
            raise UserError(
                f"the loss or its gradient was not finite in the last {streak} steps, up to step {step}; "
                "try a lower config.optim.lr, or config.model.dtype='float32'"
            )
        return dataclasses.replace(state, sums=zero_sums(self.config, state.params, self.mesh)), means

    def validate(self, state: TrainState, epoch: int) -> dict[str, float]:
        """Recalls and median ranks on the validation split, empty where there is none.

        `r1` is the mean of both directions, `rsum` R@1 + R@5 + R@10 likewise.
        """
        index = self.splits["val"]
        if not len(index):
            return {}
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        image, recipe, numbers = embedding.embed_split(
            self.embed_step,
            variables,
            index,
            self.config,
            self.mesh,
            f"validating epoch {epoch + 1}",
            self.damage,
            self.feed.val_batches(),
        )
        protocol = "full" if len(index) <= LARGEST_FULL_VALIDATION else "1k"
        ids = [identifier.decode() for identifier in index.ids[numbers]]
        results = evaluate(image, recipe, ids, (protocol,), self.config.eval.seed)[protocol]
        scores = {
            f"{metric}_{direction}": results[direction][metric]["mean"]
            for direction in DIRECTIONS
            for metric in ("medr", *RECALLS)
        }
        recalls = [np.mean([scores[f"{recall}_{direction}"] for direction in DIRECTIONS]) for recall in RECALLS]
        return scores | {"r1": float(recalls[0]), "rsum": float(sum(recalls))}


_RANDOM_RESNET = (
    "WARNING: the ResNet has random weights and stays frozen for the first {epochs} epochs, in which the photos tell "
    "it little. Give it ImageNet weights (config.model.image.weights) or set config.unfreeze_epoch=0."
)


def _with_dims(config: ml_collections.ConfigDict, dataset: Dataset) -> ml_collections.ConfigDict:
    """Fills in how long the vectors are that the run is given: those of words (None), photos and sentences."""
    config = config.copy_and_resolve_references()
    if config.model.word_dim is None:
        config.model.word_dim = int(dataset.word_vectors().shape[1])
    if config.data.image_features:
        matrix = read_matrix("data.image_features", config.data.image_features)
        config.model.image.feature_dim = matrix.values.shape[1]
    if config.data.sentence_vectors:
        config.model.sentence_dim = read_matrix("data.sentence_vectors", config.data.sentence_vectors).values.shape[1]
    return config


def _check_splits(config: ml_collections.ConfigDict, dataset: Dataset, splits: dict[str, RecordIndex]) -> None:
    """Says what the splits lack.

    Raises:
        UserError: training is impossible, or the loss needs classes and the records have none.
    """
    labels = splits["train"].class_id
    pairs, singles = batch_shares(labels, config.batch_size)
    semantic = config.loss.name == "triplet" and any(
        strategy in SEMANTIC_STRATEGIES for strategy in config.loss.strategies
    )
    if not splits["train"].has_classes and (semantic or config.loss.classifier_weight):
        needs = "config.loss.strategies has semantic ones" if semantic else "config.loss.classifier_weight is not 0"
        raise UserError(
            f"{dataset.folder}: its records have no class_id, but {needs}; take instance strategies alone "
            "(configs/adamine_ins.py), or convert it again with classes"
        )
    if config.loss.classifier_weight and len(dataset.class_names) < 2:
        raise UserError(
            f"{dataset.folder}: has no class but the background, so config.loss.classifier_weight must be 0; "
            "convert it with lower thresholds (--class-min-train) or take configs/adamine_ins.py"
        )
    if semantic and not pairs:
        classed = np.sum(labels != 0)
        print(
            f"{dataset.folder}: {classed} of {len(labels)} train recipes have a class, too few for same-class pairs in "
            f"every batch; the semantic losses will {'mostly ' if classed else ''}be 0",
            flush=True,
        )
    elif semantic and not singles:
        print(f"{dataset.folder}: too few recipes without a class; every batch is made of same-class pairs", flush=True)
    if not len(splits["val"]):
        print(f"{dataset.folder}: no val split; the last checkpoint counts as the best", flush=True)


def _peak_memory() -> dict[str, float]:
    """Peak memory in GiB: resident, and on an accelerator on the device as well."""
    kilobyte = 1 if sys.platform == "darwin" else 1024
    peak = {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte / 2**30}
    statistics: dict[str, Any] = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        peak["peak_device_memory_gib"] = statistics["peak_bytes_in_use"] / 2**30
    return peak


def _epoch_line(epoch: int, epochs: int, note: str, rate: float, scores: dict[str, float]) -> str:
    memory = max(_peak_memory().values())
    line = f"epoch {epoch + 1}/{epochs}: {note.partition(', ')[2]}, {rate:.0f} pairs/s, peak memory {memory:.1f} GiB"
    if scores:
        r10 = np.mean([scores[f"r10_{direction}"] for direction in DIRECTIONS])
        medr = np.mean([scores[f"medr_{direction}"] for direction in DIRECTIONS])
        line += f"; validation R@1 {scores['r1']:.1f} %, R@10 {r10:.1f} %, MedR {medr:.1f}"
    return line
