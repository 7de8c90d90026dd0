"""Exact search: the rows most similar to a query, block by block, whatever the number of rows."""

import numpy as np

BLOCK = 1 << 16
"""Rows that are compared at once: 64 Ki of 1024 numbers are 256 MiB."""


def search(
    embeddings: np.ndarray, queries: np.ndarray, top: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The `top` rows with the largest dot products, of equal ones those that come first.

    Args:
        embeddings: (N, D) float32, may be mapped from the disk.
        queries: (Q, D) float32.
        top: K, how many; fewer where there are not as many rows.
        among: (n,) int64 rows in ascending order that are looked at; None = all.

    Returns:
        (similarities (Q, K) float32, rows (Q, K) int64), best first.
    """
    count = len(embeddings) if among is None else len(among)
    best = np.zeros((len(queries), 0), np.float32)
    rows = np.zeros((len(queries), 0), np.int64)
    for start in range(0, count, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, count))
        numbers = numbers if among is None else among[numbers]
        block = embeddings[numbers[0] : numbers[-1] + 1] if among is None else embeddings[numbers]
        similarities = (block @ queries.T).T  # ten times as fast as queries @ block.T for a single query
        best, rows = _merged(best, rows, similarities, numbers, top)
    return best, rows


def _merged(
    best: np.ndarray, rows: np.ndarray, similarities: np.ndarray, numbers: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best of what was found so far (Q, k) and of a block (Q, n), whose rows have these numbers (n,)."""
    if similarities.shape[1] > top:
        # All that equal the last of the top are kept at first: which of them stay is for their numbers to decide.
        least = -np.partition(-similarities, top - 1, axis=1)[:, top - 1 : top]
        width = int((similarities >= least).sum(axis=1).max())
        chosen = np.argpartition(-similarities, width - 1, axis=1)[:, :width]
    else:
        chosen = np.broadcast_to(np.arange(similarities.shape[1]), similarities.shape)
    similarities = np.concatenate([best, np.take_along_axis(similarities, chosen, axis=1)], axis=1)
    rows = np.concatenate([rows, numbers[chosen]], axis=1)
    order = np.lexsort((rows, -similarities), axis=1)[:, :top]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)
