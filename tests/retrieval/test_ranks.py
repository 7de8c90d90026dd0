"""Ranks agree with a naive sort, on small integers with exact similarities and on random unit rows."""

import os
import subprocess
import sys

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.ranks import _tile_size, pair_ranks, ranks


def naive_ranks(queries, candidates, positives):
    """Sorts each query's candidates and averages the places (from 1) that share the positive's score."""
    result = []
    for query, positive in zip(queries, positives, strict=True):
        scores = [float(np.dot(query.astype(np.float64), candidate)) for candidate in candidates]
        places = [place for place, score in enumerate(sorted(scores, reverse=True), 1) if score == scores[positive]]
        result.append(sum(places) / len(places))
    return np.array(result, np.float32)


def unit_rows(rng, n, d):
    rows = rng.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@st.composite
def retrieval_problems(draw):
    """Draws queries, candidates and positives of small integers: many ties and no rounding."""
    n, m, d = draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.integers(1, 3))
    entries = st.integers(-2, 2)
    queries = draw(hnp.arrays(np.float32, (n, d), elements=entries))
    candidates = draw(hnp.arrays(np.float32, (m, d), elements=entries))
    positives = draw(hnp.arrays(np.int64, n, elements=st.integers(0, m - 1)))
    return queries, candidates, positives


@hypothesis.given(retrieval_problems())
@hypothesis.settings(deadline=None, max_examples=60)
def test_ranks_equal_a_naive_sort(problem):
    result = ranks(*problem)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, naive_ranks(*problem))


@hypothesis.given(retrieval_problems())
@hypothesis.settings(deadline=None, max_examples=40)
def test_pair_ranks_equal_a_naive_sort_in_both_directions(problem):
    n = min(len(problem[0]), len(problem[1]))
    image, recipe = problem[0][:n], problem[1][:n]
    image_to_recipe, recipe_to_image = pair_ranks(image, recipe)
    np.testing.assert_array_equal(image_to_recipe, naive_ranks(image, recipe, range(n)))
    np.testing.assert_array_equal(recipe_to_image, naive_ranks(recipe, image, range(n)))


def test_hand_values_with_ties():
    candidates = np.array([[3.0], [2.0], [2.0], [2.0], [1.0]])
    assert ranks(np.ones((5, 1)), candidates, np.arange(5)).tolist() == [1, 3, 3, 3, 5]


@pytest.mark.parametrize("n", [1, 2, 64, 65, 1023, 1024, 1025, 2500])
def test_all_equal_embeddings_score_like_chance(n):
    rows = np.tile(unit_rows(np.random.default_rng(0), 1, 37), (n, 1))
    for result in (*pair_ranks(rows, rows), ranks(rows, rows, np.arange(n))):
        np.testing.assert_array_equal(result, np.full(n, (n + 1) / 2, np.float32))


def test_one_candidate_is_always_first():
    queries = unit_rows(np.random.default_rng(0), 5, 8)
    assert ranks(queries, queries[:1], np.zeros(5, int)).tolist() == [1] * 5


def test_several_tiles_agree_with_float64():
    """Uses more rows and columns than fit in one tile."""
    rng = np.random.default_rng(1)
    image, recipe = unit_rows(rng, 2100, 16), unit_rows(rng, 2100, 16)
    exact = image.astype(np.float64) @ recipe.astype(np.float64).T
    expected = [1 + np.sum(exact > np.diag(exact)[:, None], axis=1), 1 + np.sum(exact > np.diag(exact), axis=0)]
    for result, ranks_in_float64 in zip(pair_ranks(image, recipe), expected, strict=True):
        # Float32 rounds the 2,100² similarities, so a near tie occasionally changes a rank by one.
        assert np.mean(result == ranks_in_float64) > 0.995
        np.testing.assert_allclose(result, ranks_in_float64, atol=1)


def test_both_functions_agree_to_the_last_bit():
    rng = np.random.default_rng(2)
    image, recipe = unit_rows(rng, 1500, 48), unit_rows(rng, 1500, 48)
    image_to_recipe, recipe_to_image = pair_ranks(image, recipe)
    np.testing.assert_array_equal(image_to_recipe, ranks(image, recipe, np.arange(1500)))
    np.testing.assert_array_equal(recipe_to_image, ranks(recipe, image, np.arange(1500)))


def test_duplicates_far_apart_are_ties():
    """Copies of a candidate are in different tiles and at different positions in them."""
    rng = np.random.default_rng(3)
    queries, originals = unit_rows(rng, 40, 300), unit_rows(rng, 25, 300)
    copy_of = rng.permutation(np.repeat(np.arange(25), 60))
    positives = rng.integers(len(copy_of), size=40)
    similarities = queries.astype(np.float64) @ originals.astype(np.float64).T
    right = similarities[np.arange(40), copy_of[positives]]
    better_originals = np.sum(similarities > right[:, None], axis=1)
    expected = 1 + 60 * better_originals + 59 / 2
    np.testing.assert_array_equal(ranks(queries, originals[copy_of], positives), expected.astype(np.float32))


