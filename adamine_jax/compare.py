"""Several runs side by side: how well they retrieve, how long they trained, in what they differ, and their curves.

python -m adamine_jax.compare runs/a runs/b [--out comparison.png]

Where runs were tested on the same draws, a paired bootstrap over the test recipes says how sure the order of the best
run and each other one is. It covers which recipes were drawn for the test, and not the seeds of the trainings (train
several for that) nor the candidates among which a recipe is ranked.
"""

import argparse
import json
import string
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.flags import given_path
from adamine_jax.retrieval.protocols import DIRECTIONS
from adamine_jax.retrieval.text_tables import columns
from adamine_jax.runs.certainty import FEWEST_SAMPLES, SAMPLES, format_certainty
from adamine_jax.runs.history import Run, describe_method, in_order, read_run

_ABSENT = "-"
_METRICS = {"medr": "MedR", "r1": "R@1", "r5": "R@5", "r10": "R@10"}
_SHORT = {"image_to_recipe": "i→r", "recipe_to_image": "r→i"}


def format_comparison(runs: Sequence[Run], samples: int = SAMPLES) -> str:
    """The comparison as text: places, a table a test protocol, how sure the order is, the fields in which runs differ.

    A letter stands for each run, A for the best.

    Args:
        runs: in any order.
        samples: of the bootstrap.
    """
    runs, scores, by = in_order(runs)
    header = ["place", "", "run", "method", "R@1", "best val R@1", "in epoch", "epochs"]
    rows = [
        [
            _place(score, scores),
            letter,
            run.name,
            describe_method(run.config) or _ABSENT,
            _percent(score),
            *_training(run),
        ]
        for letter, run, score in zip(_letters(len(runs)), runs, scores, strict=True)
    ]
    blocks = [columns([header, *rows], left=4)]
    if by:
        blocks[0] += f"\nplaces by {by}, in %, the mean of both directions"
    header = ["", *(f"{_SHORT[direction]} {label}" for direction in DIRECTIONS for label in _METRICS.values())]
    for protocol in dict.fromkeys(name for run in runs for name in run.test):
        rows = [
            [letter, *_test_cells(run.test.get(protocol, {}))]
            for letter, run in zip(_letters(len(runs)), runs, strict=True)
        ]
        title = f"test, {protocol} (recall in %, MedR from 1)"
        blocks.append("\n".join([title, columns([header, *rows]), *_other_pairs(runs, protocol)]))
    blocks += format_certainty(runs, _letters(len(runs)), samples)
    if different := _differences(runs):
        blocks.append("\n".join(["in what the configurations differ", *different]))
    elif len(runs) > 1 and all(run.config for run in runs):
        blocks.append("the configurations are the same")
    return "\n\n".join(blocks)


