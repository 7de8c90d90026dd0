"""Compares the best tested run with each other run by a paired bootstrap over their ranks."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.bootstrap import Difference, differences, resample
from adamine_jax.retrieval.breakdown import largest
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked, score
from adamine_jax.retrieval.rank_files import RankFile, ranks_path, read_ranks
from adamine_jax.retrieval.text_tables import ARROWS, columns
from adamine_jax.runs.history import Run

SAMPLES, MIN_SAMPLES = 2_000, 100
_EVALUATE = "python -m adamine_jax.evaluate"
_LABELS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "medr": "MedR"}


class _Tested(NamedTuple):
    """A run with the ranks of its test by protocol, and the step of the tested checkpoint."""

    letter: str
    name: str
    ranked: dict[str, Ranked]
    step: int

    def __str__(self) -> str:
        return f"{self.letter} ({self.name})"


def format_significance(runs: Sequence[Run], letters: Sequence[str], samples: int) -> list[str]:
    """Compares the first tested run with each other one, on the largest protocol that both have.

    Args:
        runs: Runs, best first.
        letters: Letters of the runs in the tables.
        samples: Number of bootstrap samples.

    Returns:
        For each other run, a table and a sentence, or a line with the reason why there is no comparison. Empty if fewer
        than two runs were tested.
    """
    tested, problems = [], []
    for letter, run in zip(letters, runs, strict=True):
        if not run.test:
            continue
        try:
            ranks = _test_ranks(run)
            tested.append(_Tested(letter, run.name, ranks.protocols, ranks.step))
        except UserError as error:
            problems.append(f"no confidence interval for {letter}: {error}; run `{_EVALUATE} --workdir {run.name}`")
    if len(tested) + len(problems) < 2:
        return []
    blocks, resampled = [], {}
    for other in tested[1:]:
        first = tested[0]
        protocol = _shared_protocol(first.ranked, other.ranked)
        if protocol is None:
            problems.append(
                f"no confidence interval for {other.letter} minus {first.letter}: they were tested on different draws; "
                f"run `{_EVALUATE}` on both with the same data set, --protocols and config.eval.seed"
            )
            continue
        if protocol not in resampled:
            resampled[protocol] = resample(first.ranked[protocol], samples)
        found = differences(resampled[protocol], resample(other.ranked[protocol], samples))
        steps = ", ".join(f"{run.letter} at step {run.step:,}" for run in (first, other))
        lines = [
            f"{other.letter} minus {first.letter} on the test set, {protocol} (recall in %; MedR: lower is better)",
            f"{_describe(first.ranked[protocol].ids)}, {samples:,} bootstrap samples; {steps}",
            _table(found, other.letter),
            _sentence(found, first, other),
        ]
        blocks.append("\n".join(lines))
    if blocks:
        blocks[-1] += "\nthe intervals cover the choice of test recipes, not training seeds or other candidates"
    return [*blocks, *(["\n".join(problems)] if problems else [])]


def _test_ranks(run: Run) -> RankFile:
    """Reads the ranks behind a run's `eval_test.json`.

    Raises:
        UserError: The ranks are missing, damaged, or from another evaluation.
    """
    path = ranks_path(Path(run.name), "test")
    ranks = read_ranks(path)
    if not ranks.protocols or not _all_close(score(ranks.protocols), run.test):
        raise UserError(f"{path}: from another evaluation than eval_test.json")
    return ranks


def _all_close(scores: dict | float, others: dict | float) -> bool:
    """Returns whether two nested dictionaries of numbers agree up to the rounding of NumPy versions."""
    if isinstance(scores, dict):
        return (
            isinstance(others, dict)
            and scores.keys() == others.keys()
            and all(_all_close(value, others[key]) for key, value in scores.items())
        )
    return isinstance(others, int | float) and math.isclose(scores, others, rel_tol=1e-6, abs_tol=1e-6)


def _describe(ids: np.ndarray) -> str:
    draws, pairs = ids.shape
    return f"{len(np.unique(ids)):,} recipes in {draws} draws of {pairs:,} pairs" if draws > 1 else f"{pairs:,} recipes"


def _shared_protocol(first: dict[str, Ranked], second: dict[str, Ranked]) -> str | None:
    """Returns the largest protocol whose draws contain the same recipes in both runs, or None."""
    shared = [name for name in first if name in second and np.array_equal(first[name].ids, second[name].ids)]
    return largest({name: first[name] for name in shared})


def _table(found: list[Difference], letter: str) -> str:
    names = ARROWS | {"mean": "mean of both"}
    rows = [["", "", "difference", "95 % interval", f"{letter} better in"]]
    for direction in (*DIRECTIONS, "mean"):
        for number, difference in enumerate(d for d in found if d.direction == direction):
            interval = f"{_signed(difference.low)} to {_signed(difference.high)}"
            label = names[direction] if number == 0 else ""
            value, better = _signed(difference.value), f"{100 * difference.better:.1f} %"
            rows.append([label, _LABELS[difference.metric], value, interval, better])
    return columns(rows, left=2)


def _signed(value: float) -> str:
    return f"{value:+.1f}" if round(value, 1) else "0.0"


def _sentence(found: list[Difference], first: _Tested, second: _Tested) -> str:
    """Summarizes the mean R@1 of both directions."""
    (r1,) = (d for d in found if (d.direction, d.metric) == ("mean", "r1"))
    if r1.better == 0.5:
        return f"R@1 does not distinguish {first} from {second}"
    better, worse = (second, first) if r1.better > 0.5 else (first, second)
    share = f"{100 * max(r1.better, 1 - r1.better):.1f}".removesuffix(".0")
    doubt = "; the difference is not significant at the 5 % level" if r1.low <= 0 <= r1.high else ""
    return f"{better} has a higher R@1 than {worse} in {share} % of the samples{doubt}"
