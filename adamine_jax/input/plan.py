"""Which records make up each batch of an epoch: a pure function of (labels, seed, epoch, batch size).

Resuming needs the step number and nothing else, and every host derives the same global plan by itself.
"""

import numpy as np

from adamine_jax.base.errors import UserError

BACKGROUND = 0


def batch_shares(labels: np.ndarray, batch_size: int) -> tuple[int, int]:
    """How many same-class pairs and how many background items a batch has.

    Half of a batch is classed items in pairs and half is background: B // 4 pairs, the rest background. A half
    that cannot fill a single batch (no classes, or too few recipes in them) is filled from the other.

    Args:
        labels: (N,) int classes, 0 = background.
        batch_size: B.

    Returns:
        (pairs, singles) with 2 · pairs + singles = B. With no pairs the singles are drawn from all N records.

    Raises:
        UserError: there are fewer than B records.
    """
    if len(labels) < batch_size:
        raise UserError(
            f"batch_size = {batch_size}, but the train split has {len(labels)} recipes: take a smaller batch_size"
        )
    classed = labels[labels != BACKGROUND]
    pairs_there_are = int(np.sum(np.bincount(classed) // 2)) if len(classed) else 0
    background_there_is = len(labels) - len(classed)
    pairs, singles = batch_size // 4, batch_size - 2 * (batch_size // 4)
    if pairs and pairs_there_are >= pairs and background_there_is >= singles:
        return pairs, singles
    if background_there_is < singles and batch_size % 2 == 0 and pairs_there_are >= batch_size // 2:
        return batch_size // 2, 0
    return 0, batch_size


def epoch_plan(labels: np.ndarray, seed: int, epoch: int, batch_size: int) -> np.ndarray:
    """Draws the batches of one epoch.

    Records are shuffled within their class and cut into pairs, the pairs are permuted, and each batch takes the
    next of them, the two of a pair adjacent, followed by its share of the permuted background. A uniform
    permutation of pairs draws a class in proportion to the pairs it has left, which is the published sampler's
    law. Nothing is repeated within an epoch, which ends with the shorter half.

    Args:
        labels: (N,) int classes, 0 = background.
        seed: of the run.
        epoch: number of the epoch; every epoch is drawn anew.
        batch_size: B, rows of a global batch.

    Returns:
        (steps, B) int64 record numbers, in [0, N).

    Raises:
        UserError: there are fewer than B records.
    """
    labels = np.asarray(labels)
    pairs, singles = batch_shares(labels, batch_size)
    rng = np.random.default_rng([seed, epoch])
    if not pairs:
        steps = len(labels) // batch_size
        return rng.permutation(len(labels))[: steps * batch_size].reshape(steps, batch_size)

    background = rng.permutation(np.flatnonzero(labels == BACKGROUND))
    paired = rng.permutation(_cut_into_pairs(rng.permutation(np.flatnonzero(labels != BACKGROUND)), labels))
    steps = len(paired) // pairs
    if singles:
        steps = min(steps, len(background) // singles)
    return np.concatenate(
        [
            paired[: steps * pairs].reshape(steps, 2 * pairs),
            background[: steps * singles].reshape(steps, singles),
        ],
        axis=1,
    )


def _cut_into_pairs(shuffled: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pairs neighbours of one class: (P, 2) record numbers; the odd one of a class is left out this epoch."""
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels[by_class])
    starts = np.cumsum(sizes) - sizes
    place_in_class = np.arange(len(by_class)) - np.repeat(starts, sizes)
    has_partner = place_in_class < np.repeat(sizes // 2 * 2, sizes)
    return by_class[has_partner].reshape(-1, 2)
