"""The bootstrap against a naive loop, a closed form, and simulated models with a known difference."""

import numpy as np
import pytest

from adamine_jax.retrieval.bootstrap import METRICS, differences, resample
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked


def ranked(ids, image_to_recipe, recipe_to_image=None):
    both = image_to_recipe, image_to_recipe if recipe_to_image is None else recipe_to_image
    ranks = {name: np.asarray(table, np.float32) for name, table in zip(DIRECTIONS, both, strict=True)}
    return Ranked(np.asarray(ids), ranks)


def drawn(rng, recipes, draws, pairs):
    """Returns the ids of random draws, and random ranks in steps of ½."""
    ids = np.array([rng.choice(recipes, pairs, replace=False) for _ in range(draws)])
    names = np.array([f"{number:010x}".encode() for number in rng.permutation(recipes)])
    return names[ids], *(rng.integers(2, 30, (2, draws, pairs)) / 2)


def naive(result, samples, seed):
    """Repeats every recipe as often as it was drawn."""
    names = sorted(set(result.ids.ravel().tolist()))
    rng = np.random.default_rng(seed)
    scores = np.empty((samples, 2, 4))
    for sample in range(samples):
        taken = [names[number] for number in rng.integers(len(names), size=len(names))]
        for i, direction in enumerate(DIRECTIONS):
            of_draws = []
            for draw, ranks in zip(result.ids.tolist(), result.ranks[direction].tolist(), strict=True):
                rank_of = dict(zip(draw, ranks, strict=True))
                found = [rank_of[name] for name in taken if name in rank_of]
                if found:
                    recalls = [100 * sum(rank <= k for rank in found) / len(found) for k in (1, 5, 10)]
                    of_draws.append([*recalls, np.median(found)])
            scores[sample, i] = np.mean(of_draws, axis=0)
    return scores


@pytest.mark.parametrize(
    ("recipes", "draws", "pairs"), [(30, 1, 30), (40, 3, 17), (25, 4, 8), (12, 2, 1), (9, 3, 2), (1, 1, 1)]
)
def test_samples_equal_a_naive_loop(recipes, draws, pairs):
    result = ranked(*drawn(np.random.default_rng(recipes), recipes, draws, pairs))
    np.testing.assert_allclose(resample(result, 150, seed=3).samples, naive(result, 150, seed=3), rtol=1e-12)


def test_measured_scores_are_means_over_the_draws():
    result = ranked([["a", "b"], ["c", "a"]], [[1, 7], [5.5, 1.5]], [[1, 1], [1, 12]])
    assert METRICS == ("r1", "r5", "r10", "medr")
    assert resample(result, 1).measured.tolist() == [[25, 50, 100, 3.75], [75, 75, 75, 3.75]]


def test_identical_models_are_exactly_as_good_as_each_other():
    result = ranked(*drawn(np.random.default_rng(0), 60, 3, 40))
    scores = resample(result, 200)
    for found in differences(scores, resample(result, 200)):
        assert (found.value, found.low, found.high, found.better) == (0, 0, 0, 0.5)


def test_equal_scores_that_are_summed_in_another_order_are_ties():
    """Uses three draws of the same recipes, in the opposite order for the second model."""
    ids, ranks, _ = drawn(np.random.default_rng(7), 41, 1, 41)
    of_draws = np.stack([ranks[0], ranks[0] + 2, np.roll(ranks[0], 5)])
    first, second = (resample(ranked(np.repeat(ids, 3, axis=0), table), 300) for table in (of_draws, of_draws[::-1]))
    assert np.any(first.samples != second.samples), "the test needs scores whose last bits differ"
    assert {found.better for found in differences(first, second)} == {0.5}


