"""Metrics of a token: against scipy and by hand, and with logits that have no value."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cosine, jensenshannon
from scipy.special import log_softmax, rel_entr, softmax
from scipy.stats import kendalltau

from bitnet_engine.errors import BitnetError
from bitnet_parity import Belief, metrics
from bitnet_parity.ranking import top

INF, NAN = math.inf, math.nan


def measure(reference, candidate, targets, *, vocab, top_k):
    return metrics.measure(reference, candidate, targets, vocab=vocab, top_k=top_k, belief=Belief(vocab=vocab))


def two_sides(rows=6, vocab=50):
    reference = np.random.default_rng(0).normal(scale=3, size=(rows, vocab)).astype(np.float32)
    shift = np.random.default_rng(1).normal(scale=0.5, size=(rows, vocab))
    return reference, (reference + shift).astype(np.float32)


def one(reference, candidate, target=0, top_k=3):
    """Measure one row written out by hand."""
    sides = [np.array([row], np.float32) for row in (reference, candidate)]
    return measure(*sides, [target], vocab=len(reference), top_k=top_k)


def test_each_metric_is_scipys():
    """Red when a softmax, a sign, an axis or the direction of KL is wrong."""
    reference, candidate = two_sides()
    targets = [3, 0, 49, 7, 7, 12]
    found = measure(reference, candidate, targets, vocab=50, top_k=5)
    wide = reference.astype(np.float64), candidate.astype(np.float64)
    rows = np.arange(6), np.array(targets)
    np.testing.assert_allclose(found.nll_reference, -log_softmax(wide[0], axis=1)[rows], rtol=1e-13)
    np.testing.assert_allclose(found.nll_candidate, -log_softmax(wide[1], axis=1)[rows], rtol=1e-13)
    p, q = softmax(wide[0], axis=1), softmax(wide[1], axis=1)
    np.testing.assert_allclose(found.kl, rel_entr(p, q).sum(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(found.tau_b, [kendalltau(a, b).statistic for a, b in zip(*wide, strict=True)])
    np.testing.assert_array_equal(found.same_top, p.argmax(axis=1) == q.argmax(axis=1))
    ordered = np.sort(reference, axis=1)
    np.testing.assert_array_equal(found.margin, ordered[:, -1].astype(float) - ordered[:, -2])
    assert [i for i, _ in found.top_candidate[2]] == list(np.argsort(-candidate[2])[:5])


def test_divergences_of_probabilities_are_scipys():
    """Red when js is its square root, in bits, or of the wrong mean; or delta_p has the other sign."""
    reference, candidate = two_sides()
    targets = [3, 0, 49, 7, 7, 12]
    found = measure(reference, candidate, targets, vocab=50, top_k=5)
    p, q = (softmax(side.astype(np.float64), axis=1) for side in (reference, candidate))
    np.testing.assert_allclose(found.js, jensenshannon(p, q, axis=1) ** 2, rtol=1e-9)
    rows = np.arange(6), np.array(targets)
    np.testing.assert_allclose(found.delta_p, q[rows] - p[rows], rtol=1e-9, atol=1e-16)


def test_distances_of_logits_are_numpys():
    """Red when nmse is of the candidate's norm, the cosine of centred rows, or max|Δ| loses its sign's absolute."""
    reference, candidate = two_sides()
    found = measure(reference, candidate, [0] * 6, vocab=50, top_k=5)
    for i in range(6):
        x, y = reference[i].astype(np.float64), candidate[i].astype(np.float64)
        assert found.nmse[i] == pytest.approx(np.linalg.norm(y - x) ** 2 / np.linalg.norm(x) ** 2, rel=1e-12)
        assert found.cosine[i] == pytest.approx(1 - cosine(x, y), rel=1e-12)
        assert found.max_abs[i] == np.abs(y - x).max()
        shared = set(np.argsort(-x)[:5]) & set(np.argsort(-y)[:5])
        assert found.overlap[i] == len(shared) / 5


def test_the_gaussian_law_joins_tau_and_nmse():
    """Red when tau-b or nmse is off by a factor: for Gaussian logits and noise tau = 1 − (2/π)·atan(√NMSE)."""
    generator = np.random.default_rng(4)
    reference = generator.normal(size=(4, 6000)).astype(np.float32)
    candidate = (reference + generator.normal(scale=0.3, size=reference.shape)).astype(np.float32)
    found = measure(reference, candidate, [0] * 4, vocab=6000, top_k=1)
    np.testing.assert_allclose(found.tau_b, 1 - 2 / math.pi * np.arctan(np.sqrt(found.nmse)), atol=0.01)


def test_extremes_of_the_distances_by_hand():
    """Red when disjoint distributions diverge by more than ln 2, or opposite logits are not a cosine of −1."""
    apart = one([90.0, -90.0, -90.0], [-90.0, 90.0, -90.0], top_k=1)
    assert apart.js[0] == pytest.approx(math.log(2), rel=1e-12)
    assert apart.overlap[0] == 0.0
    opposite = one([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], top_k=3)
    assert (opposite.cosine[0], opposite.nmse[0], opposite.max_abs[0]) == (pytest.approx(-1.0), 4.0, 6.0)
    assert opposite.overlap[0] == 1.0
    certain = one([0.0, -INF], [0.0, -INF])
    assert (certain.js[0], certain.nmse[0], certain.max_abs[0]) == (0.0, 0.0, 0.0)


def test_values_by_hand():
    """Red when scipy and we share a mistake: p = (1/2, 1/4, 1/4) against q = (1/4, 1/2, 1/4)."""
    found = one(np.log([2, 1, 1]), np.log([1, 2, 1]), target=0)
    assert found.nll_reference[0] == pytest.approx(math.log(2), rel=1e-6)
    assert found.nll_candidate[0] == pytest.approx(math.log(4), rel=1e-6)
    assert found.kl[0] == pytest.approx(math.log(2) / 4, rel=1e-6)
    assert found.margin[0] == pytest.approx(math.log(2), rel=1e-6)
    assert not found.same_top[0]


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (3, 11), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_identical_rows_differ_by_exactly_nothing(logits):
    """Red when a model compared with itself shows a KL of 1e-17 or two different nll."""
    found = measure(logits, logits.copy(), [0, 5, 10], vocab=11, top_k=4)
    assert (found.kl == 0.0).all()
    assert (found.js == 0.0).all()
    assert (found.delta_p == 0.0).all()
    assert (found.overlap == 1.0).all()
    assert [(nmse, largest) for nmse, largest in zip(found.nmse, found.max_abs, strict=True)] == [(0.0, 0.0)] * 3
    assert all(c == 1.0 or not row.any() for c, row in zip(found.cosine, logits, strict=True))
    np.testing.assert_array_equal(found.nll_reference, found.nll_candidate)
    assert found.same_top.all()
    assert all(tau == 1.0 or len(set(row)) == 1 for tau, row in zip(found.tau_b, logits, strict=True))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (2, 9), elements=st.floats(-50, 50, width=32)))
def test_kl_is_never_negative(logits):
    """Red when rounding shows as a negative divergence."""
    nearby = np.nextafter(logits, np.float32(60))
    assert (measure(logits, nearby, [0, 1], vocab=9, top_k=1).kl >= 0.0).all()


def test_equal_logits_are_ranked_by_id():
    """Red when the order of ties depends on the partition, so that two runs show two tables."""
    row = np.zeros(300, np.float32)
    row[[7, 250]] = 1.0
    assert top(row, 5) == ((7, 1.0), (250, 1.0), (0, 0.0), (1, 0.0), (2, 0.0))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, 12, elements=st.sampled_from([-INF, -1.0, 0.0, 2.0])), st.integers(1, 15))
def test_top_is_a_stable_sort(row, k):
    """Red when a tie at the k-th place loses the lower id."""
    order = np.argsort(-row, kind="stable")[:k]
    assert [i for i, _ in top(row, k)] == order.tolist()


def test_padding_is_dropped():
    """Red when equal padding columns raise tau-b, or a padding id wins the top-1."""
    bare = one([1.0, 3.0, 2.0], [3.0, 1.0, 2.0])
    sides = (
        np.array([[1.0, 3.0, 2.0, 9.0, 0.0]], np.float32),
        np.array([[3.0, 1.0, 2.0, 9.0, 0.0]], np.float32),
    )
    padded = measure(*sides, [0], vocab=3, top_k=3)
    ruled_out = one([1.0, 3.0, 2.0, -INF, -INF], [3.0, 1.0, 2.0, -INF, -INF])
    for found in (padded, ruled_out):
        assert found.tau_b[0] == bare.tau_b[0]
        assert found.kl[0] == bare.kl[0]
        assert found.top_reference[0][0] == (1, 3.0)


def test_an_id_only_one_side_rules_out_is_compared():
    """Red when −inf on one side alone is taken for padding: that is a difference, and an infinite KL."""
    found = one([1.0, 3.0, 2.0], [1.0, -INF, 2.0], target=1)
    assert found.tau_b[0] == pytest.approx(-1 / 3)
    assert found.kl[0] == INF
    assert found.nll_candidate[0] == INF


def test_what_the_reference_thinks_impossible_costs_nothing():
    """Red when 0·log 0 turns a KL into NaN."""
    found = one([0.0, 0.0, -INF], [0.0, 0.0, 0.0])
    assert found.kl[0] == pytest.approx(math.log(3 / 2))


def test_a_probability_too_small_for_a_float_still_makes_kl_infinite():
    """Red when exp underflows to 0 and 0·inf is NaN."""
    assert one([0.0, -2000.0], [0.0, -INF]).kl[0] == INF


@pytest.mark.parametrize(
    ("row", "tau_defined"),
    [
        ([NAN, 1.0, 2.0], False),
        ([NAN, NAN, NAN], False),
        ([INF, 1.0, 2.0], True),
        ([INF, INF, 2.0], True),
        ([-INF, -INF, -INF], False),
    ],
)
def test_rows_without_a_distribution_are_nan_not_a_crash(row, tau_defined):
    """Red when a NaN logit raises, warns, or gets a finite nll."""
    for found in (one(row, [1.0, 2.0, 3.0]), one([1.0, 2.0, 3.0], row)):
        assert math.isnan(found.kl[0])
        assert math.isnan(found.js[0])
        assert math.isnan(found.delta_p[0])
        assert math.isnan(found.nmse[0])
        assert math.isnan(found.cosine[0])
        assert math.isnan(found.nll_reference[0]) != math.isnan(found.nll_candidate[0])
        assert math.isnan(found.tau_b[0]) != tau_defined
    if NAN in row:
        assert not one(row, row).same_top[0]
        assert found.top_candidate[0][-1][0] in (0, 2)


def test_nan_is_ranked_last():
    """Red when a NaN stands above every number in the top-10."""
    ids = [i for i, _ in top(np.array([NAN, 1.0, -INF, 2.0], np.float32), 4)]
    assert ids == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("shapes", "targets", "message"),
    [
        (((1, 5), (1, 6)), [0], "the vocabularies differ in size: reference 5, candidate 6"),
        (((1, 5), (2, 5)), [0], "candidate: 2 rows of logits for 1 tokens"),
        (((1, 5), (1, 5)), [5], "reference: token 5 has no logit, the model has 5"),
        (((5,), (1, 5)), [0], r"reference: logits are float32 \[5\]"),
    ],
)
def test_a_broken_contract_names_both_sides(shapes, targets, message):
    """Red when numpy broadcasts two different vocabularies, or wraps a negative id."""
    sides = [np.zeros(shape, np.float32) for shape in shapes]
    with pytest.raises(BitnetError, match=message):
        measure(*sides, targets, vocab=100, top_k=3)


def test_float64_logits_are_refused():
    """Red when a source's precision is cut down in silence."""
    with pytest.raises(BitnetError, match=r"candidate: logits are float64 \[1, 3\]; float32"):
        measure(np.zeros((1, 3), np.float32), np.zeros((1, 3)), [0], vocab=3, top_k=1)
