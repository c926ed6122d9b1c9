"""Weights to the bytes of a storage, wrong ones included: code 3, a scale of its own for one block.

    stored(Trits(values, scale), QuantType.I2_S)
    stored(embedding, QuantType.Q6_K)

The engine's packers refuse what no sound file holds; here it is patched into what they give. Layouts: docs/formats.md
§1.1, §2.4-2.7; Q6_K as llama.cpp's ggml-common.h, block_q6_K.
"""

import gguf
import numpy as np

from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.formats.floats import WIDTHS, encode, rounded
from bitnet_engine.formats.ternary import TQ1_0_BYTES, TQ2_0_BYTES, pack_hf, pack_i2_s, pack_tq1_0, pack_tq2_0
from bitnet_parity.faults.draft import Tensor

CODE_3 = 2
_TQ_BYTES = {QuantType.TQ1_0: TQ1_0_BYTES, QuantType.TQ2_0: TQ2_0_BYTES}
_PACKERS = {QuantType.TQ1_0: pack_tq1_0, QuantType.TQ2_0: pack_tq2_0, QuantType.I2_S: pack_i2_s}


def stored(tensor: Tensor, kind: QuantType) -> bytes:
    """Return a weight as storage `kind` holds it; HF_PACKED is the codes without their scale.

    TQ1_0 and TQ2_0 round scales to float16.

    Raises:
        ValueError: the shape is not one of the storage's.
        NotImplementedError: `kind` is a block type that the gguf package does not write.
    """
    if isinstance(tensor, Trits):
        return _ternary(tensor, kind) if kind in (*_PACKERS, QuantType.HF_PACKED) else stored(tensor.dense(), kind)
    values = np.ascontiguousarray(tensor, np.float32)
    if kind in WIDTHS:
        return encode(values, kind)
    return q6_k(values) if kind is QuantType.Q6_K else gguf.quantize(values, gguf.GGMLQuantizationType[kind]).tobytes()


def kept(values: np.ndarray, kind: QuantType) -> np.ndarray:
    """Return float32 values as they are read back from storage `kind`, a float or ggml block type."""
    if kind in WIDTHS:
        return rounded(values, kind)
    rows = np.frombuffer(stored(values, kind), np.uint8).reshape(len(values), -1)
    return np.asarray(gguf.dequantize(rows, gguf.GGMLQuantizationType[kind]), np.float32)


def _ternary(matrix: Trits, kind: QuantType) -> bytes:
    wrong = matrix.values == CODE_3
    data = _packed(np.where(wrong, 1, matrix.values).astype(np.int8), matrix.scale, kind)
    if not wrong.any():
        return data
    # Code 3 is 2 | 1: the code of +1, and over it that of 0 where it belongs and that of −1, no bit, elsewhere.
    over = _packed(np.where(wrong, 0, -1).astype(np.int8), np.zeros((), np.float32), kind)
    return (np.frombuffer(data, np.uint8) | np.frombuffer(over, np.uint8)).tobytes()


def _packed(trits: np.ndarray, scale: np.ndarray, kind: QuantType) -> bytes:
    if kind is QuantType.HF_PACKED:
        return pack_hf(trits)
    exact = rounded(np.atleast_1d(scale), QuantType.F16 if kind in _TQ_BYTES else QuantType.F32)
    if scale.ndim == 0:
        return _PACKERS[kind](trits, float(exact[0]))
    if kind not in _TQ_BYTES:
        raise ValueError(f"{kind} has one scale a matrix, not {scale.shape}")
    blocks = np.frombuffer(_PACKERS[kind](trits, 1.0), np.uint8).reshape(-1, _TQ_BYTES[kind]).copy()
    spread = np.repeat(exact, len(blocks) // exact.size, axis=1)
    blocks[:, -2:] = spread.astype("<f2").reshape(-1, 1).view(np.uint8)
    return blocks.tobytes()


def q6_k(values: np.ndarray) -> bytes:
    """Return float32 [rows, in] as Q6_K: for each 256 low nibbles, high pairs, 16 int8 scales, and an f16 over all.

    A plain encoder: a scale takes the largest of its 16 values to ±31. llama.cpp searches for better ones.
    """
    groups = values.reshape(-1, 16, 16)
    steps = np.abs(groups).max(-1) / 31
    unit = (steps.max(-1) / 127).astype(np.float16)
    divisor = np.where(unit == 0, 1, unit).astype(np.float32)
    scales = np.rint(steps / divisor[:, None])
    width = np.where(scales == 0, 1, scales) * divisor[:, None]
    codes = (np.clip(np.rint(groups / width[..., None]), -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low, high = codes & 15, codes >> 4
    nibbles = (low[:, :, :2] | low[:, :, 2:] << 4).reshape(-1, 128)
    pairs = (high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6).reshape(-1, 64)
    tail = unit.astype("<f2").view(np.uint8).reshape(-1, 2)
    return np.concatenate([nibbles, pairs, scales.astype(np.int8).view(np.uint8), tail], axis=1).tobytes()
