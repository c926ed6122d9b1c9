"""A matrix product in bfloat16, as transformers' layers round on the way to it.

    product(x, Trits(values, scale), "autobitlinear")       # float64 [seq, out], each number a bfloat16

Two classes have ternary matrices, and a config names one: AutoBitLinear rounds activations to int8 in float32 and takes
them back before it multiplies; BitLinear has even the codes' scale in bfloat16, and divides by the scales at the end.
Source: transformers' integrations/bitnet.py. Knows no quantiser but theirs.
"""

import numpy as np

from bitnet_engine.config import LinearClass
from bitnet_engine.formats import Trits
from bitnet_engine.packing import ABSMAX_FLOOR, ACTIVATION_LEVELS
from bitnet_parity.diagnosis.operations import Matrix, bfloat16, dense


def product(x: np.ndarray, matrix: Matrix, kind: LinearClass) -> np.ndarray:
    """Return x · matrixᵀ, float64 [seq, out]; what is not ternary with one scale is a dense layer."""
    if not isinstance(matrix, Trits) or matrix.scale.ndim or kind == "float":
        return bfloat16(x @ bfloat16(dense(matrix)).T)
    return (_auto_bit_linear if kind == "autobitlinear" else _bit_linear)(x, matrix)


def _auto_bit_linear(x: np.ndarray, matrix: Trits) -> np.ndarray:
    wide = x.astype(np.float32)
    largest = np.maximum(np.abs(wide).max(-1, keepdims=True), np.float32(ABSMAX_FLOOR))
    # torch divides a number by a tensor as the number times the reciprocal; so below.
    scale = np.float32(ACTIVATION_LEVELS) * (np.float32(1) / largest)
    taken = bfloat16(_codes(wide * scale) / scale)
    return bfloat16(_times(taken, matrix) * bfloat16(np.asarray(matrix.scale, np.float64)))


def _bit_linear(x: np.ndarray, matrix: Trits) -> np.ndarray:
    largest = np.maximum(np.abs(x).max(-1, keepdims=True), bfloat16(np.asarray(ABSMAX_FLOOR)))
    scale = bfloat16(ACTIVATION_LEVELS * bfloat16(1 / largest))
    # A file of this class holds the reciprocal of the scale.
    return bfloat16(
        _times(_codes(bfloat16(x * scale)), matrix) / bfloat16(scale * bfloat16(np.asarray(1 / float(matrix.scale))))
    )


def _codes(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), -ACTIVATION_LEVELS - 1, ACTIVATION_LEVELS)


def _times(x: np.ndarray, matrix: Trits) -> np.ndarray:
    return bfloat16(x.astype(np.float32) @ matrix.values.T.astype(np.float32))
