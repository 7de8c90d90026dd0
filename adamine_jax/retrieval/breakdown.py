"""Breaks the ranks of a model down by groups of recipes, such as classes or numbers of ingredients."""

from collections.abc import Sequence

import numpy as np

from adamine_jax.retrieval.protocols import DIRECTIONS, RECALLS, Ranked, metrics

_RECALLS = tuple(f"r{k}" for k in RECALLS)
BINS = ((0, "0"), (5, "1–5"), (10, "6–10"), (15, "11–15"), (20, "16–20"), (None, "21 or more"))
"""Maximum and name of each bin."""


def largest(ranked: dict[str, Ranked]) -> str | None:
    """Returns the protocol with the most pairs, then the most draws; None if there are no protocols."""
    return max(ranked, key=lambda name: ranked[name].ids.shape[::-1], default=None)


def break_down(ranked: Ranked, ids: Sequence[str] | Sequence[bytes], groups: Sequence[str | None]) -> list[dict]:
    """Computes the median rank and recall of each group of queries, pooled over all draws.

    Ranks are those among all candidates of a draw, not within the group.

    Args:
        ranked: Ranks under one protocol.
        ids: N recipe ids, including all that were drawn.
        groups: Groups of the N recipes; recipes whose group is None are left out.

    Returns:
        [{"group", "queries", "recipes", direction: {"medr", "r1", "r5", "r10"}}], the group with the most queries
        first. `queries` counts a recipe once per draw, `recipes` only once. Plain Python numbers, R@K in percent.
    """
    group_of = {name: group for name, group in zip(ids, groups, strict=True) if group is not None}
    drawn = ranked.ids.ravel()
    members = {}
    for row, name in enumerate(drawn.tolist()):
        if name in group_of:
            members.setdefault(group_of[name], []).append(row)
    rows = []
    for group, queries in sorted(members.items(), key=lambda item: (-len(item[1]), item[0])):
        measured = {direction: metrics(ranked.ranks[direction].ravel()[queries]) for direction in DIRECTIONS}
        kept = {direction: {key: found[key] for key in ("medr", *_RECALLS)} for direction, found in measured.items()}
        rows.append({"group": group, "queries": len(queries), "recipes": len(np.unique(drawn[queries])), **kept})
    return rows


def bin_of(count: int) -> str:
    """Returns the name of the bin of a number of ingredients or sentences; see `BINS`."""
    return next(name for last, name in BINS if last is None or count <= last)


def by_bins(rows: list[dict]) -> list[dict]:
    """Sorts rows of `break_down` whose groups are bins by the order of the bins."""
    order = [name for _, name in BINS]
    return sorted(rows, key=lambda row: order.index(row["group"]))
