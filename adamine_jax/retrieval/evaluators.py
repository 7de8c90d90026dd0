"""Evaluators measure the embeddings of a validation or test split; `config.evals` names those of a run."""

import dataclasses
from typing import Protocol

import ml_collections
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.registry import Registry
from adamine_jax.retrieval.protocols import DIRECTIONS, evaluate

EVALUATORS = Registry("evaluator", {"retrieval": "adamine_jax.retrieval.evaluators:RetrievalEvaluator"})
"""Maps names to `Evaluator` classes; a name of the form `package.module:Name` is imported."""

LARGEST_FULL = 10_000
"""Maximum number of pairs that are ranked among each other; larger splits are measured on 10 draws of 1,000 pairs."""


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Embeddings of a split, sorted by id.

    Attributes:
        image: (N, D) float32 unit rows: embeddings of the first photo of each recipe.
        recipe: (N, D) float32 unit rows.
        ids: N recipe ids.
        class_id: (N,) int32 class numbers; 0 is the background class.
    """

    image: np.ndarray
    recipe: np.ndarray
    ids: list[str]
    class_id: np.ndarray


class Evaluator(Protocol):
    """Measures embeddings. It is created once per run, from the run's configuration.

    Attributes:
        metrics: Names of the metrics, distinct from those of the run's other evaluators.
    """

    metrics: tuple[str, ...]

    def __init__(self, config: ml_collections.ConfigDict): ...

    def __call__(self, embeddings: Embeddings) -> dict[str, float]:
        """Returns the metrics by name. The one named by `checkpoint.best_by` must be better when larger."""
        ...


class RetrievalEvaluator:
    """Measures recall and median rank in both directions.

    `r1` is the mean R@1 of both directions, `rsum` the mean of their R@1 + R@5 + R@10.
    """

    _BY_DIRECTION = tuple((metric, direction) for direction in DIRECTIONS for metric in ("medr", "r1", "r5", "r10"))
    metrics = ("r1", "rsum", *(f"{metric}_{direction}" for metric, direction in _BY_DIRECTION))

    def __init__(self, config: ml_collections.ConfigDict):
        self._seed = config.eval.seed

    def __call__(self, embeddings: Embeddings) -> dict[str, float]:
        """Returns the metrics by name."""
        protocol = "full" if len(embeddings.ids) <= LARGEST_FULL else "1k"
        results = evaluate(embeddings.image, embeddings.recipe, embeddings.ids, (protocol,), self._seed)[protocol]
        means = {pair: results[pair[1]][pair[0]]["mean"] for pair in self._BY_DIRECTION}
        scores = {f"{metric}_{direction}": mean for (metric, direction), mean in means.items()}
        recalls = [np.mean([means[metric, each] for each in DIRECTIONS]) for metric in ("r1", "r5", "r10")]
        return scores | {"r1": float(recalls[0]), "rsum": float(sum(recalls))}


def build(config: ml_collections.ConfigDict) -> list[Evaluator]:
    """Creates the evaluators of a run.

    Raises:
        UserError: A name is unknown, or two evaluators have a metric of the same name.
    """
    evaluators = [EVALUATORS(name)(config) for name in config.evals]
    names = [name for evaluator in evaluators for name in evaluator.metrics]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"config.evals = {tuple(config.evals)}: two evaluators measure {duplicates[0]}; remove one")
    return evaluators


def measure(evaluators: list[Evaluator], embeddings: Embeddings) -> dict[str, float]:
    """Returns the metrics of all evaluators by name."""
    return {name: float(value) for evaluator in evaluators for name, value in evaluator(embeddings).items()}
