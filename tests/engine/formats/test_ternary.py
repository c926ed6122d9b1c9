"""Trits through every packing, against published bytes, gguf-py, and themselves."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitnet_engine.formats.ternary import (
    ROW_MULTIPLE,
    UNPACKERS,
    pack_hf,
    pack_i2_s,
    pack_iq1_bn,
    pack_iq2_bn,
    pack_tq1_0,
    pack_tq2_0,
    unpack_hf,
)
from bitnet_engine.formats.types import QuantType, Trits

PACKERS = {
    QuantType.I2_S: pack_i2_s,
    QuantType.IQ1_BN: pack_iq1_bn,
    QuantType.IQ2_BN: pack_iq2_bn,
    QuantType.TQ1_0: pack_tq1_0,
    QuantType.TQ2_0: pack_tq2_0,
}
SCALE = 0.5
ONE = np.ones((), np.float32)

# docs/formats.md §6: t[i] = ((i * 7 + i // 5) mod 3) - 1 for i = 0..255, scale 0.5.
GOLDEN = {
    QuantType.TQ1_0: (
        "465dd11874465dd11874465dd11874465dd11874465dd11874465dd11874465d3192b622663192b622663192b6226631235fcb430038"
    ),
    QuantType.TQ2_0: (
        "588116600558811660055881166005588116600558811660055881166005588160055881166005588116600558811660"
        "055881166005588116600558811660050038"
    ),
    QuantType.I2_S: (
        "254294095025429409502542940950254294095025429409502542940950254209502542940950254294095025429409"
        "50254294095025429409502542940950" + "0000003f" + 28 * "00"
    ),
}


def golden_trits() -> np.ndarray:
    index = np.arange(256)
    return ((index * 7 + index // 5) % 3 - 1).astype(np.int8).reshape(1, 256)


def trits(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows * columns).integers(-1, 2, (rows, columns), np.int8)


@st.composite
def matrices(draw: st.DrawFn, row_multiple: int) -> np.ndarray:
    """Matrices of trits, of zero blocks and of single values too."""
    rows, blocks = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    seed, low, high = draw(st.integers(0, 2**32 - 1)), draw(st.integers(-1, 1)), draw(st.integers(-1, 1))
    values = np.random.default_rng(seed).integers(min(low, high), max(low, high) + 1, (rows, blocks * row_multiple))
    return values.astype(np.int8)


@pytest.mark.parametrize("kind", GOLDEN)
def test_golden_bytes(kind: QuantType):
    """A layout that agrees with itself and with no other program: bits, halves or digits in another order."""
    packed = bytes.fromhex(GOLDEN[kind])
    assert PACKERS[kind](golden_trits(), SCALE).hex() == packed.hex()
    unpacked = UNPACKERS[kind](packed, (1, 256))
    assert np.array_equal(unpacked.values, golden_trits())
    assert unpacked.uniform_scale() == SCALE


def test_golden_hf():
    """Rows packed as adjacent fours instead of strided by a quarter of the rows."""
    values = golden_trits()[0, :32].reshape(8, 4)
    packed = bytes([80, 37, 66, 148, 9, 80, 37, 66])
    assert pack_hf(values) == packed
    assert np.array_equal(unpack_hf(packed, (8, 4), ONE).values, values)


@pytest.mark.parametrize("kind", UNPACKERS)
@settings(max_examples=30)
@given(data=st.data())
def test_unpack_inverts_pack(kind: QuantType, data: st.DataObject):
    """A shape, a row length or a block of zeros for which packing loses trits."""
    values = data.draw(matrices(ROW_MULTIPLE[kind]))
    unpacked = UNPACKERS[kind](PACKERS[kind](values, SCALE), values.shape)
    assert np.array_equal(unpacked.values, values)
    assert unpacked.uniform_scale() in (SCALE, 0.0 if not values.any() else SCALE)


@settings(max_examples=30)
@given(
    hnp.arrays(
        np.int8,
        st.tuples(st.integers(1, 5).map(lambda n: 4 * n), st.integers(1, 9)),
        elements=st.integers(-1, 1),
    )
)
def test_hf_unpack_inverts_pack(values: np.ndarray):
    """A count of rows or columns for which HF packing mixes up rows."""
    assert np.array_equal(unpack_hf(pack_hf(values), values.shape, ONE).values, values)


@pytest.mark.parametrize("kind", [QuantType.TQ1_0, QuantType.TQ2_0])
def test_bytes_are_those_of_gguf_py(kind: QuantType):
    """Bytes that decode alike and are not the ones llama.cpp writes: a block of zeros has d = 0."""
    values = trits(3, 768)
    values[1, 256:512] = 0
    dense = values * np.float32(SCALE)
    theirs = gguf.quantize(dense, gguf.GGMLQuantizationType[kind.value])
    assert PACKERS[kind](values, SCALE) == theirs.tobytes()
    assert np.array_equal(gguf.dequantize(theirs, gguf.GGMLQuantizationType[kind.value]), dense)
    assert np.array_equal(UNPACKERS[kind](theirs.tobytes(), values.shape).dense(), dense)


@pytest.mark.parametrize("kind", [QuantType.TQ1_0, QuantType.TQ2_0])
def test_any_bytes_decode_as_in_gguf_py(kind: QuantType):
    """Base-3 bytes that no packer writes, decoded by another rounding than ggml's."""
    shape, size = (2, 512), 4 * {QuantType.TQ1_0: 54, QuantType.TQ2_0: 66}[kind]
    data = np.random.default_rng(1).integers(0, 256, size, np.uint8).reshape(4, -1)
    data[:, -2:] = np.frombuffer(np.float16(0.75).tobytes(), np.uint8)
    theirs = gguf.dequantize(data.reshape(2, -1), gguf.GGMLQuantizationType[kind.value])
    assert np.array_equal(UNPACKERS[kind](data.tobytes(), shape).dense(), theirs)


