"""PackedTernary: the layout, the exact integer product, the two quantisers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitnet_engine import kernels
from bitnet_engine.kernels import Backend
from bitnet_engine.linears import bit_linear
from bitnet_engine.masters import absmean
from bitnet_engine.packing import PackedTernary, bitlinear, quantize_activations, ternary_matmul


@settings(max_examples=50, deadline=None)
@given(arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(1, 19)), elements=st.integers(-1, 1)))
def test_pack_loses_no_trit(trits):
    """Red when padding of a width that is no multiple of four leaks into the trits."""
    assert np.array_equal(PackedTernary.from_trits(trits, 0.5).to_trits(), trits)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("features", [256, 250])
def test_product_is_exact(rows, features):
    """Red when a sum is rounded, a field is mixed up, or the row padding of one token leaks."""
    random = np.random.default_rng(rows)
    trits = random.integers(-1, 2, (33, features)).astype(np.int8)
    q = random.integers(-128, 128, (rows, features)).astype(np.int8)
    expected = q.astype(np.int64) @ trits.T.astype(np.int64)
    found = ternary_matmul(jnp.asarray(q), PackedTernary.from_trits(trits, 1.0))
    assert found.dtype == jnp.int32
    assert np.array_equal(np.asarray(found), expected)


def test_sums_over_float32_precision_stay_exact():
    """Red when the accumulation runs in float32: 2^24 + 1 is then lost."""
    features = 140_000
    trits = np.ones((1, features), np.int8)
    q = np.full((2, features), 127, np.int8)
    q[:, 0] = 126
    found = ternary_matmul(jnp.asarray(q), PackedTernary.from_trits(trits, 1.0))
    assert int(found[0, 0]) == 127 * features - 1


def test_activations_round_half_to_even_and_clip():
    """Red when half rounds away from zero, as one engine does: 0.5 becomes 1 there."""
    x = jnp.asarray([[127.0, 0.5, 1.5, 2.5, -0.5, -127.0]])
    q, scale = quantize_activations(x)
    assert np.asarray(q)[0].tolist() == [127, 0, 2, 2, 0, -127]
    assert float(scale[0]) == 1.0


def test_a_row_of_zeros_stays_zero():
    """Red when the absmax of an all-zero row divides by zero."""
    w = PackedTernary.from_trits(np.ones((3, 8), np.int8), 2.0)
    assert np.array_equal(np.asarray(bitlinear(jnp.zeros((2, 8)), w)), np.zeros((2, 3)))


def test_absmean_thresholds_at_half_the_mean():
    """Red when exactly half the mean becomes 1: it rounds half to even, to 0."""
    trits, scale = absmean(np.array([[2.0, -0.5, 0.5, -1.0]], np.float32))
    assert trits.tolist() == [[1, 0, 0, -1]]
    assert scale == 1.0


@pytest.mark.parametrize("rows", [1, 3, 32, 128])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("layer", [bitlinear, bit_linear])
def test_a_row_that_is_not_finite_comes_out_as_nan(rows, bad, layer):
    """Red when an overflow becomes a number: XLA's max drops NaN from 32 rows on, and int8 has no NaN."""
    x = np.random.default_rng(0).normal(size=(rows, 256)).astype(np.float32)
    x[rows // 2, 7] = bad
    found = np.asarray(jax.jit(layer)(jnp.asarray(x), PackedTernary.from_trits(np.ones((4, 256), np.int8), 1.0)))
    assert np.isnan(found[rows // 2]).all()
    assert np.isfinite(np.delete(found, rows // 2, axis=0)).all()


def test_the_absmax_floor_is_transformers():
    """Red when a small row is quantised by another floor: 1e-5, under which codes shrink."""
    q, scale = quantize_activations(jnp.asarray([[1e-4, -5e-5], [5e-6, 0.0]]))
    assert np.asarray(q).tolist() == [[127, -64], [64, 0]]
    assert float(scale[1]) == pytest.approx(127e5)


@pytest.mark.parametrize("features", [16, 256, 6912])
def test_a_lone_row_is_counted_exactly(monkeypatch, features):
    """Red when a bit of the activations has the wrong weight or sign: −128 is the only code with the highest alone."""
    monkeypatch.setattr(kernels, "backend", lambda: Backend("xla", why="a test"))
    random = np.random.default_rng(features)
    trits = random.integers(-1, 2, (33, features)).astype(np.int8)
    q = random.integers(-128, 128, (1, features)).astype(np.int8)
    for codes in (q, np.full_like(q, -128), np.full_like(q, 127), np.full_like(q, -1)):
        found = jax.jit(ternary_matmul)(jnp.asarray(codes), PackedTernary.from_trits(trits, 1.0))
        assert np.array_equal(np.asarray(found), codes.astype(np.int64) @ trits.T.astype(np.int64))


def test_a_lone_row_makes_nothing_of_a_matrix_s_size(monkeypatch):
    """Red when XLA unpacks the matrix, or keeps the counts of all its bits, to multiply one row."""
    monkeypatch.setattr(kernels, "backend", lambda: Backend("xla", why="a test"))
    codes = jax.ShapeDtypeStruct((30, 6912, 640), jnp.uint8)

    def all_layers(q, codes):
        def add(total, layer):
            w = PackedTernary(codes, jnp.zeros(30), 2560).at(layer)
            return total + ternary_matmul(q, w), None

        return jax.lax.scan(add, jnp.zeros((1, 6912), jnp.int32), jnp.arange(30))[0]

    compiled = jax.jit(all_layers).lower(jax.ShapeDtypeStruct((1, 2560), jnp.int8), codes).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2 * 6912 * 640
