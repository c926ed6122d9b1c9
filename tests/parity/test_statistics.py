"""The clustered interval: by hand, in a simulation, and where there is none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_1samp

from bitnet_parity import clustered_mean
from bitnet_parity.statistics import documents_needed, percentile


def test_by_hand():
    """Red when the estimate is a mean of means, or a bound takes the wrong tail of t."""
    found = clustered_mean([2.0, 9.0, 4.0], [1, 3, 1])
    ratio = 15 / 5
    error = math.sqrt(3 / 2 * (1.0 + 0.0 + 1.0)) / 5
    assert found.estimate == ratio
    assert found.standard_error == pytest.approx(error)
    assert found.upper == pytest.approx(ratio + t.ppf(0.95, 2) * error)
    assert found.lower == pytest.approx(ratio - t.ppf(0.95, 2) * error)
    assert found.interval == pytest.approx((ratio - t.ppf(0.975, 2) * error, ratio + t.ppf(0.975, 2) * error))


def test_equal_sizes_are_the_t_interval_of_scipy():
    """Red when the finite-sample factor D/(D−1) is missing."""
    means = np.random.default_rng(0).normal(size=12)
    found = clustered_mean((means * 7).tolist(), [7] * 12)
    expected = ttest_1samp(means, 0).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_interval_covers_the_truth_where_tokens_are_correlated():
    """Red when tokens are taken as independent: that interval covers about a third of the time here."""
    generator, covered, naive = np.random.default_rng(5), 0, 0
    for _ in range(400):
        counts = generator.integers(200, 600, size=40)
        effects = generator.normal(scale=0.2, size=40)  # ICC 0.2² / (1 + 0.2²) ≈ 0.04
        sums = counts * effects + generator.normal(size=40) * np.sqrt(counts)
        found = clustered_mean(sums.tolist(), counts.tolist())
        covered += found.interval[0] <= 0 <= found.interval[1]
        naive += abs(found.estimate) <= 1.96 / math.sqrt(counts.sum())
    assert 0.91 <= covered / 400 <= 0.98
    assert naive / 400 < 0.5


@pytest.mark.parametrize(("sums", "counts"), [([], []), ([0.0], [0]), ([math.nan, 1.0], [2, 2])])
def test_nothing_to_average_is_nan(sums, counts):
    """Red when 0 tokens have a mean of 0."""
    found = clustered_mean(sums, counts)
    assert math.isnan(found.estimate)
    assert math.isnan(found.upper)


def test_one_document_has_a_mean_and_no_interval():
    """Red when a single document looks certain."""
    found = clustered_mean([3.0], [2])
    assert found.estimate == 1.5
    assert math.isnan(found.standard_error)
    assert math.isnan(found.lower)


def test_documents_without_tokens_do_not_count():
    """Red when empty documents narrow the interval."""
    assert clustered_mean([1.0, 0.0, 3.0], [1, 0, 2]) == clustered_mean([1.0, 3.0], [1, 2])


def test_documents_needed_would_settle_it():
    """Red when the estimate of the work to do is off by a power."""
    sums = [0.3, -0.1, 0.2, 0.4, -0.2, 0.1]
    mean = clustered_mean(sums, [10] * 6)
    needed = documents_needed(mean, 0.02)
    margin = (mean.upper - mean.estimate) * math.sqrt(6 / needed)
    assert mean.estimate + margin <= 0.02 < mean.upper
    assert mean.estimate + (mean.upper - mean.estimate) * math.sqrt(6 / (needed - 1)) > 0.02
    assert documents_needed(mean, mean.estimate) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_percentile_is_numpys(values, fraction):
    """Red when a percentile is off by one place."""
    ordered = np.sort(values)
    assert percentile(ordered, fraction) == pytest.approx(np.quantile(ordered, fraction), abs=1e-6)


def test_percentile_beside_a_missing_value():
    """Red when half-missing turns into NaN and a warning, or into the number beside it."""
    assert percentile(np.array([-math.inf, 1.0]), 0.5) == -math.inf
    assert percentile(np.array([1.0, math.inf]), 0.5) == math.inf
    assert percentile(np.array([-math.inf, -math.inf]), 0.5) == -math.inf
    assert percentile(np.array([1.0, math.inf]), 0.0) == 1.0
    assert math.isnan(percentile(np.array([]), 0.5))
