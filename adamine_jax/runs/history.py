"""Saved results of several runs, for comparison."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.protocols import DIRECTIONS
from adamine_jax.runs.epochs import epoch_knots, epochs_trained
from adamine_jax.runs.metrics_log import read_metrics


@dataclasses.dataclass(frozen=True)
class Run:
    """Saved results of a run.

    Attributes:
        name: Workdir as given by the user.
        config: Fields by dotted name.
        train: Train lines of `metrics.jsonl`.
        validations: Validation lines of `metrics.jsonl`.
        test: Contents of `eval_test.json`.
        missing: Messages about missing and malformed files.
    """

    name: str
    config: dict[str, Any]
    train: list[dict]
    validations: list[dict]
    test: dict[str, dict]
    missing: list[str]

    @property
    def best(self) -> dict | None:
        """The validation line of the best epoch, by the metric that chooses the run's best checkpoint."""
        scored = [line for line in self.validations if isinstance(line.get("r1"), int | float)]
        best_by = self.config.get("checkpoint.best_by", "r1")
        return max(scored, key=lambda line: line.get(best_by, line["r1"]), default=None)

    @property
    def epochs(self) -> float | None:
        """Epochs trained up to the last line, None without any line; 1 in a first epoch without validation."""
        lines = [*self.train, *self.validations]
        return max(epochs_trained(lines, epoch_knots(self.train, self.validations))) if lines else None

    def test_score(self, protocol: str) -> float | None:
        """Returns the mean R@1 of both directions in the test, in percent; None if it was not measured."""
        try:
            score = float(np.mean([self.test[protocol][direction]["r1"]["mean"] for direction in DIRECTIONS]))
        except (KeyError, TypeError, ValueError):
            return None
        return score if np.isfinite(score) else None

    def pairs(self, protocol: str) -> int:
        """Returns the number of pairs of a protocol of the test; 0 if unknown."""
        pairs = self.test[protocol].get("pairs")
        return pairs if isinstance(pairs, int) else 0


def read_run(workdir: Path) -> Run:
    """Reads a workdir; a missing or malformed file leaves its field empty and a message in `missing`.

    Raises:
        UserError: The folder does not exist or contains no file of a run.
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
            missing.append(f"{workdir / name}: missing")
        except (OSError, ValueError) as error:
            missing.append(f"{workdir / name}: cannot be read ({error})")
        return {}

    lines = []
    try:
        lines = _read_lines(workdir / "metrics.jsonl")
        if not lines:
            missing.append(f"{workdir / 'metrics.jsonl'}: missing or empty")
    except (OSError, UserError) as error:
        missing.append(str(error))
    if not any((workdir / name).exists() for name in ("config.json", "eval_test.json", "metrics.jsonl")):
        raise UserError(f"{workdir}: not a workdir of `python -m adamine_jax.main`; give workdirs of runs")
    return Run(
        name=str(workdir),
        config=_flatten(read_json("config.json")),
        train=[line for line in lines if line["split"] == "train"],
        validations=[line for line in lines if line["split"] == "val"],
        test={name: scores for name, scores in read_json("eval_test.json").items() if name != "evals"},
        missing=missing,
    )


def in_order(runs: Sequence[Run]) -> tuple[list[Run], list[float | None], str]:
    """Sorts runs by their mean R@1 of both directions.

    The R@1 is that of the test protocol that most of the runs have, on a tie the one with the most pairs; if no run has
    been tested, that of the best validation.

    Returns:
        (runs, scores, by): The runs, best first, those without a score last; their scores in percent; and a
        description of the scores, '' without any score.
    """
    protocols = list(dict.fromkeys(name for run in runs for name in run.test))
    scored = {name: [run for run in runs if run.test_score(name) is not None] for name in protocols}

    def preference(name: str) -> tuple[int, int]:
        return len(scored[name]), max((run.pairs(name) for run in scored[name]), default=0)

    best = max(protocols, key=preference, default="")
    if best and scored[best]:
        scores, by = [run.test_score(best) for run in runs], f"the test's R@1 ({best})"
    else:
        scores = [run.best["r1"] if run.best else None for run in runs]
        by = "the best validation R@1, as no run has been tested" if any(s is not None for s in scores) else ""
    order = sorted(range(len(runs)), key=lambda number: -np.inf if (s := scores[number]) is None else s, reverse=True)
    return [runs[number] for number in order], [scores[number] for number in order], by


def describe_method(config: dict[str, Any]) -> str:
    """Describes a run's loss: strategies with their weights, negatives, aggregation; '' if unknown."""
    if not (name := config.get("loss.name")):
        return ""
    words = [name]
    if name == "triplet":
        weighted = zip(config["loss.strategies"], config["loss.weights"], strict=True)
        words = [" + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in weighted)]
        if config["loss.strategies"] != ["LIFT"]:
            average = {"valid": "adaptive", "mean": "mean"}[config["loss.aggregation"]]
            words += [word for word in (_negatives(config), average) if word]
    if config.get("loss.classifier_weight"):
        words.append(f"{config['loss.classifier_weight']:g} classifier")
    return ", ".join(words)


def _negatives(config: dict[str, Any]) -> str:
    """Describes which negatives an anchor keeps; '' for all of them."""
    sampling, number = str(config.get("loss.sampling")).replace("_", "-"), config.get("loss.num_negatives")
    if number is None:
        return sampling if sampling == "semi-hard" else ""
    return sampling if number == 1 else f"{number} {sampling}"


def _read_lines(path: Path) -> list[dict]:
    """The lines of a `metrics.jsonl`, checked to have an integer `step` and `epoch`."""
    lines = read_metrics(path)
    for number, line in enumerate(lines, start=1):
        if not all(isinstance(line.get(field), int) for field in ("step", "epoch")):
            raise UserError(f"{path}, line {number}: step or epoch is missing; delete the line")
    return lines


def _flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}."""
    flat = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
