"""The three orders of I2_S: each against a decoder written weight by weight, and never passed over in silence."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitnet_engine.errors import FormatError, SettingError
from bitnet_engine.formats import I2SLayout, OutTensor, QuantType, open_checkpoint, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s, unpack_i2_s
from bitnet_engine.inspection import inspect

SCALE = 0.375
# docs/formats.md §6, its trits 0 to 255.
GOLDEN_B = (
    "18618411461861841146186184114618461861841146186184114618618411461146186184114618618411461861841184114618"
    "618411461861841146186184"
)


def code_of(layout: I2SLayout, data: bytes, columns: int, row: int, column: int) -> int:
    """Return one two-bit code, found by the arithmetic of docs/formats.md §2.7."""
    element = row * columns + column
    if layout is I2SLayout.A:
        byte, shift = 32 * (element // 128) + element % 32, 6 - 2 * (element % 128 // 32)
    elif layout is I2SLayout.B:
        byte, shift = 16 * (element // 64) + element % 16, 6 - 2 * (element % 64 // 16)
    else:
        byte, shift = row // 4 * columns + column, 6 - 2 * (row % 4)
    return data[byte] >> shift & 3


@pytest.mark.parametrize("layout", I2SLayout)
def test_every_weight_lies_where_the_layout_puts_it(layout: I2SLayout):
    """Fields in the other order, or blocks of another length: weights of the right values in wrong places."""
    values = np.random.default_rng(1).integers(-1, 2, (8, 256), np.int8)
    data = pack_i2_s(values, SCALE, layout)
    assert len(data) == values.size // 4 + 32
    codes = [[code_of(layout, data, 256, row, column) for column in range(256)] for row in range(8)]
    assert np.array_equal(np.array(codes) - 1, values)
    assert np.frombuffer(data, "<f4", 1, offset=values.size // 4) == SCALE


def test_golden_bytes_of_layout_b():
    """A layout B that only this code knows."""
    index = np.arange(256)
    values = ((index * 7 + index // 5) % 3 - 1).astype(np.int8).reshape(1, 256)
    assert pack_i2_s(values, SCALE, I2SLayout.B)[:64].hex() == GOLDEN_B


@pytest.mark.parametrize(("layout", "rows", "columns"), [(I2SLayout.B, 1, 64), (I2SLayout.C, 4, 1)])
@settings(max_examples=30)
@given(data=st.data())
def test_unpack_inverts_pack(layout: I2SLayout, rows: int, columns: int, data: st.DataObject):
    """A shape that a layout allows, and for which packing loses weights."""
    shape = data.draw(
        st.tuples(st.integers(1, 4).map(lambda n: n * rows), st.integers(1, 4).map(lambda n: n * columns))
    )
    values = data.draw(hnp.arrays(np.int8, shape, elements=st.integers(-1, 1)))
    unpacked = unpack_i2_s(pack_i2_s(values, SCALE, layout), values.shape, layout)
    assert np.array_equal(unpacked.values, values)
    assert unpacked.uniform_scale() == SCALE


def write(path: Path, layout: I2SLayout, values: np.ndarray) -> Path:
    write_gguf(path, {}, [OutTensor("w", QuantType.I2_S, values.shape, lambda: pack_i2_s(values, SCALE, layout))])
    return path


@pytest.mark.parametrize("layout", I2SLayout)
def test_the_layout_asked_for_is_the_one_read_and_stamped(tmp_path: Path, layout: I2SLayout):
    """A layout that is taken from the caller and not used, or used and not written down."""
    values = np.random.default_rng(2).integers(-1, 2, (8, 256), np.int8)
    path = write(tmp_path / "x.gguf", layout, values)
    with open_checkpoint(path, i2s_layout=layout) as checkpoint:
        assert checkpoint.reading.i2s_layout is layout
        assert np.array_equal(checkpoint.read_ternary("w").values, values)
    summary = inspect(path, i2s_layout=layout)
    assert summary.reading.i2s_layout is layout
    assert summary.to_json()["reading"]["i2s_layout"] == layout.value
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.reading.i2s_layout is I2SLayout.A
        assert np.array_equal(checkpoint.read_ternary("w").values, values) is (layout is I2SLayout.A)


def test_a_layout_for_a_file_without_i2_s_is_refused(packed: Path, samples: Path):
    """A setting that does nothing: the user believes a choice was made."""
    for path in (packed, samples / "nano" / "model-tq2_0.gguf"):
        with pytest.raises(SettingError, match=f"^{path}: holds no I2_S tensor, so no I2_S layout B either"):
            open_checkpoint(path, i2s_layout=I2SLayout.B)
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.reading.i2s_layout is None


def test_shapes_that_a_layout_cannot_hold(tmp_path: Path):
    """Rows of a last, partly filled byte."""
    path = write(tmp_path / "x.gguf", I2SLayout.A, np.zeros((2, 128), np.int8))
    with (
        open_checkpoint(path, i2s_layout=I2SLayout.C) as checkpoint,
        pytest.raises(FormatError, match="'w' has 2 rows; I2_S layout C allows multiples of 4"),
    ):
        checkpoint.read_ternary("w")
    with pytest.raises(ValueError, match="out features of I2_S layout C has a length of 2; it must be a multiple of 4"):
        pack_i2_s(np.zeros((2, 128), np.int8), SCALE, I2SLayout.C)
