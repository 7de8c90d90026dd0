"""A paired bootstrap: how much the scores of two models may differ by the choice of the test recipes.

Each sample draws as many recipes as there are, with replacement, and recomputes every score from their ranks. A recipe
that appears in several draws of a protocol is sampled with all of its ranks (a cluster bootstrap: Davison and Hinkley,
Bootstrap Methods and their Application, 1997). All models are scored on the same samples, so the difficulty of a recipe
that affects them alike cancels out (a paired bootstrap: Koehn, EMNLP 2004).

The intervals cover the choice of the test recipes. They do not cover the seed of the run, nor the choice of the
candidates: each recipe keeps its rank among the candidates of its draw.
"""

import dataclasses

import numpy as np

from adamine_jax.retrieval.protocols import DIRECTIONS, RECALLS, Ranked, metrics

METRICS = (*(f"r{k}" for k in RECALLS), "medr")
SEED = 0
_BLOCK = 64
"""Samples computed at once; memory grows with this times the pairs of a draw."""


@dataclasses.dataclass(frozen=True)
class Resampled:
    """Scores of a model, and of bootstrap samples of its ranks.

    Attributes:
        measured: (2, 4) measured scores by direction and metric, in the order of `DIRECTIONS` and `METRICS`; means over
            the draws.
        samples: (S, 2, 4) scores of the samples.
    """

    measured: np.ndarray
    samples: np.ndarray


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference of one score between two models.

    Attributes:
        direction: One of `DIRECTIONS`, or 'mean' for the mean of both.
        metric: One of `METRICS`.
        value: Measured score of the second model minus that of the first; R@K in percentage points.
        low: Lower end of the 95 % interval, the 2.5th percentile of the samples' differences.
        high: Upper end of the 95 % interval.
        better: Fraction of the samples in which the second model is better; ties count as half.
    """

    direction: str
    metric: str
    value: float
    low: float
    high: float
    better: float


def resample(ranked: Ranked, samples: int, seed: int = SEED) -> Resampled:
    """Scores a model on bootstrap samples of the test recipes.

    For the same seed, models with equal `ranked.ids` get the same samples.

    Args:
        ranked: Ranks under one protocol.
        samples: Number of samples.
        seed: Seed of the samples.
    """
    names, cluster = np.unique(ranked.ids, return_inverse=True)
    cluster = cluster.reshape(ranked.ids.shape)
    measured = [
        [[metrics(positions)[metric] for metric in METRICS] for positions in ranked.ranks[direction]]
        for direction in DIRECTIONS
    ]
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, samples, _BLOCK):
        times = _times_drawn(rng, min(_BLOCK, samples - start), len(names))
        parts.append([_mean_over_draws(times, cluster, ranked.ranks[direction]) for direction in DIRECTIONS])
    return Resampled(np.mean(measured, axis=1), np.concatenate([np.stack(part, axis=1) for part in parts]))


def differences(first: Resampled, second: Resampled) -> list[Difference]:
    """Returns the second model's scores minus the first's, for each direction, their mean, and each metric."""
    value = _with_mean(second.measured - first.measured)
    samples = _with_mean(second.samples - first.samples).round(9)  # equal fractions may differ in their last bit
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    gains = samples * np.array([-1 if metric == "medr" else 1 for metric in METRICS])
    better = np.mean(gains > 0, axis=0) + np.mean(gains == 0, axis=0) / 2
    return [
        Difference(direction, metric, *(float(table[i, j]) for table in (value, low, high, better)))
        for i, direction in enumerate((*DIRECTIONS, "mean"))
        for j, metric in enumerate(METRICS)
    ]


def _times_drawn(rng: np.random.Generator, samples: int, recipes: int) -> np.ndarray:
    """Returns how often each recipe appears in each sample, (recipes, samples) int16."""
    drawn = (rng.integers(recipes, size=recipes) for _ in range(samples))
    counts = [np.bincount(sample, minlength=recipes).astype(np.int16) for sample in drawn]
    return np.ascontiguousarray(np.stack(counts).T)


def _mean_over_draws(times: np.ndarray, cluster: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Returns (S, 4) metrics of one direction; draws from which a sample contains no recipe are left out."""
    return np.nanmean([_draw_metrics(times, *draw) for draw in zip(cluster, ranks, strict=True)], axis=0)


def _draw_metrics(times: np.ndarray, cluster: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Returns (S, 4) metrics of one draw, each of its (N,) ranks weighted by how often its recipe was sampled."""
    order = np.argsort(ranks)
    ranks = ranks[order]
    # Gathers rows and then transposes: gathering columns takes ten times as long.
    up_to = np.cumsum(np.ascontiguousarray(times[cluster[order]].T), axis=1, dtype=np.int32)
    total = up_to[:, -1]
    within = np.searchsorted(ranks, RECALLS, side="right")
    found = np.where(within > 0, up_to[:, within - 1], 0)
    # The median is the mean of the two middle ranks; for an odd number of ranks both are the same.
    halves = np.stack([(total - 1) // 2, total // 2], axis=1)
    middle = [np.searchsorted(row, half, side="right") for row, half in zip(up_to, halves, strict=True)]
    median = ranks[np.minimum(middle, len(ranks) - 1)].mean(axis=1)
    recalls = 100 * found / np.maximum(total, 1)[:, None]
    return np.where(total[:, None] > 0, np.column_stack([recalls, median]), np.nan)


def _with_mean(table: np.ndarray) -> np.ndarray:
    """Appends the mean of both directions: (..., 2, 4) → (..., 3, 4)."""
    return np.concatenate([table, table.mean(axis=-2, keepdims=True)], axis=-2)
