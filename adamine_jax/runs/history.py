"""What the workdirs of several runs have saved, to be compared."""

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
    """What a workdir has saved; `missing` are lines about what it has not.

    Attributes:
        name: as given by the user.
        config: fields by their dotted names.
        train: the train lines of `metrics.jsonl`.
        validations: its val lines.
        test: `eval_test.json`.
    """

    name: str
    config: dict[str, Any]
    train: list[dict]
    validations: list[dict]
    test: dict[str, dict]
    missing: list[str]

    @property
    def best(self) -> dict | None:
        """The val line of the best epoch, by what the run chooses its best checkpoint by."""
        scored = [line for line in self.validations if isinstance(line.get("r1"), int | float)]
        best_by = self.config.get("checkpoint.best_by", "r1")
        return max(scored, key=lambda line: line.get(best_by, line["r1"]), default=None)

    @property
    def epochs(self) -> float | None:
        """Epochs trained up to the last line, None where there is no line.

        In a first epoch without a validation, whose end nobody knows, this is 1.
        """
        lines = [*self.train, *self.validations]
        return max(epochs_trained(lines, epoch_knots(self.train, self.validations))) if lines else None

    def test_score(self, protocol: str) -> float | None:
        """R@1 of the test in percent, the mean of both directions; None where it was not measured."""
        try:
            score = float(np.mean([self.test[protocol][direction]["r1"]["mean"] for direction in DIRECTIONS]))
        except (KeyError, TypeError, ValueError):
            return None
        return score if np.isfinite(score) else None

    def pairs(self, protocol: str) -> int:
        """Pairs among which a protocol of the test has ranked; 0 where that is not known."""
        pairs = self.test[protocol].get("pairs")
        return pairs if isinstance(pairs, int) else 0


def read_run(workdir: Path) -> Run:
    """Reads a workdir; a file that is absent or damaged leaves its part empty and a line in `missing`.

    Raises:
        UserError: there is no such folder, or nothing of a run in it.
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
        lines = _read_lines(workdir / "metrics.jsonl")
        if not lines:
            missing.append(f"{workdir / 'metrics.jsonl'}: absent or empty")
    except (OSError, UserError) as error:
        missing.append(str(error))
    if not any((workdir / name).exists() for name in ("config.json", "eval_test.json", "metrics.jsonl")):
        raise UserError(f"{workdir}: is no run of `python -m adamine_jax.main`; give the folders of runs")
    return Run(
        name=str(workdir),
        config=_flatten(read_json("config.json")),
        train=[line for line in lines if line["split"] == "train"],
        validations=[line for line in lines if line["split"] == "val"],
        test=read_json("eval_test.json"),
        missing=missing,
    )


def in_order(runs: Sequence[Run]) -> tuple[list[Run], list[float | None], str]:
    """Ranks runs by how well they retrieve.

    What counts is the R@1, the mean of both directions, of the test protocol that most of the runs have, the one with
    the most pairs where several are alike in that. Where no run has been tested it is that of the best validation.

    Returns:
        (runs, scores, by): the best first, those without a score last and in the order given; their scores in percent;
        and what they are scores of, '' where there is none.
    """
    protocols = list(dict.fromkeys(name for run in runs for name in run.test))
    scored = {name: [run for run in runs if run.test_score(name) is not None] for name in protocols}
    best = max(protocols, key=lambda name: (len(scored[name]), _largest(scored[name], name)), default="")
    if best and scored[best]:
        scores, by = [run.test_score(best) for run in runs], f"the test's R@1 ({best})"
    else:
        scores = [run.best["r1"] if run.best else None for run in runs]
        by = "the best validation R@1, no run having been tested" if any(s is not None for s in scores) else ""
    order = sorted(range(len(runs)), key=lambda number: -np.inf if (s := scores[number]) is None else s, reverse=True)
    return [runs[number] for number in order], [scores[number] for number in order], by


def describe_method(config: dict[str, Any]) -> str:
    """The loss in a few words: its strategies with their weights, which negatives, what is averaged; '' if unknown."""
    name = config.get("loss.name")
    if name == "triplet":
        strategies, weights = config.get("loss.strategies"), config.get("loss.weights")
        if not isinstance(strategies, list) or not isinstance(weights, list) or len(strategies) != len(weights):
            return ""  # not written by `adamine_jax.main`
        terms = [
            strategy if weight == 1 else f"{weight:g} {strategy}"
            for strategy, weight in zip(strategies, weights, strict=True)
        ]
        words = [" + ".join(terms)]
        if strategies != ["LIFT"]:
            average = _AVERAGES.get(config.get("loss.aggregation", ""), "")
            words += [word for word in (_negatives(config), average) if word]
    elif isinstance(name, str):
        words = [name]
    else:
        return ""
    if config.get("loss.classifier_weight"):
        words.append(f"{config['loss.classifier_weight']:g} classifier")
    return ", ".join(words)


_AVERAGES = {"valid": "adaptive", "mean": "mean"}


def _negatives(config: dict[str, Any]) -> str:
    """Which negatives an anchor keeps; '' for all of them."""
    sampling, number = str(config.get("loss.sampling")).replace("_", "-"), config.get("loss.num_negatives")
    if number is None:
        return sampling if sampling == "semi-hard" else ""
    return sampling if number == 1 else f"{number} {sampling}"


def _read_lines(path: Path) -> list[dict]:
    """The lines of a `metrics.jsonl`, all of them with a whole `step` and `epoch`."""
    lines = read_metrics(path)
    for number, line in enumerate(lines, start=1):
        if not all(isinstance(line.get(field), int) for field in ("step", "epoch")):
            raise UserError(f"{path}, line {number}: has no step or no epoch; remove it")
    return lines


def _largest(runs: list[Run], protocol: str) -> int:
    return max((run.pairs(protocol) for run in runs), default=0)


def _flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}."""
    flat = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
