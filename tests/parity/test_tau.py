"""tau_b: against scipy, against its definition, and where it has no value."""

import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau

from bitnet_engine.errors import BitnetError
from bitnet_parity import tau, tau_b, tau_b_rows

# Few distinct values make ties; the rest are the ends of the number line.
VALUES = st.sampled_from([-math.inf, -2.5, -1e-45, -0.0, 0.0, 1e-45, 1.0, 3.0, 3.4e38, math.inf])


def pairs(dtype, elements):
    shape = st.integers(2, 40).map(lambda n: (2, n))
    return shape.flatmap(lambda s: arrays(dtype, s, elements=elements))


def counted(x, y):
    """tau-b by its definition: every pair looked at, sums in exact integers."""
    sign_x = np.sign(np.subtract.outer(x, x))
    sign_y = np.sign(np.subtract.outer(y, y))
    above = np.triu_indices(len(x), 1)
    concordance = int((sign_x * sign_y)[above].sum())
    untied = int((sign_x[above] != 0).sum()), int((sign_y[above] != 0).sum())
    if 0 in untied:
        return math.nan
    return concordance / math.sqrt(untied[0] * untied[1])


def same(found, scipy):
    """Equal to the last bit, or the exact ±1 that scipy's two divisions miss by an ulp."""
    return (
        found == scipy or (math.isnan(found) and math.isnan(scipy)) or (abs(found) == 1 and abs(scipy - found) < 5e-16)
    )


@settings(max_examples=300, deadline=None)
@given(st.one_of(pairs(np.float32, VALUES.map(np.float32).map(float)), pairs(np.float64, VALUES)))
def test_is_scipys_value_on_ties_infinities_and_signed_zeros(xy):
    """Red when −0.0 is told from 0.0, negative floats sort backwards, or a tie count is off by one."""
    with np.errstate(all="ignore"):
        expected = float(kendalltau(*xy).statistic)
    assert same(tau_b(*xy), expected)


@settings(max_examples=100, deadline=None)
@given(pairs(np.float64, st.integers(-6, 6).map(float)))
def test_is_the_definition(xy):
    """Red when scipy and we share a mistake."""
    assert tau_b(*xy) == pytest.approx(counted(*xy), rel=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(pairs(np.float32, st.floats(-4, 4, width=16)))
def test_is_symmetric_odd_and_blind_to_scale(xy):
    """Red when the roles of x and y, or sign and exponent bits, are mixed up."""
    x, y = xy
    found = tau_b(x, y)
    assert tau_b(y, x) == pytest.approx(found, nan_ok=True)
    assert tau_b(x, -y) == pytest.approx(-found, nan_ok=True)
    assert tau_b(x * 8, y) == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize("n", [63, 64, 65, 127, 128, 129, 5000])
def test_words_of_64_ranks_lose_no_pair(n):
    """Red when the last word or a word's edge is left out of the tree."""
    x, y = np.random.default_rng(n).normal(size=(2, n))
    assert tau_b(x, y) == kendalltau(x, y).statistic


def test_more_pairs_than_32_bits():
    """Red when a count of pairs is 32 bits wide: 128 256 ids reversed are 8.2e9 discordant pairs."""
    x = np.arange(128_256, dtype=np.float32)
    assert tau_b(x, -x) == -1.0
    assert tau_b(x, x // 1000) == kendalltau(x, x // 1000).statistic


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, st.integers(2, 30), elements=st.integers(0, 4).map(float)))
def test_agreement_with_ties_is_exactly_one(x):
    """Red when equal vectors score 0.9999999999999999, which a lossless gate would fail."""
    assert tau_b(x, x) == 1.0 or len(set(x)) == 1


@pytest.mark.parametrize("bad", [[1.0, 1.0, 1.0], [1.0, math.nan, 2.0]])
def test_undefined_is_nan(bad):
    """Red when a constant or a NaN gets a number that a gate can pass."""
    good = np.array([1.0, 2.0, 3.0], np.float32)
    assert math.isnan(tau_b(np.array(bad, np.float32), good))
    assert math.isnan(tau_b(good, np.array(bad, np.float32)))
    assert math.isnan(tau_b(good[:1], good[:1]))


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_rows_are_the_rows_whatever_the_threads(threads):
    """Red when threads share state or rows come back out of order."""
    x, y = np.random.default_rng(0).normal(size=(2, 7, 300)).astype(np.float32)
    x[3] = 0.0
    expected = [tau_b(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_array_equal(tau_b_rows(x, y, threads), expected)


def test_no_rows():
    """Red when an empty window ends in a pool of zero threads."""
    assert tau_b_rows(np.empty((0, 5), np.float32), np.empty((0, 5), np.float32)).shape == (0,)


def test_shapes_that_differ_are_named():
    """Red when a longer vector is cut to the shorter one without a word."""
    with pytest.raises(BitnetError, match=r"tau_b: the shapes are \[2\] and \[3\]; one shape of rank 1 is needed"):
        tau_b(np.zeros(2), np.zeros(3))


def test_rows_that_may_not_be_written_are_taken():
    """Red when the logits of a recording, or a slice of a matrix, are of no type that the compiled code knows."""
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    x.flags.writeable = False
    assert tau_b(x[0], x[1]) == tau_b(x[:, 0], x[:, 1]) == 1.0
    np.testing.assert_array_equal(tau_b_rows(x, x[::-1]), np.ones(4))


def test_input_is_left_alone():
    """Red when the sort works in place on the caller's logits."""
    x = np.array([[3.0, -0.0, 1.0]], np.float32)
    tau_b_rows(x, x)
    np.testing.assert_array_equal(x, np.array([[3.0, -0.0, 1.0]], np.float32))


def test_works_where_compiled_code_cannot_be_kept(tmp_path):
    """Red when a read-only install (a file where the cache folder would be) ends the run."""
    shutil.copy(tau.__file__, tmp_path / "tau.py")
    (tmp_path / "__pycache__").write_text("not a folder")
    code = "import tau, numpy; print(tau.tau_b(numpy.arange(3.0), numpy.array([0.0, 2.0, 1.0])))"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/dev/null",
        "XDG_CACHE_HOME": "/dev/null",
    }
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert float(found.stdout) == pytest.approx(1 / 3)
