"""Checkpoints of a workdir: the best by validation and the last ones, with checksums of all files.

A checkpoint is written in four steps: Orbax writes `<step>.unfinished`; a manifest of the files is added; both are
synchronized to disk; the folder is renamed to `<step>`. Only then are older checkpoints deleted. Whenever the program
is killed, a folder named by a step is therefore complete and has its manifest.

Orbax's `CheckpointManager` is not used: it commits a folder before a manifest can be added, and restores corrupted data
without an error. A checkpoint without a matching manifest is treated as damaged, including those of older versions.
"""

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from adamine_jax.base import files, storage
from adamine_jax.base.errors import NO_ROOM, UserError
from adamine_jax.checkpoints import folders, manifest
from adamine_jax.checkpoints.manifest import DamagedCheckpoint
from adamine_jax.checkpoints.orbax_trees import restore_trees, save_trees
from adamine_jax.distributed.broadcast import run_on_first
from adamine_jax.distributed.mesh import replicated, state_shardings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

MODEL_FIELDS = ("params", "batch_stats")
"""Fields of the state that evaluation needs; stored separately, so that it need not read the optimizer state."""
_RERUN = "rerun the training command, which resumes from an undamaged checkpoint"


class Checkpoints:
    """The checkpoints in `<workdir>/checkpoints`; `checkpoints.folders` describes the layout.

    Opened for training, it renames damaged checkpoints; see `folders.prepare_to_resume`. Opened read-only, it changes
    nothing on disk, so a training run may be in progress; a checkpoint is verified when it is restored.

    With several processes, all of them must open, save and restore at the same points. Process 0 alone verifies; it
    also writes, in the background, if its devices have the whole state. If the state is sharded over processes, each
    writes its own parts. All processes read, so the workdir must be on a shared file system or in
    an object store.

    Args:
        workdir: Workdir of the run.
        keep: Number of last checkpoints to keep in addition to the best.
        best_by: Validation score that decides which checkpoint is the best; the later one of a tie.
        read_only: Whether nothing will be saved.

    Raises:
        UserError: All checkpoints to resume from are damaged.
    """

    def __init__(self, workdir: Path, keep: int = 2, best_by: str = "r1", read_only: bool = False):
        self._folder = workdir / folders.FOLDER
        self._keep, self._best_by = keep, best_by
        scores, unreadable = run_on_first(lambda: self._open(read_only))
        self._scores: folders.Scores = dict(scores)
        self._unreadable: dict[int, str] = dict(unreadable)  # errors of damaged manifests
        self._verified = set() if read_only else {self.latest_step(), self.best_step()}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._written: Future[None] | None = None  # only in process 0
        self._saving: tuple[int, float | None] | None = None

    def latest_step(self) -> int | None:
        """Returns the step of the last checkpoint, which is verified unless read-only; None without a checkpoint."""
        return max((*self._scores, *self._unreadable), default=None)

    def best_step(self) -> int | None:
        """Returns the step of the best validation, or the last step if none was validated; None without a checkpoint.

        Raises:
            UserError: A manifest is damaged, so that the best checkpoint is unknown; only if read-only.
        """
        for step, error in self._unreadable.items():
            alternative = "" if step == self.latest_step() else "use --checkpoint last, or "
            raise UserError(f"{self._folder}/{step}/{error}; the best checkpoint is unknown: {alternative}{_RERUN}")
        return folders.best(self._scores)

    def is_validated(self, step: int) -> bool:
        """Whether a checkpoint was saved with the score of its validation."""
        return self._scores.get(step) is not None

    def save(self, state: Any, metrics: dict[str, float] | None = None) -> None:
        """Saves a state in the background, after committing the previous checkpoint.

        A step that was saved before is not written again; only its metrics are.

        Args:
            state: Dataclass of arrays and pytrees with the fields `MODEL_FIELDS` and `step`; it may be donated to the
                next step as soon as this returns.
            metrics: Scores of the validation, including `best_by`; None for a checkpoint within an epoch.

        Raises:
            OSError: The disk was too full for the previous checkpoint. Earlier checkpoints are intact.
            UserError: The previous checkpoint could not be written for another reason. Earlier ones are intact.
        """
        self._commit(run_on_first)
        step, scores = int(state.step), {name: float(value) for name, value in (metrics or {}).items()}
        score = scores[self._best_by] if metrics else None
        if step in self._scores:
            if metrics:
                run_on_first(lambda: manifest.rewrite(self._folder / str(step), step, scores))
                self._scores[step] = score
            return
        self._saving = step, score
        kept = self._kept(self._scores | {step: score})
        superseded = [self._folder / str(old) for old in self._scores if old not in kept]
        if not all(_is_whole_here(leaf) for leaf in jax.tree.leaves(state)):
            self._write(step, vars(state), scores, superseded, together=True)
        elif jax.process_index() == 0:
            host = jax.tree.map(_of_this_process, vars(state))
            self._written = self._writer.submit(self._write, step, host, scores, superseded)

    def restore(self, step: int, like: T, mesh: Mesh) -> T:
        """Restores a whole state, sharded for a mesh; see `mesh.state_shardings`.

        Args:
            step: Step of a checkpoint.
            like: State of the same shapes (arrays or `jax.ShapeDtypeStruct`).
            mesh: Mesh of this run, which may differ from that of the run that saved the checkpoint.

        Raises:
            UserError: The checkpoint is damaged, or of another model.
        """
        restored = self._restore(step, _split(vars(_abstract(like, state_shardings(like, mesh)))))
        return dataclasses.replace(like, **_joined(restored["model"], restored["training"]))

    def restore_model(self, step: int, like: dict[str, Any], mesh: Mesh) -> dict[str, Any]:
        """Restores {'params', 'batch_stats'} alone, replicated, including parameters that only the checkpoint has.

        See `restore`.
        """
        target = _abstract(like, jax.tree.map(lambda _: replicated(mesh), like))
        return self._restore(step, {"model": target}, allow_extra=True)["model"]

    def model_digest(self, step: int) -> str:
        """Returns the SHA-256 digest of what `restore_model` reads, computed from the checksums in the manifest.

        Raises:
            UserError: The manifest is damaged.
        """
        try:
            return manifest.digest(self._folder / str(step), step, "model/")
        except DamagedCheckpoint as error:
            raise UserError(f"{self._folder}/{step}/{error}; {_RERUN}") from None

    def close(self) -> None:
        """Waits until everything is committed; see `save` for the errors."""
        try:
            self._commit(lambda wait: wait())  # no broadcast: after an error the processes may be at different points
        finally:
            self._writer.shutdown()

    def _open(self, read_only: bool) -> tuple[list, list]:
        """(step, score) of each checkpoint, and (step, error) of each damaged manifest."""
        if read_only:
            scores, unreadable = folders.read_scores(self._folder, self._best_by)
        else:
            scores, unreadable = folders.prepare_to_resume(self._folder, self._best_by), {}
        return list(scores.items()), list(unreadable.items())

    def _kept(self, scores: folders.Scores) -> set[int | None]:
        return {*sorted(scores)[-self._keep :], folders.best(scores)}

    def _write(
        self, step: int, state: dict[str, Any], scores: dict[str, float], superseded: list[Path], together: bool = False
    ) -> None:
        """Writes a checkpoint, then deletes the superseded ones; with `together`, all processes call this at once."""
        folder = self._folder / str(step)
        unfinished = folder.with_name(folder.name + folders.UNFINISHED)

        def finish() -> None:
            with files.named_errors(unfinished):
                manifest.write(unfinished, step, scores)
            files.rename(unfinished, folder)

        try:
            save_trees(unfinished, _split(state), together)
            if together:
                run_on_first(finish)
            else:
                finish()
        except BaseException:
            folders.remove_unfinished(self._folder, step)
            raise
        if not together or jax.process_index() == 0:
            for old in superseded:
                folders.remove(old)

    def _commit(self, run: Callable[[Callable[[], None]], None]) -> None:
        """Waits for the checkpoint that is being saved and records it.

        Args:
            run: Function that calls the function to wait: `run_on_first` for all processes, or a direct call.
        """
        if self._saving is None:
            return
        (step, score), self._saving = self._saving, None
        run(self._wait)
        self._verified.add(step)
        self._scores[step] = score
        kept = self._kept(self._scores)
        self._scores = {step: score for step, score in self._scores.items() if step in kept}

    def _wait(self) -> None:
        """Waits for the writer; see `save` for the errors."""
        written, self._written = self._written, None
        if written is None:
            return
        try:
            written.result()
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            reason = (error.strerror or str(error)).lower()
            raise UserError(
                f"{error.filename or self._folder}: cannot write the checkpoint ({reason}); earlier checkpoints are "
                "intact: check the disk and the folder's permissions, then rerun the same command"
            ) from error

    def _restore(self, step: int, targets: dict[str, Any], allow_extra: bool = False) -> dict[str, Any]:
        folder = self._folder / str(step)
        if step not in self._verified:
            run_on_first(lambda: self._verify(step))
            self._verified.add(step)
        storage.fetch(folder)  # in all processes, of which the first one has verified
        try:
            return restore_trees(folder, targets, allow_extra)
        except (ValueError, KeyError, OSError) as error:
            self._check_exists(folder)
            reason = str(error).splitlines()[0][:200]
            raise UserError(
                f"{folder}: saved by a different model ({reason}); use the configuration that it was trained with"
            ) from None

    def _verify(self, step: int) -> None:
        folder = self._folder / str(step)
        try:
            manifest.verify(folder, step)
        except DamagedCheckpoint as error:
            self._check_exists(folder)
            unusable = {None, step, *self._unreadable}
            choices = {"last": self.latest_step(), "best": None if self._unreadable else folders.best(self._scores)}
            usable = [f"use --checkpoint {name}, or " for name, choice in choices.items() if choice not in unusable]
            raise UserError(f"{folder}/{error}; {''.join(usable[:1])}{_RERUN}") from None

    @staticmethod
    def _check_exists(folder: Path) -> None:
        if not folder.exists():
            raise UserError(
                f"{folder}: deleted by the training run, which has saved a newer checkpoint; rerun this command"
            )


