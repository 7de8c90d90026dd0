"""Queries of a FAISS index, restricted to the rows that a filter selects."""

from typing import Any

import numpy as np

CANDIDATES = 200
"""Minimum number of candidates that are re-ranked exactly: the projection may swap neighbours."""


class Selection:
    """The rows that may be found, as an index needs them.

    Args:
        rows: (P,) row number of each position of a snapshot, ascending.
        mask: (P,) whether a row may be found; None = all.
        limit: Number of the first row that is not in the index.

    Attributes:
        mask: The mask.
        rows: The row numbers.
        first_new: First position that is not in the index.
        old: Selected positions before it; None = all.
        new: Selected positions from it on, relative to it; None = all.
        count: Number of selected positions.
        count_old: Number of those in the index.
        bits: Selected row numbers below `limit` as a bitmap; None = all.
    """

    def __init__(self, rows: np.ndarray, mask: np.ndarray | None, limit: int):
        self.mask, self.rows = mask, rows
        self.first_new = int(np.searchsorted(rows, limit))
        self.old = self.new = self.bits = None
        self.count, self.count_old = len(rows), self.first_new
        if mask is not None:
            self.old, self.new = np.flatnonzero(mask[: self.first_new]), np.flatnonzero(mask[self.first_new :])
            self.count, self.count_old = len(self.old) + len(self.new), len(self.old)
            is_selected = np.zeros(limit, bool)
            is_selected[rows[self.old]] = True
            self.bits = np.packbits(is_selected, bitorder="little")

    @property
    def share(self) -> float:
        """Share of the rows of the index that are selected."""
        return self.count_old / max(self.first_new, 1)


def more_cells(share: float) -> float:
    """Returns how many times as many cells to visit if only a share of the rows may be found.

    The nearest rows of a share are farther from the query than those of all rows, so more cells may contain them.
    """
    return max(share, 1e-9) ** -0.5


def candidates(index, queries: np.ndarray, top: int, visited: int, chosen: Selection | None = None) -> np.ndarray:
    """Returns the (Q, C) nearest rows of the projections; missing ones are -1.

    Args:
        index: FAISS index.
        queries: (Q, D) rows.
        top: Number of results K.
        visited: Number of cells that a query visits, shared among all cores.
        chosen: Rows that may be found; None = all.
    """
    import faiss

    faiss.extract_index_ivf(index).parallel_mode = 1
    selector = None
    if chosen is not None and chosen.bits is not None:
        selector = faiss.IDSelectorBitmap(len(chosen.bits), faiss.swig_ptr(chosen.bits))
    # The type checker sees the constructors of C++, without the keywords that faiss adds.
    parameters: Any = faiss.SearchParametersPreTransform
    inner = faiss.SearchParametersIVF()
    inner.nprobe, inner.sel = visited, selector
    count = min(max(4 * top, CANDIDATES), index.ntotal)
    queries = np.ascontiguousarray(queries, np.float32)
    return index.search(queries, count, params=parameters(index_params=inner))[1]
