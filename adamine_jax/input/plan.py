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


def neighbour_plan(
    neighbours: np.ndarray, seed: int, epoch: int, batch_size: int, share: float, size: int
) -> np.ndarray:
    """Draws the batches of one epoch, a share of whose rows are groups of near neighbours.

    Records are taken in a random order. Each one that is not yet in a group forms one with its nearest neighbours that
    are in none, if there are enough. The groups are spread evenly over the batches, and the other records fill the
    rows that remain. No record is repeated within an epoch.

    Args:
        neighbours: (N, K) int32 record numbers, nearest first; −1 = none.
        seed: Seed of the run.
        epoch: Number of the epoch.
        batch_size: B.
        share: Share of a batch's rows in groups, at most.
        size: Number of records in a group.

    Returns:
        (N // B, B) int64 record numbers; the rows of a group are adjacent, and groups come first.
    """
    count = len(neighbours)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    steps = count // batch_size
    groups = _groups(neighbours, order, size, limit=steps * (round(share * batch_size) // size))
    is_free = np.ones(count, bool)
    is_free[groups] = False
    singles = order[is_free[order]]
    batches = []
    for part in np.array_split(groups, steps):
        needed = batch_size - part.size
        batches.append(np.concatenate([part.ravel(), singles[:needed]]))
        singles = singles[needed:]
    return np.stack(batches)


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


def _groups(neighbours: np.ndarray, order: np.ndarray, size: int, limit: int) -> np.ndarray:
    """Returns (G, size) record numbers with G ≤ limit; see `neighbour_plan`."""
    is_free = np.ones(len(order), bool)
    groups = []
    for number in order:
        if len(groups) == limit:
            break
        near = neighbours[number]
        near = near[near >= 0]
        near = near[is_free[near]][: size - 1]
        if is_free[number] and len(near) == size - 1:
            groups.append([number, *near])
            is_free[groups[-1]] = False
    return np.array(groups, np.int64).reshape(-1, size)


def _pairs(shuffled: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(P, 2) record numbers, pairs of neighbours of one class. A class of odd size leaves one record out."""
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels[by_class])
    starts = np.cumsum(sizes) - sizes
    place_in_class = np.arange(len(by_class)) - np.repeat(starts, sizes)
    has_partner = place_in_class < np.repeat(sizes // 2 * 2, sizes)
    return by_class[has_partner].reshape(-1, 2)
