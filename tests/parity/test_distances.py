"""Distances of rows: against scipy in every mixture of infinities, and the same bits however rows are shared out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, logsumexp

from bitnet_parity.distances import row_distances, row_nll
from bitnet_parity.row_loops import row_loops

INF, NAN = math.inf, math.nan
# Ties, both zeros, what float32 has at its ends, exponents that underflow, and no numbers.
VALUES = st.sampled_from([-INF, -3e38, -2000.0, -88.5, -1.0, -0.0, 0.0, 1e-45, 0.5, 3.0, 700.0, 3e38, INF, NAN])
PAIRS = st.integers(1, 140).flatmap(
    lambda n: arrays(np.float32, (2, n), elements=VALUES | st.floats(-30, 30, width=32))
)


def divergences(x, y):
    """KL and Jensen-Shannon of two rows by logarithms of scipy's, an id at a time."""
    if not (np.isfinite(x.max()) and np.isfinite(y.max())):
        return NAN, NAN
    log_p, log_q = log_softmax(x), log_softmax(y)
    kl = js = 0.0
    for a, b in zip(log_p, log_q, strict=True):
        mean = logsumexp([a, b]) - math.log(2) if max(a, b) > -INF else 0.0
        kl += INF if b == -INF < a else math.exp(a) * (a - b) if a > -INF else 0.0
        js += sum(math.exp(side) * (side - mean) / 2 for side in (a, b) if side > -INF)
    return kl, js


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_divergences_are_scipys_whatever_a_row_holds(pair):
    """Red when an infinity, an underflow or a tail that fills no lane is summed as something else."""
    with np.errstate(all="ignore"):
        expected = divergences(*pair.astype(np.float64))
    found = row_distances(pair[:1], pair[1:], np.array([0]))
    np.testing.assert_allclose([found.kl[0], found.js[0]], expected, rtol=1e-11, atol=1e-13)


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_distances_of_logits_are_numpys_whatever_a_row_holds(pair):
    """Red when an id that one side rules out counts as equal, or one that both do makes a row undefined."""
    x, y = pair.astype(np.float64)
    x[both], y[both] = (0.0, 0.0) if (both := np.isneginf(x) & np.isneginf(y)).any() else (x[both], y[both])
    found = row_distances(pair[:1], pair[1:], np.array([0]))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        assert np.isnan([found.nmse[0], found.cosine[0], found.max_abs[0]]).all()
        return
    assert found.max_abs[0] == np.abs(y - x).max()
    error, norms = np.dot(y - x, y - x), np.linalg.norm(x) * np.linalg.norm(y)
    nmse = error / np.dot(x, x) if x.any() else (INF if error else 0.0)
    cosine = np.dot(x, y) / norms if norms else NAN
    np.testing.assert_allclose([found.nmse[0], found.cosine[0]], [nmse, cosine], rtol=1e-11, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(PAIRS, st.data())
def test_nll_is_scipys_and_that_of_one_side_alone(pair, data):
    """Red when `eval` and `parity` name two values for one token, or a row without a distribution has one."""
    ids = np.array([data.draw(st.integers(0, pair.shape[1] - 1))] * 2)
    with np.errstate(all="ignore"):
        expected = [-log_softmax(row)[ids[0]] if np.isfinite(row.max()) else NAN for row in pair.astype(np.float64)]
    found = row_distances(pair[:1], pair[1:], ids[:1])
    np.testing.assert_allclose([found.nll_reference[0], found.nll_candidate[0]], expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(row_nll(pair, ids), [found.nll_reference[0], found.nll_candidate[0]])


def test_close_rows_keep_a_divergence_of_seven_digits():
    """Red when Jensen-Shannon is a difference of two logarithms that nearly agree."""
    generator = np.random.default_rng(0)
    x = generator.normal(scale=3, size=(1, 5000)).astype(np.float32)
    y = np.nextafter(x, np.float32(100))
    p, q = (np.exp(log_softmax(row[0].astype(np.longdouble))) for row in (x, y))
    mean = (p + q) / 2
    exact = float((p * np.log1p((p - mean) / mean) + q * np.log1p((q - mean) / mean)).sum() / 2)
    assert row_distances(x, y, np.array([0])).js[0] == pytest.approx(exact, rel=1e-2)


def test_threads_change_no_bit():
    """Red when a row is summed in an order that depends on who sums it, or two threads share a scratch row."""
    generator = np.random.default_rng(1)
    x, y = generator.normal(scale=4, size=(2, 12, 1000)).astype(np.float32)
    ids = np.arange(12)
    alone, shared = (vars(row_distances(x, y, ids, threads)) for threads in (1, 4))
    for name, values in alone.items():
        np.testing.assert_array_equal(values, shared[name])


def test_rows_with_padding_between_are_read_where_they_lie():
    """Red when a row of a wider matrix is taken for contiguous with the next, or a read-only one is refused."""
    wide = np.random.default_rng(2).normal(size=(2, 5, 40)).astype(np.float32)
    wide.setflags(write=False)
    ids = np.arange(5)
    found, alone = row_distances(*wide[..., :33], ids), row_distances(*wide[..., :33].copy(), ids)
    np.testing.assert_array_equal(found.kl, alone.kl)
    turned = row_distances(*(np.asfortranarray(side) for side in wide[..., :33]), ids)
    np.testing.assert_array_equal(found.kl, turned.kl)


def test_exponentials_are_within_a_unit_and_a_half_of_the_last_place():
    """Red when the polynomial loses a term, or an exponent of 2 is off by one at the edge of a range."""
    x = np.concatenate([-np.geomspace(1e-12, 707, 20_000), -np.arange(1020) * math.log(2) / 2, [0.0]]).astype(
        np.float32
    )
    found = np.zeros(len(x))
    row_loops().exponentials(x, 0.0, found)
    exact = np.exp(x.astype(np.longdouble))
    assert (np.abs(found - exact) <= 1.5 * np.spacing(exact.astype(np.float64))).all()
    row_loops().exponentials(np.array([-708.5, -3e38, -INF], np.float32), 0.0, found)
    assert not found[:3].any()
