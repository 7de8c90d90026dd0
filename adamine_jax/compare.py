"""Compares runs: their test scores, training, configurations and curves.

python -m adamine_jax.compare runs/a runs/b [--out comparison.png]

If runs were tested on the same draws, a paired bootstrap over the test recipes shows how significant the difference
between the best run and each other one is. It covers the choice of test recipes, but neither the seed of the training
(train several runs for that) nor the candidates among which a recipe is ranked.
"""

import argparse
import json
import string
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.flags import given_path
from adamine_jax.retrieval.protocols import DIRECTIONS
from adamine_jax.retrieval.text_tables import columns
from adamine_jax.runs.history import Run, describe_method, in_order, read_run
from adamine_jax.runs.significance import MIN_SAMPLES, SAMPLES, format_significance

_MISSING = "-"
_METRICS = {"medr": "MedR", "r1": "R@1", "r5": "R@5", "r10": "R@10"}
_SHORT = {"image_to_recipe": "i→r", "recipe_to_image": "r→i"}


def format_comparison(runs: Sequence[Run], samples: int = SAMPLES) -> str:
    """Formats the comparison: a ranking, a table per test protocol, significance, and differing config fields.

    Runs are lettered from A, the best.

    Args:
        runs: Runs in any order.
        samples: Number of bootstrap samples.
    """
    runs, scores, by = in_order(runs)
    letters = _letters(len(runs))
    header = ["place", "", "run", "method", "R@1", "best val R@1", "in epoch", "epochs"]
    rows = []
    for letter, run, score in zip(letters, runs, scores, strict=True):
        place = _MISSING if score is None else str(1 + sum(other > score for other in scores if other is not None))
        test_r1 = _MISSING if score is None else f"{score:.1f}"
        best = [f"{run.best['r1']:.1f}", str(run.best["epoch"] + 1)] if run.best else [_MISSING, _MISSING]
        rows.append([place, letter, run.name, describe_method(run.config) or _MISSING, test_r1, *best, _epochs(run)])
    blocks = [columns([header, *rows], left=4)]
    if by:
        blocks[0] += f"\nranked by {by}; in %, mean of both directions"
    header = ["", *(f"{_SHORT[direction]} {label}" for direction in DIRECTIONS for label in _METRICS.values())]
    for protocol in dict.fromkeys(name for run in runs for name in run.test):
        rows = [[letter, *_test_cells(run.test.get(protocol, {}))] for letter, run in zip(letters, runs, strict=True)]
        title = f"test, {protocol} (recall in %, MedR from 1)"
        blocks.append("\n".join([title, columns([header, *rows]), *_unequal_tests(runs, protocol)]))
    blocks += format_significance(runs, letters, samples)
    if different := _differences(runs):
        blocks.append("\n".join(["differing configuration fields", *different]))
    elif len(runs) > 1 and all(run.config for run in runs):
        blocks.append("the configurations are identical")
    return "\n\n".join(blocks)


def draw_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Draws the curves of the runs that have any, lettered as in `format_comparison`.

    Raises:
        UserError: There are no curves, or too many to distinguish.
    """
    # Imported here so that a missing extra is reported in one line.
    from adamine_jax.plots.overlay import MAX_RUNS, Curves, overlay

    runs = in_order(runs)[0]
    drawn = [
        Curves(run, letter, _note(run))
        for letter, run in zip(_letters(len(runs)), runs, strict=True)
        if run.train or run.validations
    ]
    if not drawn:
        raise UserError(f"--out {out}: nothing to draw, none of the runs has any measurements yet")
    if len(drawn) > MAX_RUNS:
        raise UserError(f"--out {out}: {len(drawn)} runs are too many for one figure; give at most {MAX_RUNS}")
    return overlay(drawn, out)


def _letters(count: int) -> list[str]:
    """Returns A to Z, then AA to ZZ."""
    letters = string.ascii_uppercase
    return [*letters, *(first + second for first in letters for second in letters)][:count]


def _epochs(run: Run) -> str:
    """Formats the number of epochs trained and planned."""
    trained = _MISSING if run.epochs is None else f"{run.epochs:.1f}".removesuffix(".0")
    if run.epochs == 1 and not run.validations:
        trained = "≤1"  # the length of the first epoch is not known before its validation
    return f"{trained}/{_value(run.config, 'epochs')}"


def _note(run: Run) -> str:
    """Returns the line below a run's name in the key of the figure."""
    parts = [describe_method(run.config)]
    if run.epochs != run.config.get("epochs"):
        parts.insert(0, f"{_epochs(run)} epochs")
    if not run.validations:
        parts.insert(0, "no validation")
    return " · ".join(part for part in parts if part)


