"""Scores of groups of queries, counted by hand and against a plain loop."""

import json
import statistics

import numpy as np
import pytest

from adamine_jax.retrieval.breakdown import bin_of, break_down, by_bins, largest
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked


def test_counted_by_hand():
    """Uses two draws of three pairs; `b` is in both, `d` in neither."""
    ranks = {
        "image_to_recipe": np.array([[1, 2, 7], [3, 11, 1.5]], np.float32),
        "recipe_to_image": np.array([[1, 1, 1], [5, 6, 10.5]], np.float32),
    }
    ranked = Ranked(np.array([[b"a", b"b", b"c"], [b"b", b"e", b"f"]]), ranks)
    rows = break_down(ranked, [b"a", b"b", b"c", b"d", b"e", b"f"], ["soup", "cake", "soup", "pie", "soup", None])
    soup = {"image_to_recipe": {"medr": 7.0, "r1": pytest.approx(100 / 3), "r5": pytest.approx(100 / 3)}}
    soup["image_to_recipe"]["r10"] = pytest.approx(200 / 3)
    soup["recipe_to_image"] = {"medr": 1.0, "r1": pytest.approx(200 / 3), "r5": pytest.approx(200 / 3), "r10": 100.0}
    cake = {"image_to_recipe": {"medr": 2.5, "r1": 0.0, "r5": 100.0, "r10": 100.0}}
    cake["recipe_to_image"] = {"medr": 3.0, "r1": 50.0, "r5": 100.0, "r10": 100.0}
    assert rows == [
        {"group": "soup", "queries": 3, "recipes": 3, **soup},
        {"group": "cake", "queries": 2, "recipes": 1, **cake},
    ]
    json.dumps(rows)


def test_groups_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    names = [f"{number:02d}" for number in range(50)]
    group_of = {name: f"class {rng.integers(6)}" for name in names}
    ids = np.array([rng.choice(names, 20, replace=False) for _ in range(4)])
    ranked = Ranked(ids, {direction: rng.integers(2, 40, (4, 20)).astype(np.float32) / 2 for direction in DIRECTIONS})
    rows = break_down(ranked, names, [group_of[name] for name in names])
    assert sum(row["queries"] for row in rows) == 80
    assert [row["queries"] for row in rows] == sorted((row["queries"] for row in rows), reverse=True)
    for row in rows:
        for direction in DIRECTIONS:
            found = [
                float(rank)
                for draw, ranks in zip(ids, ranked.ranks[direction], strict=True)
                for name, rank in zip(draw, ranks, strict=True)
                if group_of[name] == row["group"]
            ]
            assert row[direction]["medr"] == statistics.median(found)
            for k in (1, 5, 10):
                assert row[direction][f"r{k}"] == pytest.approx(100 * sum(rank <= k for rank in found) / len(found))


def test_bins():
    assert [bin_of(count) for count in (0, 1, 5, 6, 10, 11, 15, 16, 20, 21, 300)] == [
        *("0", "1–5", "1–5", "6–10", "6–10", "11–15", "11–15", "16–20", "16–20", "21 or more", "21 or more")
    ]
    rows = [{"group": name} for name in ("21 or more", "6–10", "0", "1–5")]
    assert [row["group"] for row in by_bins(rows)] == ["0", "1–5", "6–10", "21 or more"]


def test_the_largest_protocol_has_the_most_pairs_and_then_the_most_draws():
    def ranked(draws, pairs):
        return Ranked(np.zeros((draws, pairs), "S1"), {})

    assert largest({"1k": ranked(10, 1000), "full": ranked(1, 3000), "500x9": ranked(9, 500)}) == "full"
    assert largest({"50x2": ranked(2, 50), "50x3": ranked(3, 50)}) == "50x3"
    assert largest({}) is None
