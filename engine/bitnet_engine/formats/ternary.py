"""Trits in and out of their packings: I2_S, TQ1_0, TQ2_0, IQ1_BN, IQ2_BN and the packed SafeTensors of HF.

    unpack_tq2_0(pack_tq2_0(trits, 0.5), trits.shape)       # Trits(values=trits, scale=0.5 a block)

Layouts: docs/formats.md §1.1 (HF `pack_weights`), §2.4-2.5 (llama.cpp `ggml-quants.c`), §2.7 (I2_S,
microsoft/BitNet) and §2.9 (ik_llama.cpp `iqk_quantize.cpp`). A two-bit code is trit + 1; code 3 has no
meaning and comes out as the value 2, for the caller to count or refuse. Knows arrays and bytes, no files.
"""

from collections.abc import Callable

import numpy as np

from bitnet_engine.formats.ggml_types import row_size
from bitnet_engine.formats.types import I2SLayout, Packing, QuantType, Trits

Shape = tuple[int, int]
"""`[out, in]`"""

I2_S_BLOCK = 128
I2_S_TAIL = 32
TQ_BLOCK = 256
TQ1_0_BYTES = 54
TQ2_0_BYTES = 66
IQ_BN_BLOCK = 64

_I2_S_SHIFTS = np.array([6, 4, 2, 0], np.uint8)[:, None]
_LOW_FIRST = np.array([0, 2, 4, 6], np.uint8)
_POWERS = np.array([1, 3, 9, 27, 81], np.uint8)[:, None]
_I2_S_WIDTHS = {I2SLayout.A: 128, I2SLayout.B: 64}


