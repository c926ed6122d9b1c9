"""float32 to the bytes of a float type, and how far that rounds.

    encode(values, QuantType.BF16)              # bytes, half to even
    rounded(values, QuantType.F16)              # float32 again, as a reader will see it

bfloat16 is rounded by hand, so that writing a file needs no library that has the type.
"""

import numpy as np

from bitnet_engine.formats.types import QuantType

WIDTHS = {QuantType.BF16: 2, QuantType.F16: 2, QuantType.F32: 4}
"""The float types that are written, the narrowest first, and their bytes a number."""


def encode(values: np.ndarray, kind: QuantType) -> bytes:
    """Return float32 `values` as little-endian `kind`, rounded half to even; what is too large becomes infinite.

    Raises:
        KeyError: `kind` is not in WIDTHS.
    """
    if kind is QuantType.BF16:
        return _bfloat16(values).tobytes()
    dtype = {QuantType.F16: "<f2", QuantType.F32: "<f4"}[kind]
    with np.errstate(over="ignore"):
        return values.astype(dtype).tobytes()


def rounded(values: np.ndarray, kind: QuantType) -> np.ndarray:
    """Return float32 `values` as they are after `encode`."""
    if kind is QuantType.BF16:
        return (_bfloat16(values).astype(np.uint32) << 16).view(np.float32).reshape(values.shape)
    dtype = {QuantType.F16: np.float16, QuantType.F32: np.float32}[kind]
    with np.errstate(over="ignore"):
        return values.astype(dtype).astype(np.float32)


def _bfloat16(values: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    # Adding to a NaN could carry it over into infinity or zero: its upper half, made quiet, is kept instead.
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, nearest).astype("<u2")