def test_code_3_comes_out_as_2():
    """A corrupt code passed off as a trit."""
    assert UNPACKERS[QuantType.I2_S](b"\xff" * 64 + bytes(32), (2, 128)).values.max() == 2
    assert unpack_hf(b"\xff" * 4, (4, 4), ONE).values.max() == 2


@pytest.mark.parametrize("kind", PACKERS)
def test_pack_refuses_what_it_cannot_hold(kind: QuantType):
    """Silent damage: a short row padded, a 2 wrapped into another trit, a scale rounded away."""
    values = trits(2, 256)
    with pytest.raises(ValueError, match="must be a multiple of"):
        PACKERS[kind](values[:, :100], SCALE)
    with pytest.raises(ValueError, match="trits are -1, 0 or 1; found 0 to 2"):
        PACKERS[kind](np.full((2, 256), 2, np.int8) * (values > 0), SCALE)
    with pytest.raises(ValueError, match="is not exact in float"):
        PACKERS[kind](values, 1 / 3)


def test_pack_hf_refuses_rows_not_in_fours():
    """Rows of a last, partly filled byte, which would come back as -1."""
    with pytest.raises(ValueError, match="out features of HF packing has a length of 6"):
        pack_hf(trits(6, 4))


def test_uniform_scale_sees_differing_blocks():
    """A matrix of two scales (TriLM) run with the first one."""
    values = np.ones((1, 512), np.int8)
    assert Trits(values, np.array([[0.5, 0.25]], np.float32)).uniform_scale() is None
    assert Trits(values, np.array([[0.5, 0.0]], np.float32)).uniform_scale() is None, (
        "ones times 0 are not ones times 0.5"
    )
    values[:, 256:] = 0
    assert Trits(values, np.array([[0.5, 0.0]], np.float32)).uniform_scale() == 0.5