def test_the_better_model_is_the_second_one_if_that_finds_more_and_ranks_lower():
    ids, ranks, _ = drawn(np.random.default_rng(1), 50, 1, 50)
    worse, better = resample(ranked(ids, ranks + 1), 300), resample(ranked(ids, ranks), 300)
    forth, back = differences(worse, better), differences(better, worse)
    assert {(found.direction, found.metric) for found in forth} == {
        (direction, metric) for direction in (*DIRECTIONS, "mean") for metric in METRICS
    }
    for found, other in zip(forth, back, strict=True):
        assert found.better > 0.95
        assert found.better + other.better == pytest.approx(1)
        assert (found.value < 0) == (found.metric == "medr")
        assert (found.value, found.low, found.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_the_mean_of_both_directions_is_resampled_as_one():
    ids, *ranks = drawn(np.random.default_rng(2), 200, 1, 200)
    first, second = resample(ranked(ids, *ranks), 400), resample(ranked(ids, *ranks[::-1]), 400)
    by_name = {(found.direction, found.metric): found for found in differences(first, second)}
    for metric in METRICS:
        forth, back, mean = (by_name[direction, metric] for direction in (*DIRECTIONS, "mean"))
        assert forth.value == -back.value
        assert (mean.value, mean.low, mean.high, mean.better) == (0, 0, 0, 0.5)


def test_a_recipe_in_several_draws_goes_with_all_its_ranks():
    """Four draws of the same recipes with the same ranks know no more than one."""
    ids, *both = drawn(np.random.default_rng(3), 80, 1, 80)
    one = resample(ranked(ids, *both), 100)
    four = resample(ranked(*(np.repeat(table, 4, axis=0) for table in (ids, *both))), 100)
    np.testing.assert_allclose(one.samples, four.samples)


def test_spread_is_the_standard_error_of_a_difference_of_paired_proportions():
    """Var = (p10 + p01 - (p10 - p01)²) / n; 2,000 samples estimate a standard deviation to 1.6 %."""
    rng = np.random.default_rng(4)
    n = 20_000
    hard = rng.normal(size=n)
    ids = [[f"{number:05x}" for number in range(n)]]
    first, second = (np.where(hard + rng.normal(size=n) < bias, 1, 100) for bias in (0.0, 0.1))
    p10, p01 = np.mean((second == 1) & (first > 1)), np.mean((first == 1) & (second > 1))
    expected = 100 * np.sqrt((p10 + p01 - (p10 - p01) ** 2) / n)
    samples = [resample(ranked(ids, [ranks]), 2000) for ranks in (first, second)]
    deviation = np.std(samples[1].samples[:, 0, 0] - samples[0].samples[:, 0, 0])
    assert deviation == pytest.approx(expected, rel=0.06)
    (found,) = (d for d in differences(*samples) if (d.direction, d.metric) == ("image_to_recipe", "r1"))
    assert found.value == pytest.approx(100 * (p10 - p01))
    assert (found.low, found.high) == pytest.approx(
        (found.value - 1.96 * expected, found.value + 1.96 * expected), abs=0.25 * expected
    )


@pytest.mark.slow
def test_intervals_cover_the_true_difference_19_times_out_of_20():
    """Runs 300 tests of 300 recipes on two simulated models; the coverage has a standard error of 1.3 %."""
    rng = np.random.default_rng(5)
    ids = [[f"{number:03x}" for number in range(300)]]

    def simulated_ranks(recipes):
        """Returns geometric ranks that depend on the model and on the difficulty of the recipe for both models."""
        hard = rng.uniform(0.02, 0.3, recipes)
        return rng.geometric(hard), rng.geometric(1.25 * hard)

    first, second = simulated_ranks(2_000_000)
    truth = {"r1": 100 * (np.mean(second <= 1) - np.mean(first <= 1)), "medr": np.median(second) - np.median(first)}
    covered = dict.fromkeys(truth, 0)
    for _ in range(300):
        one, other = (resample(ranked(ids, [ranks]), 300) for ranks in simulated_ranks(300))
        for found in differences(one, other):
            if found.direction == "image_to_recipe" and found.metric in truth:
                covered[found.metric] += found.low <= truth[found.metric] <= found.high
    assert 0.91 <= covered["r1"] / 300 <= 0.98
    assert covered["medr"] / 300 >= 0.91  # intervals of integers cover more


def test_another_seed_and_more_samples():
    result = ranked(*drawn(np.random.default_rng(6), 50, 2, 30))
    few, more, other = resample(result, 70), resample(result, 130), resample(result, 70, seed=1)
    np.testing.assert_array_equal(few.samples, more.samples[:70])
    assert not np.array_equal(few.samples, other.samples)
