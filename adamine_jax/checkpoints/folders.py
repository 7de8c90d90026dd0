"""The folders of a run's checkpoints: what their names mean, and which of them can be used.

checkpoints/
  12/             a checkpoint, under the number of steps done
    model/        parameters and BatchNorm statistics, as Orbax writes them
    training/     optimiser, counters and sums of metrics, likewise
    manifest.jsonl    every file above with its length and checksum, and the scores of the validation
  12.damaged/     one that was no longer what had been saved, set aside
  18.unfinished/  one that is being written, or was when the run was killed
  6.superseded/   one that is being removed, likewise
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from adamine_jax.base import files
from adamine_jax.base.errors import NO_ROOM, DiskFull, UserError
from adamine_jax.checkpoints import manifest
from adamine_jax.checkpoints.manifest import Damage

FOLDER = "checkpoints"
DAMAGED, UNFINISHED, SUPERSEDED = ".damaged", ".unfinished", ".superseded"
_LOOKS = 40

Scores = dict[int, float | None]
"""Steps of checkpoints, each with the score of its validation, or None where there was none."""


def steps_of(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, in order, as their names say; an absent folder has none."""
    return sorted(int(path.name) for path in folder.glob("*") if re.fullmatch("0|[1-9][0-9]*", path.name))


def best(scores: Scores) -> int | None:
    """The step of the highest score, the later one of two equals; the last one without any score; None of no steps."""
    scored = [(score, step) for step, score in scores.items() if score is not None]
    return max(scored)[1] if scored else _last(scores)


def _last(scores: Scores) -> int | None:
    return max(scores, default=None)


def read_scores(folder: Path, best_by: str) -> tuple[Scores, dict[int, str]]:
    """What the manifests say: the scores by steps, and what is wrong with the manifests that cannot be read."""
    scores, damages = {}, {}
    for step in steps_of(folder):
        try:
            scores[step] = manifest.read(folder / str(step), step).scores.get(best_by)
        except Damage as damage:
            if (folder / str(step)).exists():  # and was not removed just now by the run that goes on
                damages[step] = str(damage)
    return scores, damages


def take_over(folder: Path, best_by: str) -> Scores:
    """Makes a folder of checkpoints ready to go on with; no other process may use it to train.

    What a killed run was writing or removing is removed. The last checkpoint and the best are verified, and so is what
    takes their place when they are damaged. The damaged ones are set aside, each with a line on stderr, but not if all
    of them are: the folder then stays as it is. Where there is only one, what was before it is the beginning.

    Args:
        folder: of the checkpoints; it is made.
        best_by: the score by which a checkpoint is the best.

    Returns:
        The checkpoints that are left. Of those neither last nor best, only the manifest was looked at.

    Raises:
        UserError: there are several checkpoints, but all are damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in (*folder.glob(f"*{UNFINISHED}*"), *folder.glob(f"*{SUPERSEDED}")):
        shutil.rmtree(leftover)
    scores, damages = read_scores(folder, best_by)
    verified = set()
    for choose in (_last, best):
        while (step := choose(scores)) is not None and step not in verified:
            try:
                manifest.verify(folder / str(step), step)
                verified.add(step)
            except Damage as damage:
                damages[step] = str(damage)
                del scores[step]
    damages = dict(sorted(damages.items(), reverse=True))
    older = sorted(path.name for path in folder.glob(f"*{DAMAGED}"))
    if not scores and len(damages) + len(older) > 1:
        named = [f"{step}/{damage}" for step, damage in damages.items()] + older
        raise UserError(
            f"{folder}: no checkpoint is as it was saved ({'; '.join(named)}); take another workdir, or remove this "
            "folder to start again from the beginning"
        )
    for step, damage in damages.items():
        _set_aside(folder / str(step))
        last = f"the last one is that of step {max(scores)}" if scores else "there is none before it"
        print(
            f"{folder}/{step}/{damage}; the checkpoint is set aside as {step}{DAMAGED}, {last}",
            file=sys.stderr,
            flush=True,
        )
    return scores


def remove(checkpoint: Path) -> None:
    """Removes a checkpoint; when that is cut off, nothing is left under its name."""
    superseded = checkpoint.with_name(checkpoint.name + SUPERSEDED)
    os.rename(checkpoint, superseded)
    shutil.rmtree(superseded)


def abandon(folder: Path, step: int) -> None:
    """Removes what there is of a checkpoint that cannot be written to its end.

    Writes that were under way when another one failed go on for a while, and make folders anew: they are looked for
    until there are none twice in a row.
    """
    absent = 0
    for _ in range(_LOOKS):
        left = list(folder.glob(f"{step}{UNFINISHED}*"))
        for unfinished in left:
            shutil.rmtree(unfinished, ignore_errors=True)
        absent = 0 if left else absent + 1
        if absent == 2:
            return
        time.sleep(0.05)


@contextmanager
def full_disk_told(workdir: Path) -> Generator[None]:
    """Within the block, which trains, an `OSError` of a full disk becomes a `DiskFull` that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        steps = steps_of(workdir / FOLDER)
        start = f"goes on from step {steps[-1]}" if steps else "starts from the beginning"
        raise DiskFull(error, workdir, f"make room and give the same command again, which {start}") from error


def _set_aside(checkpoint: Path) -> None:
    damaged = checkpoint.with_name(checkpoint.name + DAMAGED)
    if damaged.exists():
        remove(damaged)
    os.rename(checkpoint, damaged)
    files.sync(checkpoint.parent)
