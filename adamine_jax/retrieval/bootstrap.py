"""How far the scores of two models may differ by the choice of the tested recipes: a paired bootstrap.

Recipes are drawn again, as many as there are and with replacement, and every score is computed anew from the ranks of
those drawn. A recipe that several draws of a protocol hold is taken with all its ranks or with none (a cluster
bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997). All models are given the same samples,
so that what makes a recipe hard for both of them cancels out (a paired one: Koehn, EMNLP 2004).

This covers which recipes were tested. It does not cover the seed of the training, and the candidates, among which each
recipe was ranked, stay what they were.
"""

import dataclasses

import numpy as np

from adamine_jax.retrieval.protocols import DIRECTIONS, RECALLS, Ranked, metrics

METRICS = (*(f"r{k}" for k in RECALLS), "medr")
SEED = 0
_TOGETHER = 64  # samples, and as many times the pairs of a draw in memory


@dataclasses.dataclass(frozen=True)
class Resampled:
    """A model's scores.

    Attributes:
        measured: (2, 4) by direction and metric, as in `DIRECTIONS` and `METRICS`; means over the draws.
        samples: (S, 2, 4) the same of each sample.
    """

    measured: np.ndarray
    samples: np.ndarray


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much a second model's score is above a first one's.

    Attributes:
        direction: one of `DIRECTIONS`, or 'mean' of both.
        metric: one of `METRICS`.
        value: second less first, as measured; R@K in points of percent.
        low: lower end of the 95 % interval, the 2.5th percentile of the samples' differences.
        high: its upper end.
        better: share of the samples in which the second is better, equal ones counted by halves.
    """

    direction: str
    metric: str
    value: float
    low: float
    high: float
    better: float


def resample(ranked: Ranked, samples: int, seed: int = SEED) -> Resampled:
    """Scores of a model on samples of the tested recipes.

    Models whose `ranked.ids` are equal are given the same samples by the same seed.

    Args:
        ranked: of one protocol.
        samples: how many.
        seed: of the samples.
    """
    names, cluster = np.unique(ranked.ids, return_inverse=True)
    cluster = cluster.reshape(ranked.ids.shape)
    measured = [
        [[metrics(positions)[metric] for metric in METRICS] for positions in ranked.ranks[direction]]
        for direction in DIRECTIONS
    ]
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, samples, _TOGETHER):
        times = _times_drawn(rng, min(_TOGETHER, samples - start), len(names))
        parts.append([_over_draws(times, cluster, ranked.ranks[direction]) for direction in DIRECTIONS])
    return Resampled(np.mean(measured, axis=1), np.concatenate([np.stack(part, axis=1) for part in parts]))


def differences(first: Resampled, second: Resampled) -> list[Difference]:
    """The second model's scores less the first's: each direction and the mean of both, each metric."""
    value = _with_mean(second.measured - first.measured)
    samples = _with_mean(second.samples - first.samples).round(9)  # equal shares may differ in their last bit
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    in_favour = samples * np.array([-1 if metric == "medr" else 1 for metric in METRICS])
    better = np.mean(in_favour > 0, axis=0) + np.mean(in_favour == 0, axis=0) / 2
    return [
        Difference(direction, metric, *(float(table[i, j]) for table in (value, low, high, better)))
        for i, direction in enumerate((*DIRECTIONS, "mean"))
        for j, metric in enumerate(METRICS)
    ]


def _times_drawn(rng: np.random.Generator, samples: int, recipes: int) -> np.ndarray:
    """(recipes, samples) int16: how often each recipe is in each sample."""
    drawn = (rng.integers(recipes, size=recipes) for _ in range(samples))
    counts = [np.bincount(sample, minlength=recipes).astype(np.int16) for sample in drawn]
    return np.ascontiguousarray(np.stack(counts).T)


def _over_draws(times: np.ndarray, cluster: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(S, 4) metrics of one direction, the mean over the draws; a draw of which a sample has nothing is left out."""
    return np.nanmean([_of_draw(times, *draw) for draw in zip(cluster, ranks, strict=True)], axis=0)


def _of_draw(times: np.ndarray, cluster: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(S, 4) metrics of one draw: of its ranks (N,), each as many times as its recipe (N,) was drawn."""
    order = np.argsort(ranks)
    ranks = ranks[order]
    # Short rows are gathered and then turned: gathering columns takes ten times as long.
    up_to = np.cumsum(np.ascontiguousarray(times[cluster[order]].T), axis=1, dtype=np.int32)
    total = up_to[:, -1]
    within = np.searchsorted(ranks, RECALLS, side="right")
    found = np.where(within > 0, up_to[:, within - 1], 0)
    # The median of an even number of ranks is the mean of the two in the middle, which may be the same one.
    halves = np.stack([(total - 1) // 2, total // 2], axis=1)
    places = [np.searchsorted(row, half, side="right") for row, half in zip(up_to, halves, strict=True)]
    median = ranks[np.minimum(places, len(ranks) - 1)].mean(axis=1)
    recalls = 100 * found / np.maximum(total, 1)[:, None]
    return np.where(total[:, None] > 0, np.column_stack([recalls, median]), np.nan)


def _with_mean(table: np.ndarray) -> np.ndarray:
    """(..., 2, 4) → (..., 3, 4): the mean of both directions behind them."""
    return np.concatenate([table, table.mean(axis=-2, keepdims=True)], axis=-2)
