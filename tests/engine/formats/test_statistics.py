"""The numbers of a tensor that show where its zeros and its values are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitnet_engine.formats.statistics import BINS, MAP_SHAPE, _histogram, _zero_map
from bitnet_engine.inspection import tensor_stats, tensor_values


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_the_map_holds_every_zero(rows, columns, seed):
    """Rows past the last whole block were left out, where a matrix is no multiple of the map."""
    empty = np.random.default_rng(seed).random((rows, columns)) < 0.4
    found = np.array(_zero_map(empty))
    assert found.shape == (min(rows, MAP_SHAPE[0]), min(columns, MAP_SHAPE[1]))
    if rows <= MAP_SHAPE[0] and columns <= MAP_SHAPE[1]:
        assert np.array_equal(found.astype(bool), empty)
    assert abs(found.mean() - empty.mean()) < 0.25


def test_a_histogram_of_extremes():
    """The span of two float64 ends overflowed, and every value fell into the first bin."""
    values = np.array([-1.7e308, 0.0, 1.7e308, np.nan, np.inf])
    assert [at for at, count in enumerate(_histogram(values, -1.7e308, 1.7e308)) if count] == [0, BINS // 2, BINS - 1]
    assert _histogram(np.full(3, 2.5), 2.5, 2.5)[0] == 3


def test_the_first_values_of_the_sample(root):
    """An embedding of a gigabyte was read whole for its first eight rows, or a vector failed."""
    from bitnet_engine import open_checkpoint

    with open_checkpoint(root / "samples" / "nano" / "model-i2_s.gguf") as checkpoint:
        trits = np.array(tensor_values(checkpoint, "blk.0.attn_q.weight", 8, 16))
        assert trits.shape == (8, 16)
        assert set(trits.ravel()) <= {-1.0, 0.0, 1.0}
        matrix = np.array(tensor_values(checkpoint, "token_embd.weight", 4, 6))
        assert np.array_equal(matrix, checkpoint.read_dense("token_embd.weight")[:4, :6])
        assert len(tensor_values(checkpoint, "output_norm.weight", 4, 6)) == 1
        stats = tensor_stats(checkpoint, "output_norm.weight").to_json()
        assert sum(stats["histogram"]) == 256
        found = tensor_stats(checkpoint, "blk.0.attn_q.weight")
        assert found.zeros is not None
        assert abs(np.mean(found.zeros) - found.zero / 65536) < 1e-3