def unpack_hf(data: bytes, shape: Shape, scale: np.ndarray) -> Trits:
    """Unpack HF's bytes `[out / 4, in]`: row r holds rows r, R + r, 2R + r, 3R + r, lowest bits first."""
    rows, columns = shape
    packed = np.frombuffer(data, np.uint8).reshape(rows // 4, columns)
    codes = (packed >> _LOW_FIRST[:, None, None]) & 3
    return Trits(_values(codes, shape), scale)


def pack_hf(trits: np.ndarray) -> bytes:
    """Pack int8 `[out, in]` as HF does; the scale is a tensor of its own there.

    Raises:
        ValueError: `out` is no multiple of 4, or a value is not a trit.
    """
    _expect_multiple("out features of HF packing", trits.shape[0], 4)
    codes = _codes(trits).reshape(4, trits.shape[0] // 4, trits.shape[1])
    return np.bitwise_or.reduce(codes << _LOW_FIRST[:, None, None], axis=0).tobytes()


def unpack_i2_s(data: bytes, shape: Shape, layout: I2SLayout = I2SLayout.A) -> Trits:
    """Unpack I2_S: two-bit codes over the whole tensor, highest bits first, then one f32 scale.

    A byte holds elements a quarter of a block apart (A: blocks of 128, B: of 64), or one column of four
    rows (C). Of the 32 bytes after the codes the last 28 are padding and may hold anything.
    """
    count = shape[0] * shape[1] // 4
    packed = np.frombuffer(data, np.uint8, count)
    if layout is I2SLayout.C:
        packed = packed.reshape(shape[0] // 4, 1, shape[1])
    else:
        packed = packed.reshape(-1, 1, _I2_S_WIDTHS[layout] // 4)
    scale = np.frombuffer(data, "<f4", 1, offset=count).reshape(())
    return Trits(_values((packed >> _I2_S_SHIFTS) & 3, shape), scale.astype(np.float32))


def pack_i2_s(trits: np.ndarray, scale: float, layout: I2SLayout = I2SLayout.A) -> bytes:
    """Pack int8 `[out, in]` as I2_S.

    Raises:
        ValueError: the shape is not one of the layout's, a value is not a trit, or the scale is not exact in f32.
    """
    if layout is I2SLayout.C:
        _expect_multiple("out features of I2_S layout C", trits.shape[0], 4)
        fields = (trits.shape[0] // 4, 4, trits.shape[1])
    else:
        _expect_multiple("a row of I2_S", trits.shape[1], _I2_S_WIDTHS[layout])
        fields = (-1, 4, _I2_S_WIDTHS[layout] // 4)
    packed = np.bitwise_or.reduce(_codes(trits).reshape(fields) << _I2_S_SHIFTS, axis=1)
    tail = _exact(scale, np.dtype("<f4")).tobytes()
    return packed.tobytes() + tail.ljust(I2_S_TAIL, b"\0")


def unpack_tq2_0(data: bytes, shape: Shape) -> Trits:
    """Unpack TQ2_0: for each 256 of a row 64 bytes of codes, two halves of 32 bytes, then an f16 scale."""
    blocks = np.frombuffer(data, np.uint8).reshape(-1, TQ2_0_BYTES)
    packed = blocks[:, :64].reshape(-1, 2, 1, 32)
    return Trits(_values((packed >> _LOW_FIRST[:, None]) & 3, shape), _block_scales(blocks, shape))


def pack_tq2_0(trits: np.ndarray, scale: float | np.ndarray) -> bytes:
    """Pack int8 `[out, in]` as TQ2_0, with one scale or float32 `[out, in / 256]`; a block of zeros gets 0, as in ggml.

    Raises:
        ValueError: rows are no multiple of 256, a value is not a trit, or the scale is not exact in f16.
    """
    _expect_multiple("a row of TQ2_0", trits.shape[1], TQ_BLOCK)
    codes = _codes(trits).reshape(-1, 2, 4, 32)
    packed = np.bitwise_or.reduce(codes << _LOW_FIRST[:, None], axis=2)
    return _with_scales(packed.reshape(-1, 64), trits, scale)


def unpack_tq1_0(data: bytes, shape: Shape) -> Trits:
    """Unpack TQ1_0: for each 256 of a row 52 bytes of base-3 digits, the highest first, then an f16 scale."""
    blocks = np.frombuffer(data, np.uint8).reshape(-1, TQ1_0_BYTES)
    digits = np.concatenate(
        [_digits(blocks[:, 0:32], 5), _digits(blocks[:, 32:48], 5), _digits(blocks[:, 48:52], 4)], axis=1
    )
    return Trits(_values(digits, shape), _block_scales(blocks, shape))


def pack_tq1_0(trits: np.ndarray, scale: float | np.ndarray) -> bytes:
    """Pack int8 `[out, in]` as TQ1_0, with one scale or float32 `[out, in / 256]`; a block of zeros gets 0, as in ggml.

    Raises:
        ValueError: rows are no multiple of 256, a value is not a trit, or the scale is not exact in f16.
    """
    _expect_multiple("a row of TQ1_0", trits.shape[1], TQ_BLOCK)
    codes = _codes(trits).reshape(-1, TQ_BLOCK)
    # The last four bytes hold four digits each; the fifth is zero.
    last = np.pad(codes[:, 240:].reshape(-1, 4, 4), ((0, 0), (0, 1), (0, 0)))
    parts = [codes[:, :160].reshape(-1, 5, 32), codes[:, 160:240].reshape(-1, 5, 16), last]
    return _with_scales(np.concatenate([_base3_bytes(part) for part in parts], axis=1), trits, scale)


def unpack_iq2_bn(data: bytes, shape: Shape) -> Trits:
    """Unpack IQ2_BN: each row an f32 scale, then for each 64 of it 16 bytes of codes, lowest bits first."""
    rows = np.frombuffer(data, np.uint8).reshape(shape[0], row_size(QuantType.IQ2_BN, shape[1]))
    packed = rows[:, 4:].reshape(-1, 1, IQ_BN_BLOCK // 4)
    scales = np.ascontiguousarray(rows[:, :4]).view("<f4").astype(np.float32)
    return Trits(_values((packed >> _LOW_FIRST[:, None]) & 3, shape), scales)


def pack_iq2_bn(trits: np.ndarray, scale: float) -> bytes:
    """Pack int8 `[out, in]` as IQ2_BN; as in ik_llama.cpp a row of zeros gets the scale 0.

    Raises:
        ValueError: rows are no multiple of 64, a value is not a trit, or the scale is not exact in f32.
    """
    _expect_multiple("a row of IQ2_BN", trits.shape[1], IQ_BN_BLOCK)
    codes = _codes(trits).reshape(-1, 4, IQ_BN_BLOCK // 4)
    packed = np.bitwise_or.reduce(codes << _LOW_FIRST[:, None], axis=1)
    return _after_scales(packed.reshape(len(trits), -1), trits, scale, "<f4")


def unpack_iq1_bn(data: bytes, shape: Shape) -> Trits:
    """Unpack IQ1_BN: each row an f16 scale, then for each 64 of it 13 bytes of base-3 digits, the lowest first.

    Each 16 of a block are three bytes of five digits; the last byte holds what is left, one digit for each 16.
    """
    rows = np.frombuffer(data, np.uint8).reshape(shape[0], row_size(QuantType.IQ1_BN, shape[1]))
    blocks = rows[:, 2:].reshape(-1, 13)
    # The highest digit first is the fifth of each byte first: turned around along the digits.
    fives = _digits(blocks[:, :12], 5).reshape(-1, 5, 4, 3)[:, ::-1].transpose(0, 2, 3, 1).reshape(-1, 4, 15)
    lasts = _digits(blocks[:, 12:], 5)[:, :0:-1].reshape(-1, 4, 1)
    scales = np.ascontiguousarray(rows[:, :2]).view("<f2").astype(np.float32)
    return Trits(_values(np.concatenate([fives, lasts], axis=2), shape), scales)


def pack_iq1_bn(trits: np.ndarray, scale: float) -> bytes:
    """Pack int8 `[out, in]` as IQ1_BN; as in ik_llama.cpp a row of zeros gets the scale 0.

    Raises:
        ValueError: rows are no multiple of 64, a value is not a trit, or the scale is not exact in f16.
    """
    _expect_multiple("a row of IQ1_BN", trits.shape[1], IQ_BN_BLOCK)
    codes = _codes(trits).reshape(-1, 4, 16)
    fives = codes[:, :, :15].reshape(-1, 12, 5).transpose(0, 2, 1)[:, ::-1]
    lasts = np.pad(codes[:, :, 15], ((0, 0), (0, 1)))[:, ::-1, None]
    packed = np.concatenate([_base3_bytes(fives), _base3_bytes(lasts)], axis=1)
    return _after_scales(packed.reshape(len(trits), -1), trits, scale, "<f2")


UNPACKERS: dict[QuantType, Callable[[bytes, Shape], Trits]] = {
    QuantType.I2_S: unpack_i2_s,
    QuantType.IQ1_BN: unpack_iq1_bn,
    QuantType.IQ2_BN: unpack_iq2_bn,
    QuantType.TQ1_0: unpack_tq1_0,
    QuantType.TQ2_0: unpack_tq2_0,
}
"""The packings that carry their own scale; HF_PACKED keeps its scale in a second tensor."""

ROW_MULTIPLE = {
    QuantType.I2_S: I2_S_BLOCK,
    QuantType.IQ1_BN: IQ_BN_BLOCK,
    QuantType.IQ2_BN: IQ_BN_BLOCK,
    QuantType.TQ1_0: TQ_BLOCK,
    QuantType.TQ2_0: TQ_BLOCK,
}
"""What the length of a row must be a multiple of; I2_S as layout A has it."""


def shape_problem(kind: QuantType, shape: Shape, layout: I2SLayout = I2SLayout.A) -> str | None:
    """Return what is wrong with a matrix of that shape, as the end of a sentence, or None."""
    if kind is QuantType.I2_S and layout is I2SLayout.C:
        return f"has {shape[0]} rows; I2_S layout C allows multiples of 4" if shape[0] % 4 else None
    multiple = _I2_S_WIDTHS[layout] if kind is QuantType.I2_S else ROW_MULTIPLE[kind]
    return f"has rows of {shape[1]}; {kind} allows multiples of {multiple}" if shape[1] % multiple else None


_PACKINGS: dict[QuantType | I2SLayout, Packing] = {
    I2SLayout.A: "I2_S A",
    I2SLayout.B: "I2_S B",
    QuantType.HF_PACKED: "HF_PACKED",
    QuantType.TQ1_0: "TQ1_0",
    QuantType.TQ2_0: "TQ2_0",
}


def packing_of(kind: QuantType, layout: I2SLayout) -> Packing | None:
    """Return the packing of a type, I2_S in that layout, where a kernel takes it as it is; else None."""
    return _PACKINGS.get(layout if kind is QuantType.I2_S else kind)


def one_scale(kind: QuantType, data: bytes, shape: Shape) -> float | None:
    """Return `uniform_scale` of I2_S, TQ1_0 or TQ2_0, unpacking no more than blocks of scale 0; None if not finite."""
    if kind is QuantType.I2_S:
        scale = float(np.frombuffer(data, "<f4", 1, offset=shape[0] * shape[1] // 4)[0])
        return scale if np.isfinite(scale) else None
    blocks = np.frombuffer(data, np.uint8).reshape(-1, TQ2_0_BYTES if kind is QuantType.TQ2_0 else TQ1_0_BYTES)
    scales = _block_scales(blocks, shape).reshape(-1)
    empty = scales == 0
    blank = UNPACKERS[kind](blocks[empty].tobytes(), (int(empty.sum()), TQ_BLOCK))
    if blank.values.any():
        return None
    found = scales[~empty]
    if not len(found):
        return 0.0
    return float(found[0]) if np.isfinite(found[0]) and (found == found[0]).all() else None


def _digits(packed: np.ndarray, count: int) -> np.ndarray:
    """Return base-3 digits uint8 `[block, count * bytes]` of uint8 `[block, bytes]`."""
    # The byte is ceil(256 * v / 243): multiplying by 3**n drops the digits before n off the top of the
    # byte (uint8 wraps, as in ggml), and the next one is what times 3 carries out of eight bits.
    shifted = packed[:, None, :] * _POWERS[:count]
    digits = (shifted.astype(np.uint16) * 3) >> 8
    return digits.astype(np.uint8).reshape(len(packed), count * packed.shape[1])


def _base3_bytes(codes: np.ndarray) -> np.ndarray:
    """Return uint8 `[block, bytes]` for codes `[block, 5, bytes]`, the first digit the highest."""
    value = (codes.astype(np.uint16) * _POWERS[::-1].astype(np.uint16)).sum(axis=1, dtype=np.uint16)
    return ((value * 256 + 242) // 243).astype(np.uint8)


def _block_scales(blocks: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the f16 at the end of each block as float32 `[out, in / 256]`."""
    scales = np.ascontiguousarray(blocks[:, -2:]).view("<f2")
    return scales.astype(np.float32).reshape(shape[0], shape[1] // TQ_BLOCK)


def _with_scales(packed: np.ndarray, trits: np.ndarray, scale: float | np.ndarray) -> bytes:
    blank = ~trits.reshape(-1, TQ_BLOCK).any(axis=1)
    stored = _exact(scale, np.dtype("<f2")).reshape(-1)
    scales = np.where(blank, np.float16(0), stored).astype("<f2")
    return np.concatenate([packed, scales.view(np.uint8).reshape(-1, 2)], axis=1).tobytes()


def _after_scales(packed: np.ndarray, trits: np.ndarray, scale: float, dtype: str) -> bytes:
    """Return the rows `[out, bytes]`, each behind its scale; a row of zeros has the scale 0."""
    scales = np.where(trits.any(axis=1), _exact(scale, np.dtype(dtype)), 0).astype(dtype)
    return np.concatenate([scales.view(np.uint8).reshape(len(trits), -1), packed], axis=1).tobytes()


def _values(codes: np.ndarray, shape: Shape) -> np.ndarray:
    # In place: the codes of a large matrix are tens of megabytes, and nobody else holds them.
    values = codes.view(np.int8)
    values -= 1
    return values.reshape(shape)


def _codes(trits: np.ndarray) -> np.ndarray:
    if trits.size and (trits.min() < -1 or trits.max() > 1):
        raise ValueError(f"trits are -1, 0 or 1; found {trits.min()} to {trits.max()}")
    return (trits + 1).astype(np.uint8)


def _exact(scale: float | np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        stored = np.array(scale, dtype)
    wrong = stored.astype(np.float64) != scale
    if wrong.any():
        given, kept = np.asarray(scale)[wrong].flat[0], stored[wrong].flat[0]
        raise ValueError(f"scale {float(given)!r} is not exact in {dtype.name}; the nearest is {float(kept)!r}")
    return stored


def _expect_multiple(what: str, length: int, multiple: int) -> None:
    if length % multiple:
        raise ValueError(f"{what} has a length of {length}; it must be a multiple of {multiple}")
