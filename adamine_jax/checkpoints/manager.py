"""Checkpoints of a workdir: the best by validation and the last ones, each whole and with the checksums of its files.

A checkpoint is written in four steps: Orbax writes into `<step>.unfinished`; the manifest of what it wrote is added;
both are synchronised to the disk; the folder is renamed to `<step>`. Only then are older ones removed. So whenever the
program is killed, what has a step for its name is whole and has its manifest.

Orbax's own `CheckpointManager` commits a folder before anyone else sees it, and restores flipped bits without a word.
Manifests written after its commits would leave, now and then, a checkpoint without one, to be trusted or not. Here
there is nothing to choose: a checkpoint without a manifest that fits is damaged. Those of earlier versions of this
program have none, and are not read.
"""

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax.base import files
from adamine_jax.base.errors import NO_ROOM, UserError
from adamine_jax.checkpoints import folders, manifest
from adamine_jax.checkpoints.manifest import Damage
from adamine_jax.checkpoints.orbax_trees import restore_trees, save_trees
from adamine_jax.distributed.agreement import agreed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

MODEL_FIELDS = ("params", "batch_stats")
"""What evaluation needs; it is stored apart, so that optimiser states need not be read for it."""


class Checkpoints:
    """The checkpoints below `<workdir>/checkpoints`; see `checkpoint_folders` for what lies there.

    Opened to go on with a run, it uses what is as it was saved, and sets aside what is not; see
    `checkpoint_folders.take_over`. Opened to read only, it changes nothing on the disk, so that the run may be going
    on; a checkpoint is verified when it is restored, and a damaged one refused.

    With several processes, each opens it, saves and restores, at the same points. The first one alone verifies, and
    writes, since it has the whole state; all of them read, so the workdir must be on a file system that they share.

    Args:
        workdir: of the run.
        keep: last checkpoints kept, beside the best.
        best_by: the score of a validation by which a checkpoint is the best; the later one of two equals.
        read_only: nothing will be saved.

    Raises:
        UserError: there are checkpoints to go on from, but all are damaged.
    """

    def __init__(self, workdir: Path, keep: int = 2, best_by: str = "r1", read_only: bool = False):
        self._folder = workdir / folders.FOLDER
        self._keep, self._best_by = keep, best_by
        scores, unreadable = agreed(lambda: self._open(read_only))
        self._scores: folders.Scores = dict(scores)
        self._unreadable: dict[int, str] = dict(unreadable)  # manifests
        self._verified = set() if read_only else {self.latest_step(), self.best_step()}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._written: Future[None] | None = None  # in the first process alone
        self._saving: tuple[int, float | None] | None = None

    def latest_step(self) -> int | None:
        """The last step that was committed, and verified unless read-only, or None."""
        return max((*self._scores, *self._unreadable), default=None)

    def best_step(self) -> int | None:
        """The step of the best validation; the last one where none was validated; None where there is none.

        Raises:
            UserError: read-only, and it cannot be told because a manifest is damaged.
        """
        for step, damage in self._unreadable.items():
            last = "" if step == self.latest_step() else "take the last one (--checkpoint last), or "
            raise UserError(
                f"{self._folder}/{step}/{damage}; whether this checkpoint is the best cannot be told: {last}{_GO_ON}"
            )
        return folders.best(self._scores)

    def is_validated(self, step: int) -> bool:
        """Whether a checkpoint was saved with the score of its validation."""
        return self._scores.get(step) is not None

    def save(self, state: Any, metrics: dict[str, float] | None = None) -> None:
        """Saves in the background; what was saved last is committed first.

        A step that is there already is not saved again, but gets the metrics.

        Args:
            state: a dataclass of arrays and pytrees, with `MODEL_FIELDS` and `step` among its fields; it may be
                donated to the next step as soon as this returns.
            metrics: of its validation, `best_by` among them; None for a checkpoint within an epoch.

        Raises:
            OSError: there was no room for the last one. The older ones are still there.
            UserError: it could not be written for another reason; likewise.
        """
        self._commit(agreed)
        step, scores = int(state.step), {name: float(value) for name, value in (metrics or {}).items()}
        score = scores[self._best_by] if metrics else None
        if step in self._scores:
            if metrics:
                agreed(lambda: manifest.rewrite(self._folder / str(step), step, scores))
                self._scores[step] = score
            return
        self._saving = step, score
        if jax.process_index() == 0:
            kept = self._kept(self._scores | {step: score})
            superseded = [self._folder / str(old) for old in self._scores if old not in kept]
            host = jax.device_get(vars(state))
            self._written = self._writer.submit(self._write, step, host, scores, superseded)

    def restore(self, step: int, like: T, mesh: Mesh) -> T:
        """Restores a whole state, replicated over a mesh.

        Args:
            step: one that was committed.
            like: a state of the same shapes (arrays or `jax.ShapeDtypeStruct`).
            mesh: of this run, which need not be that of the run that saved.

        Raises:
            UserError: the checkpoint is damaged, or of another model.
        """
        restored = self._restore(step, _split(vars(_abstract(like, mesh))))
        return dataclasses.replace(like, **restored["model"], **restored["training"])

    def restore_model(self, step: int, like: dict[str, Any], mesh: Mesh) -> dict[str, Any]:
        """Restores {'params', 'batch_stats'} alone, with the parameters beside the towers that `like` lacks.

        See `restore`.
        """
        return self._restore(step, {"model": _abstract(like, mesh)}, others=True)["model"]

    def model_digest(self, step: int) -> str:
        """SHA-256 of what `restore_model` reads, by the checksums in the manifest.

        Raises:
            UserError: the manifest is damaged.
        """
        try:
            return manifest.digest(self._folder / str(step), step, "model/")
        except Damage as damage:
            raise UserError(f"{self._folder}/{step}/{damage}; this checkpoint cannot be used: {_GO_ON}") from None

    def close(self) -> None:
        """Waits until everything is committed; see `save` for what it raises."""
        try:
            self._commit(lambda wait: wait())  # not agreed: other processes may be elsewhere when this one failed
        finally:
            self._writer.shutdown()

    def _open(self, read_only: bool) -> tuple[list, list]:
        """(step, score) of each checkpoint, and (step, what is wrong with it) of each damaged manifest."""
        if read_only:
            scores, unreadable = folders.read_scores(self._folder, self._best_by)
        else:
            scores, unreadable = folders.take_over(self._folder, self._best_by), {}
        return list(scores.items()), list(unreadable.items())

    def _kept(self, scores: folders.Scores) -> set[int]:
        kept = (*sorted(scores)[-self._keep :], folders.best(scores))
        return {step for step in kept if step is not None}

    def _write(self, step: int, state: dict[str, Any], scores: dict[str, float], superseded: list[Path]) -> None:
        """Writes a checkpoint, then removes those that it makes superfluous."""
        folder = self._folder / str(step)
        unfinished = folder.with_name(folder.name + folders.UNFINISHED)
        try:
            save_trees(unfinished, _split(state))
            with files.named_errors(unfinished):
                manifest.write(unfinished, step, scores)
            unfinished.rename(folder)
            files.sync(self._folder)
        except BaseException:
            folders.abandon(self._folder, step)
            raise
        for old in superseded:
            folders.remove(old)

    def _commit(self, ask: Callable[[Callable[[], None]], None]) -> None:
        """Waits for what is being saved, and counts it.

        Args:
            ask: calls the function that waits: `agreed`, for all processes, or each by itself.
        """
        if self._saving is None:
            return
        (step, score), self._saving = self._saving, None
        ask(self._wait)
        self._verified.add(step)
        self._scores[step] = score
        self._scores = {step: self._scores[step] for step in self._kept(self._scores)}

    def _wait(self) -> None:
        """Waits for the writer; see `save` for what it raises."""
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
                f"{error.filename or self._folder}: a checkpoint cannot be written ({reason}); the ones before it are "
                "still there: see to the disk or the folder's permissions, and give the same command again"
            ) from error

    def _restore(self, step: int, targets: dict[str, Any], others: bool = False) -> dict[str, Any]:
        folder = self._folder / str(step)
        if step not in self._verified:
            agreed(lambda: self._verify(step))
            self._verified.add(step)
        try:
            return restore_trees(folder, targets, others)
        except (ValueError, KeyError, OSError) as error:
            if not folder.exists():
                raise UserError(_REMOVED.format(folder=folder)) from None
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{folder}: as it was saved, but not by a model like this one ({reason})") from None

    def _verify(self, step: int) -> None:
        folder = self._folder / str(step)
        try:
            manifest.verify(folder, step)
        except Damage as damage:
            if not folder.exists():
                raise UserError(_REMOVED.format(folder=folder)) from None
            last, best = self.latest_step(), None if self._unreadable else folders.best(self._scores)
            others = {last: "the last one (--checkpoint last)", best: "the best one (--checkpoint best)"}
            other = next(
                (f"take {said}, or " for at, said in others.items() if at not in (None, step, *self._unreadable)), ""
            )
            raise UserError(f"{folder}/{damage}; this checkpoint cannot be used: {other}{_GO_ON}") from None


_GO_ON = "run the training again, which goes on from the checkpoint before"
_REMOVED = "{folder}: removed by the run that goes on there, which has a newer one; run this again"


def _split(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of a state as {'model', 'training'}."""
    model = {name: fields[name] for name in MODEL_FIELDS}
    return {"model": model, "training": {name: field for name, field in fields.items() if name not in MODEL_FIELDS}}


def _abstract(tree: Any, mesh: Mesh) -> Any:
    replicated = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), tree)
