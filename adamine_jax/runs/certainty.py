"""How sure the order of tested runs is: the best one beside each other one, by a paired bootstrap over their ranks."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.bootstrap import Difference, differences, resample
from adamine_jax.retrieval.breakdown import largest
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked, score
from adamine_jax.retrieval.rank_files import RankFile, ranks_path, read_ranks
from adamine_jax.retrieval.text_tables import ARROWS, columns
from adamine_jax.runs.history import Run

SAMPLES, FEWEST_SAMPLES = 2_000, 100
_COVERED = "the intervals cover which recipes were tested, not the seeds of the trainings or other candidates"
_EVALUATE = "python -m adamine_jax.evaluate"
_LABELS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "medr": "MedR"}


@dataclasses.dataclass(frozen=True)
class _Tested:
    """A run whose ranks are there, by protocol, and of which checkpoint."""

    letter: str
    name: str
    ranked: dict[str, Ranked]
    step: int

    def __str__(self) -> str:
        return f"{self.letter} ({self.name})"


def format_certainty(runs: Sequence[Run], letters: Sequence[str], samples: int) -> list[str]:
    """Blocks of text about the first tested run and each other one, on the largest protocol of both.

    Args:
        runs: the best first.
        letters: their names in the tables.
        samples: of the bootstrap.

    Returns:
        For each other run a table and a sentence, or a line about what keeps it from that; none where fewer than two
        runs have been tested.
    """
    tested, lines = [], []
    for letter, run in zip(letters, runs, strict=True):
        if not run.test:
            continue
        try:
            ranks = _ranks_of_the_test(run)
            tested.append(_Tested(letter, run.name, ranks.protocols, ranks.step))
        except UserError as error:
            lines.append(f"no interval for {letter}: {error}; `{_EVALUATE} --workdir {run.name}` writes it")
    if len(tested) + len(lines) < 2:
        return []
    blocks, of_first = [], {}
    for other in tested[1:]:
        first, protocol = tested[0], _same_draws(tested[0].ranked, other.ranked)
        if protocol is None:
            lines.append(
                f"no interval for {other.letter} less {first.letter}: they were tested on other draws; "
                f"run `{_EVALUATE}` on both with the same data set, --protocols and config.eval.seed"
            )
            continue
        if protocol not in of_first:
            of_first[protocol] = resample(first.ranked[protocol], samples)
        found = differences(of_first[protocol], resample(other.ranked[protocol], samples))
        units = "recall in %; MedR in places, fewer are better"
        tested_on = f"{_drawn(first.ranked[protocol].ids)}, {samples:,} samples of the bootstrap; "
        tested_on += ", ".join(f"{run.letter} after step {run.step:,}" for run in (first, other))
        title = f"{other.letter} less {first.letter} on the test, {protocol} ({units})\n{tested_on}"
        blocks.append("\n".join([title, _table(found, other.letter), _sentence(found, first, other, samples)]))
    if blocks:
        blocks[-1] += f"\n{_COVERED}"
    return [*blocks, *(["\n".join(lines)] if lines else [])]


def _ranks_of_the_test(run: Run) -> RankFile:
    """The ranks behind a run's `eval_test.json`.

    Raises:
        UserError: they are absent, damaged, or of another evaluation.
    """
    path = ranks_path(Path(run.name), "test")
    ranks = read_ranks(path)
    if not ranks.protocols or not _agree(score(ranks.protocols), run.test):
        raise UserError(f"{path}: of another evaluation than eval_test.json")
    return ranks


def _agree(scores: dict | float, others: dict | float) -> bool:
    """Whether both hold the same numbers, but for what another version of NumPy may round otherwise."""
    if isinstance(scores, dict):
        return (
            isinstance(others, dict)
            and scores.keys() == others.keys()
            and all(_agree(value, others[key]) for key, value in scores.items())
        )
    return isinstance(others, int | float) and math.isclose(scores, others, rel_tol=1e-6, abs_tol=1e-6)


def _drawn(ids: np.ndarray) -> str:
    draws, pairs = ids.shape
    return f"{len(np.unique(ids)):,} recipes in {draws} draws of {pairs:,} pairs" if draws > 1 else f"{pairs:,} recipes"


def _same_draws(first: dict[str, Ranked], second: dict[str, Ranked]) -> str | None:
    """The largest protocol whose draws hold the same recipes in both; None where there is none."""
    shared = [name for name in first if name in second and np.array_equal(first[name].ids, second[name].ids)]
    return largest({name: first[name] for name in shared})


def _table(found: list[Difference], letter: str) -> str:
    """A line for each direction and metric."""
    names = ARROWS | {"mean": "mean of both"}
    rows = [["", "", "difference", "95 % interval", f"{letter} better in"]]
    for direction in (*DIRECTIONS, "mean"):
        for place, difference in enumerate(d for d in found if d.direction == direction):
            interval = f"{_signed(difference.low)} to {_signed(difference.high)}"
            label = names[direction] if place == 0 else ""
            value, better = _signed(difference.value), f"{100 * difference.better:.1f} %"
            rows.append([label, _LABELS[difference.metric], value, interval, better])
    return columns(rows, left=2)


def _signed(value: float) -> str:
    """0 has no sign."""
    return f"{value:+.1f}" if round(value, 1) else "0.0"


def _sentence(found: list[Difference], first: _Tested, second: _Tested, samples: int) -> str:
    """R@1, the mean of both directions, in words."""
    (r1,) = (d for d in found if (d.direction, d.metric) == ("mean", "r1"))
    better, worse = (second, first) if r1.better > 0.5 else (first, second)
    sure = max(r1.better, 1 - r1.better)
    if sure == 0.5:
        return f"at R@1 nothing tells {better} from {worse}: 50 % sure"
    shown = f"more than {math.floor(1000 * (1 - 1 / samples)) / 10:.1f}" if sure == 1 else f"{100 * sure:.1f}"
    doubt = "; too little to tell them apart by these recipes" if r1.low <= 0 <= r1.high else ""
    return f"{better} finds more at R@1 than {worse}: {shown.removesuffix('.0')} % sure{doubt}"
