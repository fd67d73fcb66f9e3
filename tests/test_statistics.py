"""Means and their intervals, against scipy's and a simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from resjax.lab import statistics


def test_the_interval_is_scipys():
    sample = np.array([1.0, 2.5, 2.0, 4.0])
    expected = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    low, mean, high = statistics.interval(sample)
    np.testing.assert_allclose([low, mean, high], [expected.low, 2.375, expected.high])


def test_of_logarithms_it_is_that_of_the_geometric_mean():
    sample = np.array([0.1, 1.0, 1000.0])
    np.testing.assert_allclose(statistics.interval(sample, log=True), np.exp(statistics.interval(np.log(sample))))


def test_of_one_value_there_is_none():
    low, mean, high = statistics.interval([3.0])
    assert mean == 3 and math.isnan(low) and math.isnan(high)


def test_it_covers_the_mean_of_normal_samples_in_95_of_100_cases():
    draws = np.random.default_rng(0).normal(2.0, 3.0, (4000, 5))
    ends = np.array([statistics.interval(sample) for sample in draws])
    covered = ((ends[:, 0] <= 2) & (ends[:, 2] >= 2)).mean()
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize(("values", "text"), (([0.5], "0.5"), ([1.0, 2.0], "1.5 ± 6.4"), ([2.0, 2.0], "2 ± 0")))
def test_what_a_table_says(values, text):
    assert statistics.plus_minus(values) == text


def test_a_group_a_row():
    table = pd.DataFrame({"a": ["x", "x", "y"], "b": [1.0, 2.0, 3.0]})
    found = statistics.summarised(table.groupby("a"), ["b"])
    assert found.to_numpy().tolist() == [["x", "1.5 ± 6.4"], ["y", "3"]]


def test_a_rank_correlation_is_spearmans_and_knows_only_ranks():
    x = np.array([1.0, 5.0, 2.0, 9.0, 7.0, 3.0, 4.0])
    y = np.array([2.0, 3.0, 1.0, 8.0, 9.0, 2.5, 7.0])
    ranks = [stats.rankdata(x), stats.rankdata(y)]
    found = statistics.rank_correlation(x, y)
    assert found[1] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert statistics.rank_correlation(np.exp(x), -1 / y) == pytest.approx(found)
    assert statistics.rank_correlation([*x, math.nan], [*y, 1.0]) == pytest.approx(found)


@pytest.mark.parametrize(("x", "y"), (([1, 2, 3], [1, 2, 3]), ([1] * 9, list(range(9)))))
def test_of_few_or_equal_values_there_is_no_rank_correlation(x, y):
    assert all(map(math.isnan, statistics.rank_correlation(x, y)))


def test_its_interval_covers_that_of_normal_pairs_in_95_of_100_cases():
    rng = np.random.default_rng(0)
    correlation = 0.6
    expected = 6 / math.pi * math.asin(correlation / 2)  # Spearman's ρ of a normal pair
    pairs = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], (2000, 30))
    ends = np.array([statistics.rank_correlation(*sample.T) for sample in pairs])
    covered = ((ends[:, 0] <= expected) & (ends[:, 2] >= expected)).mean()
    assert abs(covered - 0.95) < 0.02
