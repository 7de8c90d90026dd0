"""Where a model is good and where it is not: its ranks by class and by length of the recipe."""

from collections.abc import Sequence

import numpy as np

from adamine_jax.retrieval.protocols import DIRECTIONS, RECALLS, Ranked, metrics

_RECALLS = tuple(f"r{k}" for k in RECALLS)
BINS = ((0, "0"), (5, "1–5"), (10, "6–10"), (15, "11–15"), (20, "16–20"), (None, "21 or more"))


def largest(ranked: dict[str, Ranked]) -> str | None:
    """The protocol with the most pairs, of several the one with the most draws; None where there is none."""
    return max(ranked, key=lambda name: ranked[name].ids.shape[::-1], default=None)


def break_down(ranked: Ranked, ids: Sequence[str], groups: Sequence[str | None]) -> list[dict]:
    """Median rank and recall of each group of queries; all draws are pooled.

    The ranks stay what they are: among all candidates of a draw, not within the group.

    Args:
        ranked: of one protocol.
        ids: N recipe ids; those drawn are among them.
        groups: the N recipes' groups; a recipe whose group is None is left out.

    Returns:
        [{"group", "queries", "recipes", direction: {"medr", "r1", "r5", "r10"}}], the group with the most queries
        first. `queries` counts every draw, `recipes` each recipe once. Plain Python numbers, R@K in percent.
    """
    group_of = {name: group for name, group in zip(ids, groups, strict=True) if group is not None}
    drawn = ranked.ids.ravel()
    members = {}
    for row, name in enumerate(drawn.tolist()):
        if name in group_of:
            members.setdefault(group_of[name], []).append(row)
    rows = []
    for group, places in sorted(members.items(), key=lambda item: (-len(item[1]), item[0])):
        measured = {direction: metrics(ranked.ranks[direction].ravel()[places]) for direction in DIRECTIONS}
        kept = {direction: {key: found[key] for key in ("medr", *_RECALLS)} for direction, found in measured.items()}
        rows.append({"group": group, "queries": len(places), "recipes": len(np.unique(drawn[places])), **kept})
    return rows


def bin_of(count: int) -> str:
    """The bin of a number of ingredients or sentences: `1–5`, `6–10`, `11–15`, `16–20`, `21 or more`, and `0`."""
    return next(name for last, name in BINS if last is None or count <= last)


def by_bins(rows: list[dict]) -> list[dict]:
    """Rows of `break_down` whose groups are bins, in the order of the bins."""
    order = [name for _, name in BINS]
    return sorted(rows, key=lambda row: order.index(row["group"]))