def test_lower_and_higher_precision_inputs_are_read_as_float32():
    rows = unit_rows(np.random.default_rng(4), 6, 3)
    expected = ranks(rows, rows[::-1], np.arange(6))
    np.testing.assert_array_equal(ranks(rows.astype(np.float64), rows[::-1], np.arange(6)), expected)
    assert ranks(np.eye(3, dtype=np.float16), np.eye(3, dtype=int), np.arange(3, dtype=np.uint8)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_non_finite_embeddings_are_reported(value):
    good, bad = np.eye(4), np.eye(4)
    bad[2, 1] = value
    with pytest.raises(UserError, match="query embedding of row 2"):
        ranks(bad, good, np.arange(4))
    with pytest.raises(UserError, match="candidate embedding of row 2"):
        ranks(good, bad, np.arange(4))
    with pytest.raises(UserError, match="image embedding of row 2"):
        pair_ranks(bad, good)
    with pytest.raises(UserError, match="recipe embedding of row 2"):
        pair_ranks(good, bad)


@pytest.mark.parametrize(
    ("queries", "candidates", "positives", "message"),
    [
        (np.ones(3), np.ones((2, 3)), [0], r"query embeddings have shape \(3,\)"),
        (np.ones((0, 3)), np.ones((2, 3)), [], r"query embeddings have shape \(0, 3\)"),
        (np.ones((1, 3)), np.ones((2, 4)), [0], r"\(1, 3\) and candidates \(2, 4\) differ in width"),
        (np.ones((2, 3)), np.ones((2, 3)), [0], r"positives have shape \(1,\); expected \(2,\)"),
        (np.ones((2, 3)), np.ones((2, 3)), [0.0, 1.0], "positives are float64"),
        (np.ones((2, 3)), np.ones((2, 3)), [0, 2], "positive of query 1 is 2; candidates are numbered 0 to 1"),
        (np.ones((2, 3)), np.ones((2, 3)), [-1, 0], "positive of query 0 is -1"),
        (np.array([["a"]]), np.ones((1, 1)), [0], "expected real numbers"),
    ],
)
def test_invalid_arguments_are_reported(queries, candidates, positives, message):
    with pytest.raises(UserError, match=message):
        ranks(queries, candidates, np.array(positives))


def test_unequal_numbers_of_pairs_are_reported():
    with pytest.raises(UserError, match=r"\(3, 2\) and recipe embeddings \(4, 2\) differ"):
        pair_ranks(np.ones((3, 2)), np.ones((4, 2)))


def ranks_by_sorting(queries, candidates):
    """Sorts each row of the float32 product and averages tied places."""
    similarities = queries @ candidates.T
    right = np.diagonal(similarities)
    result = []
    for row, score in zip(np.sort(similarities, axis=1), right, strict=True):
        below, not_above = np.searchsorted(row, score, "left"), np.searchsorted(row, score, "right")
        first, last = len(row) - not_above + 1, len(row) - below
        result.append((first + last) / 2)
    return np.array(result, np.float32)


def test_ten_thousand_pairs_with_many_ties_equal_a_sort():
    """Uses small integers: sums are exact in any order, and most places are tied."""
    rng = np.random.default_rng(5)
    image = rng.integers(-2, 3, (10_000, 6)).astype(np.float32)
    recipe = image + rng.integers(-1, 2, (10_000, 6)).astype(np.float32)
    image_to_recipe, recipe_to_image = pair_ranks(image, recipe)
    np.testing.assert_array_equal(image_to_recipe, ranks_by_sorting(image, recipe))
    np.testing.assert_array_equal(recipe_to_image, ranks_by_sorting(recipe, image))
    assert np.mean(image_to_recipe % 1 == 0.5) > 0.2, "the test needs ties"


ON_ONE_DEVICE = """
import sys
import jax
import numpy as np
from adamine_jax.retrieval.ranks import pair_ranks, ranks
assert jax.device_count() == 1
image, recipe = np.load(sys.argv[1])
np.save(sys.argv[2], [*pair_ranks(image, recipe), ranks(image, recipe, np.arange(len(image))[::-1])])
"""


def test_one_device_and_eight_agree_to_the_last_bit(tmp_path):
    assert jax.device_count() == 8
    rng = np.random.default_rng(6)
    image, recipe = unit_rows(rng, 2400, 96), unit_rows(rng, 2400, 96)
    recipe[1000:1300] = recipe[:300]  # ties that an error in the last bit would break
    np.save(tmp_path / "pairs.npy", [image, recipe])
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
    command = [sys.executable, "-c", ON_ONE_DEVICE, str(tmp_path / "pairs.npy"), str(tmp_path / "ranks.npy")]
    subprocess.run(command, check=True, env=os.environ | {"XLA_FLAGS": flags})
    one = np.load(tmp_path / "ranks.npy")
    sharding = NamedSharding(jax.make_mesh((8,), ("data",)), PartitionSpec("data"))
    on_eight = [jax.device_put(rows, sharding) for rows in (image, recipe)]
    for pairs in ((image, recipe), on_eight):
        eight = [*pair_ranks(*pairs), ranks(*pairs, np.arange(2400)[::-1])]
        np.testing.assert_array_equal(eight, one)
    assert np.any(one % 1 == 0.5), "the test needs ties"


@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000, 1024, 1025, 10_000, 51_304])
def test_tiles_are_few_with_little_padding(n):
    tile = _tile_size(n)
    tiles = -(-n // tile)
    assert tile <= 1024
    assert tiles == -(-n // 1024), "as few tiles as possible"
    assert tile * tiles - n < max(8 * tiles, 64)