def draw_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Draws the curves of all runs that have any, with the letters of `format_comparison`.

    Raises:
        UserError: there are no curves, or more than can be told apart.
    """
    from adamine_jax.plots.overlay import MOST_RUNS, Curves, overlay  # not above: a missing extra is one line

    runs = in_order(runs)[0]
    drawn = [
        Curves(letter, run.name, _note(run), run.train, run.validations, run.best["step"] if run.best else None)
        for letter, run in zip(_letters(len(runs)), runs, strict=True)
        if run.train or run.validations
    ]
    if not drawn:
        raise UserError(f"--out {out}: none of the runs has measured anything yet: nothing to draw")
    if len(drawn) > MOST_RUNS:
        raise UserError(f"--out {out}: {len(drawn)} runs cannot be told apart in one picture; give at most {MOST_RUNS}")
    return overlay(drawn, out)


def _letters(count: int) -> list[str]:
    """A to Z, then AA to ZZ."""
    letters = string.ascii_uppercase
    return [*letters, *(first + second for first in letters for second in letters)][:count]


def _place(score: float | None, scores: list[float | None]) -> str:
    """The place from 1; equal scores share one."""
    if score is None:
        return _ABSENT
    return str(1 + sum(other > score for other in scores if other is not None))


def _training(run: Run) -> list[str]:
    """Best validation R@1, in which epoch that was, and epochs trained of those planned."""
    best = [f"{run.best['r1']:.1f}", str(run.best["epoch"] + 1)] if run.best else [_ABSENT, _ABSENT]
    return [*best, _epochs(run)]


def _epochs(run: Run) -> str:
    trained = _ABSENT if run.epochs is None else f"{run.epochs:.1f}".removesuffix(".0")
    if run.epochs == 1 and not run.validations:
        trained = "≤1"  # where the first epoch ends is not known yet
    return f"{trained}/{_value(run.config, 'epochs')}"


def _note(run: Run) -> str:
    """What a picture says of a run beside its name."""
    parts = [describe_method(run.config)]
    if run.epochs != run.config.get("epochs"):
        parts.insert(0, f"{_epochs(run)} epochs")
    if not run.validations:
        parts.insert(0, "no validation")
    return " · ".join(part for part in parts if part)


def _other_pairs(runs: Sequence[Run], protocol: str) -> list[str]:
    """A line of warning where runs have been ranked among different numbers of pairs."""
    pairs = {}
    for letter, run in zip(_letters(len(runs)), runs, strict=True):
        if run.test_score(protocol) is not None:
            pairs.setdefault(run.pairs(protocol), []).append(letter)
    if len(pairs) < 2:
        return []
    return ["not the same test: " + "; ".join(f"{', '.join(who)} among {n:,} pairs" for n, who in pairs.items())]


def _differences(runs: Sequence[Run]) -> list[str]:
    """A line for each field in which runs differ: its values, each with the letters of the runs that have it."""
    different = {}
    for field in sorted({field for run in runs for field in run.config}):
        who = {}
        for letter, run in zip(_letters(len(runs)), runs, strict=True):
            if run.config:
                who.setdefault(_value(run.config, field), []).append(letter)
        if len(who) > 1:
            different[field] = "   ".join(f"{' '.join(letters)}: {value}" for value, letters in who.items())
    width = max(map(len, different), default=0)
    return [f"{field:{width}}  {values}" for field, values in different.items()]


def _test_cells(results: dict) -> list[str]:
    """Mean, and deviation where there were several draws, of each direction and metric."""
    cells = []
    for direction in DIRECTIONS:
        for metric in _METRICS:
            try:
                spread = results[direction][metric]
                deviation = f" ± {spread['std']:.1f}" if results["draws"] > 1 else ""
                cells.append(f"{spread['mean']:.1f}{deviation}")
            except (KeyError, TypeError, ValueError):
                cells.append(_ABSENT)
    return cells


def _percent(score: float | None) -> str:
    return _ABSENT if score is None else f"{score:.1f}"


def _value(config: dict[str, Any], field: str) -> str:
    return json.dumps(config[field], ensure_ascii=False) if field in config else _ABSENT


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the comparison and draws it where it is asked to; what a workdir lacks is said on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.compare",
        description=__doc__.splitlines()[0],
        epilog=__doc__.split("\n\n", 2)[2],
    )
    parser.add_argument("workdirs", nargs="+", type=given_path, help="folders of runs")
    parser.add_argument("--out", type=given_path, help="draws their curves into one picture: FILE.png or FILE.svg")
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"drawn by the bootstrap (default {SAMPLES:,})")
    options = parser.parse_args(arguments)
    if options.samples < FEWEST_SAMPLES:
        raise UserError(f"--samples {options.samples}: takes a number from {FEWEST_SAMPLES}")
    if options.out and options.out.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"--out {options.out}: takes a file that ends in .png or .svg")
    runs = [read_run(workdir) for workdir in options.workdirs]
    print(format_comparison(runs, options.samples), end="\n\n", flush=True)
    for run in runs:
        for line in run.missing:
            print(line, file=sys.stderr)
    if options.out:
        print(draw_comparison(runs, options.out))
    else:
        print("their curves in one picture: --out comparison.png (or .svg)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
