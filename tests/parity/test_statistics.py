"""The clustered interval: by hand, in a simulation, and where there is none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, pearsonr, t, ttest_1samp

from bitnet_parity import bootstrap_interval, clustered_mean
from bitnet_parity.statistics import Pairs, documents_needed, mcnemar, percentile, wilson_interval


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
    assert 0.90 <= covered / 400 <= 0.97
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


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(first, second):
    """Red when one tail is counted, or the tail begins one token off."""
    expected = binomtest(min(first, second), first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_is_scipys(count, total):
    """Red when the interval is Wald's, which is empty at 0 and 1."""
    count = min(count, total)
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(count, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing():
    """Red when 0 of 0 tokens have a share."""
    assert all(map(math.isnan, wilson_interval(0, 0)))


def test_bootstrap_is_scipys_within_its_own_noise():
    """Red when tokens are resampled instead of documents, or sums and counts are drawn apart."""
    generator = np.random.default_rng(2)
    counts = generator.integers(50, 300, 30)
    sums = counts * generator.normal(0.01, 0.02, 30)
    found = bootstrap_interval(sums.tolist(), counts.tolist())
    expected = bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert found.interval == pytest.approx((expected.low, expected.high), abs=0.0008)
    assert found.resamples == 2000


def test_bootstrap_is_seeded_and_bounded(monkeypatch):
    """Red when two runs differ, or blocks of resamples change the numbers' spread."""
    sums, counts = [0.3, -0.1, 0.2, 0.4], [10, 20, 15, 5]
    assert bootstrap_interval(sums, counts) == bootstrap_interval(sums, counts)
    assert bootstrap_interval(sums, counts) != bootstrap_interval(sums, counts, seed=1)
    whole = bootstrap_interval(sums, counts).interval
    monkeypatch.setattr("bitnet_parity.statistics._RESAMPLED", 40)
    assert bootstrap_interval(sums, counts).interval == pytest.approx(whole)


@pytest.mark.parametrize("sums", [[], [1.0], [1.0, math.nan]])
def test_bootstrap_of_too_little_has_no_interval(sums):
    """Red when one document is certain, or a NaN is resampled."""
    found = bootstrap_interval(sums, [3] * len(sums))
    assert all(map(math.isnan, found.interval))
    assert found.to_json()["interval"] == [None, None]


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=3, max_size=40))
def test_correlation_is_pearsons(pairs):
    """Red when the running covariance cancels, or is divided by the wrong count."""
    running = Pairs()
    for x, y in pairs:
        running.add(x, y)
    xs, ys = np.array(pairs).T
    if min(np.ptp(xs), np.ptp(ys)) > 1e-3:
        assert running.correlation == pytest.approx(pearsonr(xs, ys).statistic, abs=1e-6)
    assert math.isnan(Pairs().correlation)
