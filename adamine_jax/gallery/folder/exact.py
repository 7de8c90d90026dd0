"""Exact search for the rows most similar to a query. Memory does not grow with the number of rows."""

import threading
from collections.abc import Iterator

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.vectors import Vectors

BLOCK = 1 << 16
"""Rows compared per block: 64 Ki rows of 1024 numbers take 256 MiB."""
DENSE = 0.1
"""Share of candidates from which all rows are compared: reading them in order is faster than gathering a part."""

# A product uses all cores, and the threads of several at once would wait for each other for seconds.
_product = threading.Lock()


def search(
    embeddings: Vectors | np.ndarray, queries: np.ndarray, top: int, candidates: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `top` rows with the largest dot products; ties are broken by the lower row number.

    Args:
        embeddings: (N, D) float32 array, possibly memory-mapped.
        queries: (Q, D) float32 array.
        top: Number of results K; fewer are returned if there are fewer candidates.
        candidates: (n,) int64 row numbers to search, in ascending order; None searches all rows.

    Returns:
        (similarities (Q, K) float32, rows (Q, K) int64), best first.

    Raises:
        UserError: A similarity is not finite.
    """
    best = np.zeros((len(queries), 0), np.float32)
    rows = np.zeros((len(queries), 0), np.int64)
    for numbers, block, chosen in _blocks(embeddings, candidates):
        with _product, np.errstate(invalid="ignore"):  # reported below
            similarities = (block @ queries.T).T  # ten times as fast as queries @ block.T for a single query
        if chosen is not None:
            similarities = similarities[:, chosen]
        if not np.isfinite(similarities).all():
            row = numbers[np.argmin(np.isfinite(similarities).all(axis=0))]
            raise UserError(f"row {row} (from 0) of the gallery's embeddings is not finite; rebuild the gallery")
        best, rows = _merged(best, rows, similarities, numbers, top)
    return best, rows


def _blocks(
    embeddings: Vectors | np.ndarray, candidates: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yields (numbers, rows, which of the rows have these numbers; None = all) of at most `BLOCK` rows."""
    if candidates is not None and len(candidates) < DENSE * len(embeddings):
        for start in range(0, len(candidates), BLOCK):
            numbers = candidates[start : start + BLOCK]
            yield numbers, embeddings[numbers], None
        return
    whole = embeddings if isinstance(embeddings, Vectors) else Vectors([embeddings], embeddings.shape[1])
    for start, block in whole.blocks(BLOCK):
        if candidates is None:
            yield np.arange(start, start + len(block)), block, None
        else:
            numbers = candidates[slice(*np.searchsorted(candidates, (start, start + len(block))))]
            if len(numbers):
                yield numbers, block, numbers - start


def _merged(
    best: np.ndarray, rows: np.ndarray, similarities: np.ndarray, numbers: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray]:
    """Merges the best results so far (Q, k) with those of a block (Q, n) whose row numbers are `numbers` (n,)."""
    if similarities.shape[1] > top:
        # Keeps every entry that ties with the last of the top results: the row numbers decide which of them remain.
        least = -np.partition(-similarities, top - 1, axis=1)[:, top - 1 : top]
        width = int((similarities >= least).sum(axis=1).max())
        chosen = np.argpartition(-similarities, width - 1, axis=1)[:, :width]
    else:
        chosen = np.broadcast_to(np.arange(similarities.shape[1]), similarities.shape)
    similarities = np.concatenate([best, np.take_along_axis(similarities, chosen, axis=1)], axis=1)
    rows = np.concatenate([rows, numbers[chosen]], axis=1)
    order = np.lexsort((rows, -similarities), axis=1)[:, :top]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)
