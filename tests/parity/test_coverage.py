"""The judgement as a whole, simulated: how often an interval covers, how often a verdict is right.

Documents differ in length and in difficulty, and tokens of one document share its effect, as those of real text do.
"""

import math

import numpy as np
import pytest

from bitnet_parity import Gates, Numbers, Verdict, bootstrap_interval, clustered_mean, judge

DOCUMENTS = 40
QUANTIZED = Gates.profile("quantized")


def paired_deltas(generator, delta, icc, spread=0.35):
    """Return sums and counts of nll differences: `spread` nats a token, of which the share `icc` is a document's."""
    counts = generator.integers(200, 600, size=DOCUMENTS)
    effects = generator.normal(scale=spread * math.sqrt(icc), size=DOCUMENTS)
    own = generator.normal(scale=spread * math.sqrt(1 - icc), size=DOCUMENTS) * np.sqrt(counts)
    return (counts * (delta + effects) + own).tolist(), counts.tolist()


def numbers(sums, counts):
    """Return what gates look at, with nothing to object to but the nll."""
    tokens = sum(counts)
    return Numbers(
        strings=100,
        strings_equal=100,
        tokens=tokens,
        tau_b_median=0.99,
        tau_b_undefined=0,
        tau_b_not_one=tokens,
        tau_b_estimated=0,
        tau_b_error=0.0,
        floor_tau_b=math.nan,
        floor_delta_mean_nll=math.nan,
        nll_undefined=0,
        nll_unequal=tokens,
        nll_reference=[3.0 * count for count in counts],
        nll_candidate=[3.0 * count + delta for count, delta in zip(counts, sums, strict=True)],
        counts=counts,
    )


@pytest.mark.parametrize("icc", [0.02, 0.05])
def test_the_interval_covers_as_often_as_it_says(icc):
    """Red when the nominal 95 % are not 90 to 97 % over 40 clustered documents; tokens as independent give a third."""
    generator, covered, naive = np.random.default_rng(11), 0, 0
    for _ in range(500):
        sums, counts = paired_deltas(generator, 0.01, icc)
        found = clustered_mean(sums, counts)
        covered += found.interval[0] <= 0.01 <= found.interval[1]
        naive += abs(found.estimate - 0.01) <= 1.96 * 0.35 / math.sqrt(sum(counts))
    assert 0.90 <= covered / 500 <= 0.97
    assert naive / 500 < 0.6


def test_the_bootstrap_covers_nearly_as_often():
    """Red when the interval shown beside the judged one is of another quantity, or of independent tokens."""
    generator, covered = np.random.default_rng(12), 0
    for _ in range(300):
        sums, counts = paired_deltas(generator, 0.01, 0.05)
        low, high = bootstrap_interval(sums, counts, resamples=500).interval
        covered += low <= 0.01 <= high
    assert 0.88 <= covered / 300 <= 0.97


def test_a_null_pair_never_fails():
    """Red when two equally good models are told apart: 200 seeded pairs that differ by noise alone."""
    for seed in range(200):
        sums, counts = paired_deltas(np.random.default_rng(seed), 0.0, 0.05)
        assert judge(numbers(sums, counts), QUANTIZED).verdict is not Verdict.FAIL


@pytest.mark.parametrize("sign", [1, -1])
def test_twice_the_margin_is_found(sign):
    """Red when a real difference of twice the margin is INCONCLUSIVE more than one time in twenty."""
    delta = sign * 2 * QUANTIZED.delta_mean_nll
    failed = 0
    for seed in range(200):
        sums, counts = paired_deltas(np.random.default_rng(1000 + seed), delta, 0.05, spread=0.1)
        failed += judge(numbers(sums, counts), QUANTIZED).verdict is Verdict.FAIL
    assert failed >= 190


def test_on_the_margin_it_passes_at_most_one_time_in_twenty():
    """Red when the bound is two-sided halves of the wrong tail: PASS at the margin itself is the error of 5 %."""
    passed = 0
    for seed in range(400):
        margin = QUANTIZED.delta_mean_nll
        sums, counts = paired_deltas(np.random.default_rng(5000 + seed), margin, 0.05, spread=0.1)
        passed += judge(numbers(sums, counts), QUANTIZED).verdict is Verdict.PASS
    assert passed / 400 <= 0.08
