"""Checkpoints of a workdir: the best by validation and the last ones, written aside and committed whole."""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint.checkpoint_managers import preservation_policy

from adamine_jax.errors import UserError
from adamine_jax.state import TrainState

MODEL_FIELDS = ("params", "batch_stats")
"""What evaluation needs; it is stored apart, so that optimiser states need not be read for it."""

logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports every file it touches


class Checkpoints:
    """The checkpoints below `<workdir>/checkpoints`, one folder a step.

    Args:
        workdir: of the run.
        keep: last checkpoints kept, beside the best.
        best_by: the score of a validation by which a checkpoint is the best.
        read_only: to look at a run that may be going on: nothing is made, nothing half-written is cleared away.
    """

    def __init__(self, workdir: Path, keep: int = 2, best_by: str = "r1", read_only: bool = False):
        def score(metrics: dict[str, float]) -> float:
            return metrics[best_by]

        self._manager = ocp.CheckpointManager(
            (workdir / "checkpoints").absolute(),
            item_names=("model", "training"),
            options=ocp.CheckpointManagerOptions(
                best_fn=score,
                preservation_policy=preservation_policy.AnyPreservationPolicy(
                    [
                        preservation_policy.LatestN(keep),
                        preservation_policy.BestN(get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False),
                    ]
                ),
                cleanup_tmp_directories=not read_only,
                create=not read_only,
                read_only=read_only,
            ),
        )

    def latest_step(self) -> int | None:
        """The last step that was committed, or None."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The step of the best validation; the last one where none was validated; None where there is none."""
        best = self._manager.best_step()
        return self._manager.latest_step() if best is None else best

    def is_validated(self, step: int) -> bool:
        """Whether a checkpoint was saved with the score of its validation."""
        return self._manager.metrics(step) is not None

    def save(self, state: TrainState, metrics: dict[str, float] | None = None) -> None:
        """Saves in the background; what was saved last is committed first. Replaces a checkpoint of the same step.

        Args:
            state: to save; it may be donated to the next step as soon as this returns.
            metrics: of its validation, `best_by` among them; None for a checkpoint within an epoch.
        """
        fields, step = vars(state), int(state.step)
        if step in self._manager.all_steps():
            self._manager.wait_until_finished()
            self._manager.delete(step)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                model=ocp.args.StandardSave({name: fields[name] for name in MODEL_FIELDS}),
                training=ocp.args.StandardSave({name: fields[name] for name in fields if name not in MODEL_FIELDS}),
            ),
            metrics=metrics,
            force=True,
        )

    def restore(self, step: int, like: TrainState, mesh: Mesh) -> TrainState:
        """Restores a whole state, replicated over a mesh.

        Args:
            step: one that was committed.
            like: a state of the same shapes (arrays or `jax.ShapeDtypeStruct`).
            mesh: of this run, which need not be that of the run that saved.
        """
        fields = vars(_abstract(like, mesh))
        restored = self._restore(
            step,
            model={name: fields[name] for name in MODEL_FIELDS},
            training={name: fields[name] for name in fields if name not in MODEL_FIELDS},
        )
        return TrainState(**restored["model"], **restored["training"])

    def restore_model(self, step: int, like: dict[str, Any], mesh: Mesh) -> dict[str, Any]:
        """Restores {'params', 'batch_stats'} alone; see `restore`."""
        return self._restore(step, model=_abstract(like, mesh))["model"]

    def _restore(self, step: int, **targets) -> dict[str, Any]:
        args = {name: ocp.args.StandardRestore(target) for name, target in targets.items()}
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**args))
        except (ValueError, KeyError, OSError) as error:
            folder = self._manager.directory / str(step)
            reason = str(error).splitlines()[0][:200]
            raise UserError(
                f"{folder}: checkpoint cannot be restored ({reason}); remove it to use the one before"
            ) from None

    def close(self) -> None:
        """Waits until everything is committed."""
        self._manager.wait_until_finished()
        self._manager.close()


def _abstract(tree: Any, mesh: Mesh) -> Any:
    replicated = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), tree)
