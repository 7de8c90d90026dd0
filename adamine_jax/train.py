"""The training loop, with a validation after each epoch and a test at the end."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from adamine_jax.base import extras, files, processes, storage
from adamine_jax.base.errors import UserError, shown
from adamine_jax.base.progress import Progress
from adamine_jax.checkpoints.folders import full_disk_errors
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.config.checks import check
from adamine_jax.config.overrides import resolved
from adamine_jax.distributed import mesh as devices
from adamine_jax.distributed.broadcast import run_on_first
from adamine_jax.distributed.preemption import Stopped, StopRequest
from adamine_jax.distributed.processes import check_same
from adamine_jax.gallery.split_building import write_split
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.losses.registry import build
from adamine_jax.models.adamine import build_model
from adamine_jax.retrieval import evaluators
from adamine_jax.retrieval.protocols import DIRECTIONS
from adamine_jax.runs import workdir
from adamine_jax.runs.embedding import Embedder
from adamine_jax.runs.evaluation import evaluate_split
from adamine_jax.runs.metrics_log import MetricsLog, read_metrics
from adamine_jax.runs.model_card import write_card
from adamine_jax.training import preflight
from adamine_jax.training.feed import Feed, text_rows
from adamine_jax.training.monitoring import InputClock, Trace, peak_memory
from adamine_jax.training.start import first_state
from adamine_jax.training.state import TrainState, zero_sums
from adamine_jax.training.step import make_train_step
from adamine_jax.training.validation import Validation


def train(
    config: ml_collections.ConfigDict, directory: str | Path, mesh: Mesh | None = None, profile: bool = False
) -> dict[str, dict]:
    """Trains, validates after each epoch and tests the best checkpoint; resumes an interrupted run.

    Args:
        config: Configuration of the run; see `configs/adamine.py`.
        directory: Workdir, on a file system that all processes share; the README lists its files.
        mesh: Mesh of `make_mesh`; by default all devices of all processes.
        profile: Whether to write a trace of a few steps to the workdir.

    Returns:
        The results of the test, as in `eval_test.json`.

    Raises:
        UserError: The configuration, data set or workdir cannot be used, or the loss is no longer finite.
        SystemExit: The run stopped on request after saving its state (`preemption.RUN_AGAIN`).
        DiskFull: The disk is full; rerun the same command to resume.
    """
    directory = storage.local(directory)
    with contextlib.ExitStack() as stack, full_disk_errors(directory):

        def lock() -> None:
            stack.enter_context(workdir.locked(directory))

        run = _Run(resolved(config), directory, mesh, profile, lock)
        run_on_first(lambda: workdir.claim(directory, run.config, run.dataset, run.splits["train"]))
        for name in ("config.json", "dataset.json"):
            storage.refetch(directory / name)
        run.finish()
        return run_test(directory, run.damage)


@dataclasses.dataclass
class _Outputs:
    """Outputs of a run and its stop request. Only process 0 has a log."""

    log: MetricsLog | None
    checkpoints: Checkpoints
    progress: Progress
    request: StopRequest
    trace: Trace

    def save(self, state: TrainState, scores: dict[str, float] | None = None) -> None:
        """Saves a checkpoint; see `Checkpoints.save`."""
        if self.log:
            self.log.publish()
        self.checkpoints.save(state, scores)


class _Run:
    """One process's view of a training run."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        directory: Path,
        mesh: Mesh | None,
        profile: bool,
        lock: Callable[[], None],
    ):
        check(config)
        mesh = mesh or devices.make_mesh(fsdp=config.mesh.fsdp)
        devices.check_batch_size(config.batch_size, mesh, config.accumulate)
        if config.mesh.fsdp > jax.local_device_count() and storage.is_copy(directory):
            raise UserError(
                f"--workdir {directory}: a state that is sharded over processes (config.mesh.fsdp = "
                f"{config.mesh.fsdp}) cannot be saved in an object store; use a file system that all processes share, "
                "such as the mounted bucket"
            )
        self.dataset = open_dataset(config.data.dir, config.data.name)
        self.config = config = preflight.with_dims(config, self.dataset)
        self.directory, self.mesh, self.profile = directory, mesh, profile
        self.loss = build(config.loss)
        self.damage = Damage(config.data.max_damaged)
        splits = ("train", "val", "test", *(["text"] if text_rows(config) else []))
        self.splits = {split: self.dataset.index(split, self.damage) for split in splits}
        preflight.check_splits(config, self.loss, self.dataset, self.splits)
        check_same("configuration or data set", preflight.digest(config, self.dataset, self.splits))
        run_on_first(lock)
        preflight.set_vocabulary(config, directory, self.splits["train"], self.damage)
        preflight.report_unread(config, self.dataset, self.splits["train"], self.damage)
        self.model = build_model(config.model, table_rows=self.dataset.table_rows)
        embedder = Embedder(self.model, config, mesh, self.damage)
        self.feed = Feed(config, directory, self.splits, self.model, embedder, mesh, self.damage)
        self.steps_per_epoch = self.feed.steps_per_epoch
        self.train_step = make_train_step(self.model, self.loss, config, mesh, self.steps_per_epoch)
        metrics = evaluators.build(config)
        self.validation = Validation(embedder, self.splits["val"], self.feed.val_batches, metrics)

    def finish(self) -> None:
        """Trains to the last epoch, from the last checkpoint or from the start."""
        last_step = self.config.epochs * self.steps_per_epoch
        checkpoints = Checkpoints(self.directory, self.config.checkpoint.keep, self.config.checkpoint.best_by)
        state = first_state(
            self.config,
            self.model,
            self.loss,
            self.dataset,
            self.mesh,
            checkpoints,
            self.directory,
            self.feed.feature_statistics,
        )
        done = int(state.step)
        if last_step == 0 and checkpoints.latest_step() is None:
            checkpoints.save(state)  # the untrained model, tested as a baseline
        epochs_done, steps_into_epoch = divmod(done, self.steps_per_epoch)
        is_at_end = epochs_done > 0 and steps_into_epoch == 0 and len(self.splits["val"]) > 0
        needs_validation = is_at_end and not checkpoints.is_validated(done)
        log = MetricsLog(self.directory, done, not needs_validation) if processes.is_first() else None
        stopped = None
        with (
            StopRequest() as request,
            Progress("training", last_step, "step", initial=min(done, last_step)) as progress,
            Trace(self.directory / "profile" if self.profile and processes.is_first() else None) as trace,
            contextlib.ExitStack() as closing,
        ):
            for closed in (self.feed, checkpoints, log)[::-1]:  # one after the other, whatever fails
                if closed:
                    closing.callback(closed.close)
            outputs = _Outputs(log, checkpoints, progress, request, trace)
            try:
                if needs_validation:
                    self.feed.train_batches(epochs_done - 1, state, request)
                    self.end_epoch(epochs_done - 1, state, outputs, "trained before")
                for epoch in range(epochs_done, self.config.epochs):
                    state = self.train_epoch(epoch, state, outputs)
            except Stopped as stop:
                stopped = stop
        if stopped:
            request.leave(stopped.step)

    def train_epoch(self, epoch: int, state: TrainState, outputs: _Outputs) -> TrainState:
        """Trains on the remaining batches of an epoch, then validates and saves."""
        config = self.config
        first_step, epoch_start = int(state.step), epoch * self.steps_per_epoch
        last_step = epoch_start + self.steps_per_epoch
        frozen = self.feed.is_frozen(epoch)
        clock, note = InputClock(self.feed.train_batches(epoch, state, outputs.request)), ""
        for step, batch in enumerate(clock, start=first_step + 1):
            outputs.trace.before_step(state)
            state = self.train_step(state, batch, frozen=frozen)
            clock.pending = state.step
            is_last, note = step == last_step, ""
            if (step - epoch_start) % config.train.log_every_steps == 0 or is_last:
                state, means = self.log_train(epoch, state, outputs.log, clock if is_last else None)
                note = f"epoch {epoch + 1}, loss {means['loss']:.4f}"
                if "bad_pairs" in means:
                    note += f", bad pairs {means['bad_pairs']:.2f}"
            outputs.progress.update(note=note)
            # The epoch's last state is saved with its validation, so that a resumed run does not miss it.
            is_due = config.checkpoint.every_steps and step % config.checkpoint.every_steps == 0
            stop_requested = not is_last and outputs.request.made()
            if (is_due and not is_last) or stop_requested:
                outputs.save(state)
            if stop_requested:
                raise Stopped(step)
        pairs, seconds = (last_step - first_step) * config.batch_size, clock.seconds()
        note = f"{note.partition(', ')[2]}, {pairs / seconds['epoch_seconds']:.0f} pairs/s"
        if (waited := seconds["input_wait_seconds"] / seconds["epoch_seconds"]) >= 0.05:
            note += f", {waited:.0%} of the time spent waiting for input"
        self.end_epoch(epoch, state, outputs, note)
        return state

    def end_epoch(self, epoch: int, state: TrainState, outputs: _Outputs, note: str) -> None:
        """Validates and saves.

        Raises:
            Stopped: A stop was requested during the validation. The state is saved; the resumed run validates it.
        """
        try:
            scores = self.validation.scores(state, f"validating epoch {epoch + 1}", outputs.request)
        except Stopped:
            outputs.save(state)
            raise
        if scores and outputs.log:
            outputs.log.write(int(state.step), epoch, "val", scores)
        line = f"epoch {epoch + 1}/{self.config.epochs}: {note}, peak memory {max(peak_memory().values()):.1f} GiB"
        if "r1" in scores:
            r10, medr = (np.mean([scores[f"{name}_{way}"] for way in DIRECTIONS]) for name in ("r10", "medr"))
            line += f"; validation R@1 {scores['r1']:.1f} %, R@10 {r10:.1f} %, MedR {medr:.1f}"
        outputs.progress.print(line)
        best_by = self.config.checkpoint.best_by
        outputs.save(state, {best_by: scores[best_by]} if scores else None)

    def log_train(
        self, epoch: int, state: TrainState, log: MetricsLog | None, clock: InputClock | None
    ) -> tuple[TrainState, dict[str, float]]:
        """Logs the mean metrics since the last call, and the clock of a whole epoch, and resets their sums.

        Raises:
            UserError: The loss was not finite in the last `config.train.nonfinite_streak` steps.
        """
        sums = {name: float(total) for name, total in jax.device_get(state.sums).items()}
        steps, step, streak = max(sums.pop("steps"), 1), int(state.step), int(state.streak)
        means = {name: total / steps for name, total in sums.items()}
        if log:
            counts = {"skipped_steps": int(state.skipped), "damaged_records": self.damage.count}
            seconds = clock.seconds() if clock else {}  # after the sums, which the last step computes
            log.write(step, epoch, "train", means | counts | seconds | peak_memory())
        if streak >= self.config.train.nonfinite_streak:
            path = self.directory / "nonfinite_batches.jsonl"
            if processes.is_first():
                ids = self.feed.ids
                lines = []
                for done in range(step - streak, step):
                    numbers = self.feed.plan(done // self.steps_per_epoch)[done % self.steps_per_epoch]
                    lines.append(json.dumps({"step": done + 1, "ids": [name.decode() for name in ids[numbers]]}) + "\n")
                files.write_text(path, "".join(lines))
            raise UserError(
                f"the loss or its gradient was not finite in the last {streak} steps, up to step {step} (their recipes "
                f"are listed in {path}); try a lower config.optim.lr or config.model.dtype='float32'"
            )
        return dataclasses.replace(state, sums=zero_sums(self.model, self.loss, state.params, self.mesh)), means


def run_figures(directory: Path) -> ModuleType | None:
    """Returns the module that draws figures, or None, with a line that says why, if its extra is missing."""
    try:
        from adamine_jax.plots import run_figures
    except ImportError as error:
        if not (reason := extras.missing(error)):
            raise
        hint = f"then run python -m adamine_jax.figures --workdir {shown(directory)}"
        print(f"figures skipped: {reason}, {hint}", flush=True)
        return None
    return run_figures


def run_test(directory: Path, damage: Damage) -> dict[str, dict]:
    """Tests the best checkpoint of a workdir, writes the gallery of the test split and draws figures.

    Returns:
        The results, as in `eval_test.json`; empty if there is no test split.
    """
    figures = run_figures(directory) if processes.is_first() else None
    if figures and read_metrics(directory / "metrics.jsonl"):
        figures.draw_curves(directory)
    trained = workdir.load(directory)
    if not (dataset := trained.open_dataset()).shards("test"):
        print(f"{trained.config.data.dir}: no test split; the test is skipped")
        if processes.is_first():
            write_card(trained, directory)
        return {}
    evaluated = evaluate_split(trained, directory, "test", trained.config.eval.protocols, damage)
    if processes.is_first():
        embedded = evaluated.numbers, evaluated.image, evaluated.recipe
        write_split(trained, evaluated.index, "test", *embedded, directory / "gallery" / "test", damage)
        numbers, names = evaluated.numbers, dataset.class_names
        classes = [names[number] for number in evaluated.index.class_id[numbers]]
        ids = [identity.decode() for identity in evaluated.index.ids[numbers]]
        print(shown(write_card(trained, directory, dict(zip(ids, classes, strict=True)))))
        for path in figures.draw_top5(directory, queries=4, seed=0) if figures else ():
            print(shown(path))
    if damage.count:
        print(damage.summary())
    return evaluated.results
