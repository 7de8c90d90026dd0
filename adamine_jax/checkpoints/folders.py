"""The folders of a run's checkpoints: what their names mean, and which of them can be used.

checkpoints/
  12/                 a checkpoint, named by its step
    model/            parameters and BatchNorm statistics, in Orbax's format
    training/         optimizer state, counters and sums of metrics, in Orbax's format
    manifest.jsonl    length and checksum of every file above, and the scores of the validation
  12.damaged/         a checkpoint that differs from what was saved
  18.unfinished/      a checkpoint that is being written, or was when the run was killed
  6.superseded/       a checkpoint that is being deleted, or was when the run was killed
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from adamine_jax.base import files, storage
from adamine_jax.base.errors import NO_ROOM, DiskFull, UserError, shown
from adamine_jax.checkpoints import manifest
from adamine_jax.checkpoints.manifest import DamagedCheckpoint

FOLDER = "checkpoints"
DAMAGED, UNFINISHED, SUPERSEDED = ".damaged", ".unfinished", ".superseded"
_MAX_POLLS = 40

Scores = dict[int, float | None]
"""Score of the validation by the step of the checkpoint; None for a checkpoint without validation."""


def steps_of(folder: Path) -> list[int]:
    """Returns the sorted steps of the checkpoints in a folder, which need not exist."""
    return sorted(int(path.name) for path in folder.glob("*") if re.fullmatch("0|[1-9][0-9]*", path.name))


def latest(scores: Scores) -> int | None:
    """Returns the last step, None if there is no step."""
    return max(scores, default=None)


def best(scores: Scores) -> int | None:
    """Returns the step of the highest score, the later one of a tie; without any score, the last step."""
    scored = [(score, step) for step, score in scores.items() if score is not None]
    return max(scored)[1] if scored else latest(scores)


def read_scores(folder: Path, best_by: str) -> tuple[Scores, dict[int, str]]:
    """Reads all manifests: the scores by step, and the errors of damaged manifests by step."""
    storage.fetch(folder, f"*/{manifest.NAME}")
    scores, errors = {}, {}
    for step in steps_of(folder):
        try:
            scores[step] = manifest.read(folder / str(step), step).scores.get(best_by)
        except DamagedCheckpoint as error:
            if (folder / str(step)).exists():  # a running training may just have deleted it
                errors[step] = str(error)
    return scores, errors


def prepare_to_resume(folder: Path, best_by: str) -> Scores:
    """Cleans up a folder of checkpoints from which no other process may train.

    Deletes what a killed run was writing or deleting. Verifies the last and the best checkpoint, and their successors
    where these are damaged. Renames damaged checkpoints, with a line on stderr for each, unless all of several are
    damaged: then the folder is left as it is. A single damaged checkpoint is renamed and training restarts.

    Returns:
        The scores of the remaining checkpoints, of which only the last and the best are fully verified.

    Raises:
        UserError: There are several checkpoints and all of them are damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    storage.withdraw_incomplete(folder)
    for leftover in (*folder.glob(f"*{UNFINISHED}*"), *folder.glob(f"*{SUPERSEDED}")):
        shutil.rmtree(leftover)
    scores, errors = read_scores(folder, best_by)
    verified = set()
    for choose in (latest, best):
        while (step := choose(scores)) is not None and step not in verified:
            try:
                manifest.verify(folder / str(step), step)
                verified.add(step)
            except DamagedCheckpoint as error:
                errors[step] = str(error)
                del scores[step]
    errors = dict(sorted(errors.items(), reverse=True))
    older = sorted(path.name for path in folder.glob(f"*{DAMAGED}"))
    if not scores and len(errors) + len(older) > 1:
        damaged = [f"{step}/{error}" for step, error in errors.items()] + older
        raise UserError(
            f"{folder}: all checkpoints are damaged ({'; '.join(damaged)}); choose another workdir, or delete this "
            "folder to restart training from the beginning"
        )
    for step, error in errors.items():
        _rename_damaged(folder / str(step))
        resume = f"resuming from step {latest(scores)}" if scores else "restarting from the beginning"
        line = f"{folder}/{step}/{error}; renamed the checkpoint to {step}{DAMAGED}, {resume}"
        print(shown(line), file=sys.stderr, flush=True)
    return scores


def remove(checkpoint: Path) -> None:
    """Deletes a checkpoint, renaming it first so that an interrupted deletion leaves nothing under its name."""
    superseded = checkpoint.with_name(checkpoint.name + SUPERSEDED)
    os.rename(checkpoint, superseded)
    shutil.rmtree(superseded)
    storage.withdraw(checkpoint)


def remove_unfinished(folder: Path, step: int) -> None:
    """Deletes the files of a checkpoint that could not be written completely.

    When one of Orbax's writes fails, the others continue for a while and may recreate folders, so this polls until
    nothing is found twice in a row.
    """
    absent = 0
    for _ in range(_MAX_POLLS):
        unfinished = list(folder.glob(f"{step}{UNFINISHED}*"))
        for path in unfinished:
            shutil.rmtree(path, ignore_errors=True)
        absent = 0 if unfinished else absent + 1
        if absent == 2:
            return
        time.sleep(0.05)


@contextmanager
def full_disk_errors(workdir: Path) -> Generator[None]:
    """Turns an `OSError` of a full disk during training into a `DiskFull` that says how to resume."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        steps = steps_of(workdir / FOLDER)
        resume = f"resume from step {steps[-1]}" if steps else "restart from the beginning"
        raise DiskFull(error, workdir, f"free some space and rerun the same command to {resume}") from error


def _rename_damaged(checkpoint: Path) -> None:
    damaged = checkpoint.with_name(checkpoint.name + DAMAGED)
    if damaged.exists():
        remove(damaged)
    files.rename(checkpoint, damaged)
    storage.withdraw(checkpoint)
