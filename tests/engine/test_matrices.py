"""Orders of rows, and the scales of blocks, there and back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitnet_engine.formats import Trits
from bitnet_engine.formats.ternary import pack_tq1_0, pack_tq2_0, unpack_tq1_0, unpack_tq2_0
from bitnet_engine.matrices import hf_order, llama_order, reordered
from bitnet_engine.rope_scaling import Llama3Scaling, scaling_of
from tests.engine.families_gguf import llama_order as llama_cpp
from tests.engine.reference import frequencies


@settings(deadline=None)
@given(heads=st.integers(1, 9), half=st.integers(1, 40))
def test_rows_are_llama_cpps_and_come_back(heads, half):
    """Red when a permutation is taken for its inverse: they agree for heads of 4 rows and no others."""
    rows = np.arange(heads * half * 2)
    trits = Trits(rows[:, None].astype(np.int8), rows[:, None].astype(np.float32))
    written = reordered(trits, llama_order(len(rows), heads))
    assert np.array_equal(written.scale[:, 0], llama_cpp(rows, heads))
    assert np.array_equal(reordered(written, hf_order(len(rows), heads)).scale, trits.scale)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 5), blocks=st.integers(1, 3))
def test_a_scale_for_each_block_comes_back(seed, rows, blocks):
    """Red when scales are written column by column, or a block of zeros keeps one that ggml would not write."""
    random = np.random.default_rng(seed)
    values = random.integers(-1, 2, (rows, blocks * 256)).astype(np.int8)
    values[0, :256] = 0
    scale = random.uniform(0.01, 2, (rows, blocks)).astype(np.float16).astype(np.float32)
    for pack, unpack in ((pack_tq1_0, unpack_tq1_0), (pack_tq2_0, unpack_tq2_0)):
        found = unpack(pack(values, scale), values.shape)
        assert np.array_equal(found.values, values)
        assert found.scale[0, 0] == 0
        assert np.array_equal(found.scale.reshape(-1)[1:], scale.reshape(-1)[1:])


@settings(deadline=None)
@given(factor=st.floats(1.5, 64), half=st.integers(4, 64), theta=st.floats(1e3, 1e7))
def test_rotary_factors_match_the_specification(factor, half, theta):
    """Red when wavelengths are compared with the wrong bound, or blended in the wrong direction."""
    numbers = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    unscaled = frequencies(2 * half, theta, {})
    expected = unscaled / frequencies(2 * half, theta, numbers | {"factor": factor})
    found = Llama3Scaling(factor, 1.0, 4.0, 8192).factors(2 * half, theta)
    # Blending divides by a small number: eps of float32, times 3 · factor.
    assert np.allclose(found, expected, rtol=1e-6 * factor, atol=0)


def test_published_rotary_factors_are_recognised():
    """Red when a GGUF of Llama 3.1 or 3.2 cannot become a folder, or another model's gets their numbers."""
    for factor, head_dim in ((8.0, 128), (32.0, 64)):
        scaling = Llama3Scaling(factor, 1.0, 4.0, 8192)
        assert scaling_of(scaling.factors(head_dim, 500000.0), head_dim, 500000.0) == scaling
    assert scaling_of(Llama3Scaling(8.0, 1.0, 4.0, 4096).factors(128, 500000.0), 128, 500000.0) is None