def _split(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Splits the fields of a state into {'model', 'training'}.

    If there is an average of the parameters, it is the model's parameters, and the trained ones belong to the training.
    """
    fields = dict(fields)
    if average := fields.pop("average", None):
        fields |= {"params": average, "trained": fields["params"]}
    model = {name: fields[name] for name in MODEL_FIELDS}
    return {"model": model, "training": {name: field for name, field in fields.items() if name not in MODEL_FIELDS}}


def _joined(model: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """Inverts `_split`."""
    if "trained" in training:
        training = dict(training)
        model = {**model, "average": model["params"], "params": training.pop("trained")}
    return model | training


def _is_whole_here(array: jax.Array) -> bool:
    """Whether the devices of this process have all parts of an array."""
    shards = array.addressable_shards
    return array.is_fully_addressable or len({str(shard.index) for shard in shards}) == _parts(array)


def _parts(array: jax.Array) -> int:
    return len({str(index) for index in array.sharding.devices_indices_map(array.shape).values()})


def _of_this_process(array: jax.Array) -> np.ndarray:
    """Copies an array that is whole here."""
    if array.is_fully_replicated or array.is_fully_addressable:
        return jax.device_get(array)
    whole = np.empty(array.shape, array.dtype)
    for shard in array.addressable_shards:
        whole[shard.index] = shard.data
    return whole


def _abstract(tree: Any, shardings: Any) -> Any:
    return jax.tree.map(lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree, shardings)
