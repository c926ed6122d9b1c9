"""ggml's type ids: how many bytes a tensor of each takes, and which ids mean different things in forks.

    byte_size(QuantType.I2_S, (2560, 2560))     # 1638432
    candidates(36)                              # (I2_S, ...): settle it by the true length in the file

Source: docs/formats.md §2.2-2.3, 2.7-2.8 (`ggml.h` of llama.cpp and of the BitNet forks). Reads no file.
"""

from math import prod

from bitnet_engine.formats.types import QuantType

GGML_TYPES: dict[int, QuantType] = {
    0: QuantType.F32,
    1: QuantType.F16,
    2: QuantType.Q4_0,
    3: QuantType.Q4_1,
    6: QuantType.Q5_0,
    7: QuantType.Q5_1,
    8: QuantType.Q8_0,
    9: QuantType.Q8_1,
    10: QuantType.Q2_K,
    11: QuantType.Q3_K,
    12: QuantType.Q4_K,
    13: QuantType.Q5_K,
    14: QuantType.Q6_K,
    15: QuantType.Q8_K,
    16: QuantType.IQ2_XXS,
    17: QuantType.IQ2_XS,
    18: QuantType.IQ3_XXS,
    19: QuantType.IQ1_S,
    20: QuantType.IQ4_NL,
    21: QuantType.IQ3_S,
    22: QuantType.IQ2_S,
    23: QuantType.IQ4_XS,
    24: QuantType.I8,
    25: QuantType.I16,
    26: QuantType.I32,
    27: QuantType.I64,
    28: QuantType.F64,
    29: QuantType.IQ1_M,
    30: QuantType.BF16,
    34: QuantType.TQ1_0,
    35: QuantType.TQ2_0,
    40: QuantType.NVFP4,
    41: QuantType.Q1_0,
    134: QuantType.IQ1_BN,
    135: QuantType.IQ2_BN,
}
"""Ids that mean one thing everywhere; 134 and 135 are ik_llama.cpp's."""

UNREADABLE = {335: "IQ2_BN_R4"}
"""Ids of layouts that a program makes for itself in memory: known by name, not sized and not decoded."""

COLLIDING: dict[int, tuple[QuantType, ...]] = {
    36: (QuantType.I2_S, QuantType.IQ4_NL),
    37: (QuantType.I8_S, QuantType.IQ4_NL),
    38: (QuantType.TL1, QuantType.IQ4_NL),
    39: (QuantType.TL2, QuantType.MXFP4),
    42: (QuantType.TL2, QuantType.Q2_0),
}
"""Ids that forks gave a second meaning. 36-38 were interleaved kinds of IQ4_NL, of the same size as it."""

INTERLEAVED_IDS = frozenset({36, 37, 38})
"""Here IQ4_NL is a removed, interleaved layout: known by its size, readable by nobody any more."""

BLOCKS: dict[QuantType, tuple[int, int]] = {
    QuantType.F32: (1, 4),
    QuantType.F16: (1, 2),
    QuantType.BF16: (1, 2),
    QuantType.F64: (1, 8),
    QuantType.I8: (1, 1),
    QuantType.I16: (1, 2),
    QuantType.I32: (1, 4),
    QuantType.I64: (1, 8),
    QuantType.Q4_0: (32, 18),
    QuantType.Q4_1: (32, 20),
    QuantType.Q5_0: (32, 22),
    QuantType.Q5_1: (32, 24),
    QuantType.Q8_0: (32, 34),
    QuantType.Q8_1: (32, 40),
    QuantType.Q2_K: (256, 84),
    QuantType.Q3_K: (256, 110),
    QuantType.Q4_K: (256, 144),
    QuantType.Q5_K: (256, 176),
    QuantType.Q6_K: (256, 210),
    QuantType.Q8_K: (256, 292),
    QuantType.IQ2_XXS: (256, 66),
    QuantType.IQ2_XS: (256, 74),
    QuantType.IQ3_XXS: (256, 98),
    QuantType.IQ1_S: (256, 50),
    QuantType.IQ4_NL: (32, 18),
    QuantType.IQ3_S: (256, 110),
    QuantType.IQ2_S: (256, 82),
    QuantType.IQ4_XS: (256, 136),
    QuantType.IQ1_M: (256, 56),
    QuantType.TQ1_0: (256, 54),
    QuantType.TQ2_0: (256, 66),
    QuantType.MXFP4: (32, 17),
    QuantType.NVFP4: (64, 36),
    QuantType.Q1_0: (128, 18),
    QuantType.Q2_0: (64, 18),
    QuantType.I8_S: (1, 1),
}
"""Weights and bytes of one block; blocks lie along the last axis."""

ROW_BLOCKS: dict[QuantType, tuple[int, int, int]] = {
    QuantType.IQ1_BN: (2, 64, 13),
    QuantType.IQ2_BN: (4, 64, 16),
}
"""Types whose rows begin with a scale: its bytes, then weights and bytes of one block."""

I2_S_TAIL = 32
"""Bytes after the codes of the forks' whole-tensor types, of which the scale takes four."""


def candidates(type_id: int) -> tuple[QuantType, ...]:
    """Return what `type_id` may mean: one type, several where forks collide, none where it is unknown."""
    if type_id in COLLIDING:
        return COLLIDING[type_id]
    return (GGML_TYPES[type_id],) if type_id in GGML_TYPES else ()


def byte_size(kind: QuantType, shape: tuple[int, ...]) -> int | None:
    """Return the bytes a tensor `[..., in]` takes, or None where the shape cannot be of that type.

    Plain Python integers: numpy's would wrap on a hostile shape.
    """
    count = prod(shape)
    row = shape[-1] if shape else 1
    if kind in (QuantType.I2_S, QuantType.TL1):
        return None if count % 4 else count // 4 + I2_S_TAIL
    if kind is QuantType.TL2:
        return _tl2_size(shape)
    if kind in ROW_BLOCKS:
        return None if row % ROW_BLOCKS[kind][1] else prod(shape[:-1]) * row_size(kind, row)
    if kind not in BLOCKS:
        return None
    weights, size = BLOCKS[kind]
    return None if row % weights else count // weights * size


def row_size(kind: QuantType, row: int) -> int:
    """Return the bytes of one row of a type of ROW_BLOCKS."""
    scale, weights, size = ROW_BLOCKS[kind]
    return scale + row // weights * size


def _tl2_size(shape: tuple[int, ...]) -> int | None:
    """Return the bytes of TL2: all but 256 columns as 5-bit triples, the rest as 4-bit pairs, and a tail."""
    if len(shape) != 2 or shape[1] < 256:
        return None
    rows, columns = shape
    codes = (columns - 256) * rows // 3 * 5 // 8 + 256 * rows // 2 * 4 // 8
    return -(-codes // 32) * 32 + I2_S_TAIL
