"""Medians, ratios and their intervals, against what can be counted or computed by hand."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_engine.bench.statistics import median_of, paired_ratio, unpaired_ratio

values = st.lists(st.floats(0.01, 100), min_size=1, max_size=30)


@given(values)
def test_the_interval_is_of_samples_and_holds_the_median(samples):
    """Red when an interval is turned round, or made of numbers that nobody measured."""
    found = median_of(samples)
    low, high = found.interval
    assert min(samples) <= low <= found.value <= high <= max(samples)
    assert {low, high} <= set(map(float, samples))
    assert 0 <= found.coverage < 1


@pytest.mark.parametrize(("count", "coverage", "rank"), [(1, 0.0, 0), (5, 0.9375, 0), (6, 0.96875, 0), (10, 0.9785, 1)])
def test_coverage_is_that_of_the_binomial(count, coverage, rank):
    """Red when five samples are said to cover 95 %, or ten give their extremes where the second ones do."""
    found = median_of([float(i) for i in range(count)])
    assert found.coverage == pytest.approx(coverage, abs=1e-4)
    assert found.interval == (rank, count - 1 - rank)


def test_nothing_has_no_median():
    """Red when no samples raise, or become zero."""
    assert math.isnan(median_of([]).value)


def test_a_paired_ratio_is_blind_to_what_moves_both():
    """Red when rounds are not paired: here one side is exactly twice the other in a noise of a factor of ten."""
    noise = [random.Random(i).uniform(1, 10) for i in range(8)]
    found = paired_ratio([2 * value for value in noise], noise)
    assert found.value == pytest.approx(2)
    assert found.interval == pytest.approx((2, 2))


def test_an_unpaired_ratio_is_welchs():
    """Red when the degrees of freedom or the variances are wrong: scipy has the numbers."""
    from scipy.stats import ttest_ind

    now, then = [10.0, 11.0, 10.5, 10.2], [12.0, 12.5, 11.8, 12.2, 12.1]
    found = unpaired_ratio(now, then)
    logs = [[math.log(value) for value in side] for side in (now, then)]
    bounds = ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    assert found.interval == pytest.approx((math.exp(bounds.low), math.exp(bounds.high)))


def test_one_sample_has_no_interval():
    """Red when a single run passes or fails a gate by an interval of nothing."""
    assert all(map(math.isnan, unpaired_ratio([1.0], [1.0, 1.1]).interval))
    assert all(map(math.isnan, paired_ratio([1.0], [1.0]).interval))
    assert math.isnan(unpaired_ratio([], [1.0]).value)


def test_samples_without_spread_have_an_interval_of_one_point():
    """Red when two equal measurements of memory divide by zero."""
    assert unpaired_ratio([2.0, 2.0], [4.0, 4.0]).interval == (0.5, 0.5)
