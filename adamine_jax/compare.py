"""Several runs side by side: how long they trained, how well they retrieve, and in what they differ.

python -m adamine_jax.compare runs/a runs/b
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adamine_jax.errors import UserError, one_line_errors
from adamine_jax.metrics_log import read_metrics
from adamine_jax.retrieval.protocols import DIRECTIONS

_ABSENT = "-"
_METRICS = {"medr": "MedR", "r1": "R@1", "r5": "R@5", "r10": "R@10"}
_SHORT = {"image_to_recipe": "i→r", "recipe_to_image": "r→i"}


@dataclasses.dataclass(frozen=True)
class Run:
    """What a workdir has saved; `missing` are lines about what it has not.

    Attributes:
        name: as given by the user.
        config: fields by their dotted names.
        validations: the val lines of `metrics.jsonl`.
        test: `eval_test.json`.
    """

    name: str
    config: dict[str, Any]
    validations: list[dict]
    test: dict[str, dict]
    missing: list[str]


def read_run(workdir: Path) -> Run:
    """Reads a workdir; a file that is absent or damaged leaves its part empty and a line in `missing`.

    Raises:
        UserError: there is no such folder.
    """
    if not workdir.is_dir():
        raise UserError(f"{workdir}: no such folder; give workdirs of `python -m adamine_jax.main`")
    missing = []

    def read_json(name: str) -> dict:
        try:
            content = json.loads((workdir / name).read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError("not a JSON object")
            return content
        except FileNotFoundError:
            missing.append(f"{workdir / name}: absent")
        except (OSError, ValueError) as error:
            missing.append(f"{workdir / name}: cannot be read ({error})")
        return {}

    lines = []
    try:
        lines = read_metrics(workdir / "metrics.jsonl")
        if not lines:
            missing.append(f"{workdir / 'metrics.jsonl'}: absent or empty")
    except UserError as error:
        missing.append(str(error))
    validations = [line for line in lines if line["split"] == "val"]
    return Run(str(workdir), _flatten(read_json("config.json")), validations, read_json("eval_test.json"), missing)


def format_comparison(runs: Sequence[Run]) -> str:
    """The comparison as text: training, then one table a test protocol, then the fields in which the runs differ."""
    header = ["run", "epochs", "best val R@1", "in epoch"]
    blocks = [_table([header, *([run.name, *_training(run)] for run in runs)])]
    header = ["run", *(f"{_SHORT[direction]} {label}" for direction in DIRECTIONS for label in _METRICS.values())]
    for protocol in dict.fromkeys(name for run in runs for name in run.test):
        rows = [[run.name, *_test_cells(run.test.get(protocol, {}))] for run in runs]
        blocks.append(f"test, {protocol} (recall in %, MedR from 1)\n" + _table([header, *rows]))
    fields = sorted({field for run in runs for field in run.config})
    values = {field: [_value(run.config, field) for run in runs] for field in fields}
    different = [[field, *shown] for field, shown in values.items() if len(set(shown)) > 1]
    if different:
        blocks.append(_table([["config field", *(run.name for run in runs)], *different]))
    elif len(runs) > 1 and fields:
        blocks.append("the configurations are the same")
    return "\n\n".join(blocks)


def _training(run: Run) -> list[str]:
    epochs = _value(run.config, "epochs")
    if not run.validations:
        return [f"{_ABSENT}/{epochs}", _ABSENT, _ABSENT]
    trained = max(line["epoch"] for line in run.validations) + 1
    scored = [line for line in run.validations if isinstance(line.get("r1"), int | float)]
    if not scored:
        return [f"{trained}/{epochs}", _ABSENT, _ABSENT]
    best_by = run.config.get("checkpoint.best_by", "r1")
    best = max(scored, key=lambda line: line.get(best_by, line["r1"]))
    return [f"{trained}/{epochs}", f"{best['r1']:.1f}", str(best["epoch"] + 1)]


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


def _value(config: dict[str, Any], field: str) -> str:
    return json.dumps(config[field], ensure_ascii=False) if field in config else _ABSENT


def _flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}."""
    flat = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _table(rows: list[list[str]]) -> str:
    """Columns as wide as they need, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [f"{first:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells))
    return "\n".join(lines)


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the comparison; what a workdir lacks is said on stderr."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.compare", description=__doc__.splitlines()[0])
    parser.add_argument("workdirs", nargs="+", type=Path, help="folders of runs")
    runs = [read_run(workdir) for workdir in parser.parse_args(arguments).workdirs]
    print(format_comparison(runs))
    for run in runs:
        for line in run.missing:
            print(line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
