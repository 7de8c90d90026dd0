import numpy as np
import pytest

from data_builders.recipe1m.report.counters import QUANTILES, Distribution


@pytest.mark.parametrize("number", [1, 2, 3, 19, 20, 21, 1000])
def test_quantiles_and_limits_are_those_of_the_plain_numbers(number):
    values = np.random.default_rng(number).geometric(0.05, number)
    distribution = Distribution()
    for value in values.tolist():
        distribution.add(value)
    expected = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf")
    assert list(distribution.quantiles().values()) == expected.tolist()
    assert list(distribution.quantiles()) == list(QUANTILES)
    assert distribution.total() == number
    for limit in (0, 5, 20, 1000):
        assert distribution.above(limit) == np.sum(values > limit)
        assert distribution.excess_over(limit) == np.sum(np.maximum(values - limit, 0))
    counts = distribution.as_json()["counts"]
    assert np.array_equal(np.repeat([int(v) for v in counts], list(counts.values())), np.sort(values))


def test_of_nothing_there_is_no_quantile():
    assert Distribution().quantiles() == {}
