"""Evaluators: what validation and test measure, `config.evals`."""

import dataclasses
from typing import Protocol

import ml_collections
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.registry import Registry
from adamine_jax.retrieval.protocols import DIRECTIONS, evaluate

EVALUATORS = Registry("evaluator", {"retrieval": "adamine_jax.retrieval.evaluators:RetrievalEvaluator"})
"""A name to an `Evaluator`; a name of the form `package.module:Name` is imported."""

LARGEST_FULL = 10_000
"""Pairs up to which all of them are ranked at once; a larger split is measured on 10 draws of 1,000."""


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """The embeddings of a split, in the order of the ids.

    Attributes:
        image: (N, D) float32 unit rows, of the first photo of each recipe.
        recipe: (N, D) float32 unit rows.
        ids: The N ids.
        class_id: (N,) int32, 0 = background.
    """

    image: np.ndarray
    recipe: np.ndarray
    ids: list[str]
    class_id: np.ndarray


class Evaluator(Protocol):
    """Measures embeddings; made once a run, from the run's configuration.

    Attributes:
        metrics: The names of the numbers that it returns; all evaluators of a run have different ones.
    """

    metrics: tuple[str, ...]

    def __init__(self, config: ml_collections.ConfigDict): ...

    def __call__(self, embeddings: Embeddings) -> dict[str, float]:
        """Returns the numbers by their names; larger is better where `checkpoint.best_by` names one."""
        ...


class RetrievalEvaluator:
    """Recall and median rank in both directions, of all pairs or of draws of 1,000.

    `r1` is the mean of both directions, `rsum` the mean of R@1 + R@5 + R@10.
    """

    _RECALLS = ("r1", "r5", "r10")
    metrics = (
        "r1",
        "rsum",
        *(f"{metric}_{direction}" for direction in DIRECTIONS for metric in ("medr", "r1", "r5", "r10")),
    )

    def __init__(self, config: ml_collections.ConfigDict):
        self._seed = config.eval.seed

    def __call__(self, embeddings: Embeddings) -> dict[str, float]:
        """Returns the metrics."""
        protocol = "full" if len(embeddings.ids) <= LARGEST_FULL else "1k"
        results = evaluate(embeddings.image, embeddings.recipe, embeddings.ids, (protocol,), self._seed)[protocol]
        scores = {
            f"{metric}_{direction}": results[direction][metric]["mean"]
            for direction in DIRECTIONS
            for metric in ("medr", *self._RECALLS)
        }
        recalls = [np.mean([scores[f"{recall}_{direction}"] for direction in DIRECTIONS]) for recall in self._RECALLS]
        return scores | {"r1": float(recalls[0]), "rsum": float(sum(recalls))}


def build(config: ml_collections.ConfigDict) -> list[Evaluator]:
    """Makes the evaluators of a run.

    Raises:
        UserError: A name is unknown, or two evaluators have a metric of the same name.
    """
    made = [EVALUATORS(name)(config) for name in config.evals]
    names = [name for evaluator in made for name in evaluator.metrics]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"config.evals = {tuple(config.evals)}: two of them measure {twice[0]}; take one")
    return made


def measure(evaluators: list[Evaluator], embeddings: Embeddings) -> dict[str, float]:
    """Returns the numbers of all evaluators."""
    return {name: float(value) for each in evaluators for name, value in each(embeddings).items()}