def _unequal_tests(runs: Sequence[Run], protocol: str) -> list[str]:
    """Returns a warning if runs were ranked among different numbers of pairs."""
    pairs = [run.pairs(protocol) if run.test_score(protocol) is not None else None for run in runs]
    groups = _letters_by_value(pairs)
    if len(groups) < 2:
        return []
    return ["not the same test: " + "; ".join(f"{', '.join(who)} among {n:,} pairs" for n, who in groups.items())]


def _differences(runs: Sequence[Run]) -> list[str]:
    """Returns a line for each field in which runs differ, with its values and the letters of their runs."""
    different = {}
    for field in sorted({field for run in runs for field in run.config}):
        groups = _letters_by_value([_value(run.config, field) if run.config else None for run in runs])
        if len(groups) > 1:
            different[field] = "   ".join(f"{' '.join(letters)}: {value}" for value, letters in groups.items())
    width = max(map(len, different), default=0)
    return [f"{field:{width}}  {values}" for field, values in different.items()]


def _letters_by_value(values: Sequence[Any]) -> dict[Any, list[str]]:
    """Groups the letters of runs by a value of each run, skipping None."""
    groups = {}
    for letter, value in zip(_letters(len(values)), values, strict=True):
        if value is not None:
            groups.setdefault(value, []).append(letter)
    return groups


def _test_cells(results: dict) -> list[str]:
    """Formats each metric in each direction: the mean, and the standard deviation if there were several draws."""
    cells = []
    for direction in DIRECTIONS:
        for metric in _METRICS:
            try:
                spread = results[direction][metric]
                deviation = f" ± {spread['std']:.1f}" if results["draws"] > 1 else ""
                cells.append(f"{spread['mean']:.1f}{deviation}")
            except (KeyError, TypeError, ValueError):
                cells.append(_MISSING)
    return cells


def _value(config: dict[str, Any], field: str) -> str:
    return json.dumps(config[field], ensure_ascii=False) if field in config else _MISSING


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the comparison, reports missing files on stderr, and draws the curves if asked."""
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.compare",
        description=__doc__.splitlines()[0],
        epilog=__doc__.split("\n\n", 2)[2],
    )
    parser.add_argument("workdirs", nargs="+", type=given_path, help="workdirs of the runs")
    parser.add_argument("--out", type=given_path, help="draw the curves of the runs into FILE.png or FILE.svg")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help=f"number of bootstrap samples (default: {SAMPLES:,})"
    )
    options = parser.parse_args(arguments)
    if options.samples < MIN_SAMPLES:
        raise UserError(f"--samples {options.samples}: must be at least {MIN_SAMPLES}")
    if options.out and options.out.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"--out {options.out}: must end in .png or .svg")
    runs = [read_run(workdir) for workdir in options.workdirs]
    print(shown(format_comparison(runs, options.samples)), end="\n\n", flush=True)
    for run in runs:
        for line in run.missing:
            print(shown(line), file=sys.stderr)
    if options.out:
        print(shown(draw_comparison(runs, options.out)))
    else:
        print("to draw the curves in one figure, add --out comparison.png (or .svg)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
