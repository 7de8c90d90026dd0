"""Plans which records make up each batch of an epoch: a pure function of (labels, seed, epoch, batch size).

Resuming needs only the step number, and every host computes the same global plan.
"""

import numpy as np

from adamine_jax.base.errors import UserError

BACKGROUND = 0


def batch_shares(labels: np.ndarray, batch_size: int) -> tuple[int, int]:
    """Returns the number of same-class pairs and of background items in a batch.

    Half of a batch consists of same-class pairs and half of background items: B // 4 pairs, the rest background. If one
    half cannot fill a single batch (no classes, or too few recipes in them), the batch consists of the other half only.

    Args:
        labels: (N,) int classes, 0 = background.
        batch_size: B.

    Returns:
        (pairs, singles) with 2 · pairs + singles = B. Without pairs the singles are drawn from all N records.

    Raises:
        UserError: There are fewer than B records.
    """
    if len(labels) < batch_size:
        raise UserError(
            f"config.batch_size = {batch_size}: the train split has {len(labels)} recipes; use a smaller batch size"
        )
    classed = labels[labels != BACKGROUND]
    available_pairs = int(np.sum(np.bincount(classed) // 2)) if len(classed) else 0
    available_background = len(labels) - len(classed)
    pairs, singles = batch_size // 4, batch_size - 2 * (batch_size // 4)
    if pairs and available_pairs >= pairs and available_background >= singles:
        return pairs, singles
    if available_background < singles and batch_size % 2 == 0 and available_pairs >= batch_size // 2:
        return batch_size // 2, 0
    return 0, batch_size


def epoch_plan(labels: np.ndarray, seed: int, epoch: int, batch_size: int) -> np.ndarray:
    """Draws the batches of one epoch.

    Records are shuffled within their class and split into pairs, the pairs are permuted, and each batch takes the next
    pairs, with the records of a pair adjacent, followed by its share of the permuted background. A uniform permutation
    of pairs draws a class in proportion to its remaining pairs, as the published sampler does. No record is repeated
    within an epoch, which ends when one half is used up.

    Args:
        labels: (N,) int classes, 0 = background.
        seed: Seed of the run.
        epoch: Number of the epoch. Every epoch has a different plan.
        batch_size: B, rows of a global batch.

    Returns:
        (steps, B) int64 record numbers in [0, N).

    Raises:
        UserError: There are fewer than B records.
    """
    labels = np.asarray(labels)
    pairs, singles = batch_shares(labels, batch_size)
    rng = np.random.default_rng([seed, epoch])
    if not pairs:
        steps = len(labels) // batch_size
        return rng.permutation(len(labels))[: steps * batch_size].reshape(steps, batch_size)

    background = rng.permutation(np.flatnonzero(labels == BACKGROUND))
    paired = rng.permutation(_pairs(rng.permutation(np.flatnonzero(labels != BACKGROUND)), labels))
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


def with_text(plan: np.ndarray, first: int, end: int, seed: int, epoch: int, count: int) -> np.ndarray:
    """Appends recipes without photos to each batch of an epoch.

    All of them are used before one is repeated.

    Args:
        plan: (steps, B) record numbers.
        first: Number of the first recipe without photos.
        end: Number after the last one.
        seed: Seed of the run.
        epoch: Number of the epoch.
        count: Rows to append to a batch.

    Returns:
        (steps, B + count) record numbers.
    """
    needed, available = len(plan) * count, end - first
    # One sequence of permutations for all epochs, of which each takes the next part.
    used = epoch * needed
    rounds = range(used // available, -(-(used + needed) // available))
    order = np.concatenate([np.random.default_rng([seed, number, 1]).permutation(available) for number in rounds])
    start = used - rounds.start * available
    return np.concatenate([plan, first + order[start : start + needed].reshape(len(plan), count)], axis=1)


def _pairs(shuffled: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(P, 2) record numbers, pairs of neighbours of one class. A class of odd size leaves one record out."""
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels[by_class])
    starts = np.cumsum(sizes) - sizes
    place_in_class = np.arange(len(by_class)) - np.repeat(starts, sizes)
    has_partner = place_in_class < np.repeat(sizes // 2 * 2, sizes)
    return by_class[has_partner].reshape(-1, 2)
