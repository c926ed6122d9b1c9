"""Bytes of a float or block-quantised tensor to float32.

    decode(info, data)          # float32 of info.shape

F32, F16, BF16 and F64 are decoded here; ggml's block types by the gguf package, which is imported only then.
Knows no ternary type and no file.
"""

from collections.abc import Callable

import numpy as np

from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats.ggml_types import BLOCKS, UNREADABLE
from bitnet_engine.formats.types import QuantType, TensorInfo, quoted


def decode(info: TensorInfo, data: bytes) -> np.ndarray:
    """Return the tensor as float32 of its logical shape. F64 is rounded to the nearest float32.

    Raises:
        UnsupportedError: nobody here decodes this type.
    """
    # NaN and infinity are what the file says: the caller judges them, and numpy need not warn.
    with np.errstate(invalid="ignore", over="ignore"):
        if info.type in _FLOATS:
            return _FLOATS[info.type](data).reshape(info.shape)
        return _dequantize(info, data)


def _float32(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4").astype(np.float32)


def _float16(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f2").astype(np.float32)


def _bfloat16(data: bytes) -> np.ndarray:
    # A bfloat16 is the upper half of the float32 of the same value.
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


def _float64(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f8").astype(np.float32)


_FLOATS: dict[QuantType, Callable[[bytes], np.ndarray]] = {
    QuantType.F32: _float32,
    QuantType.F16: _float16,
    QuantType.BF16: _bfloat16,
    QuantType.F64: _float64,
}


def _dequantize(info: TensorInfo, data: bytes) -> np.ndarray:
    import gguf

    kind = getattr(gguf.GGMLQuantizationType, info.type.value, None)
    if info.type_id is None or kind is None:
        raise _unsupported(info)
    if not data:
        # gguf's reshapes have no answer for a tensor without elements.
        return np.empty(info.shape, np.float32)
    weights, size = BLOCKS[info.type]
    rows = np.frombuffer(data, np.uint8).reshape(*info.shape[:-1], info.shape[-1] // weights * size)
    try:
        values = gguf.dequantize(rows, kind)
    except NotImplementedError as error:
        raise _unsupported(info) from error
    return np.ascontiguousarray(values, np.float32).reshape(info.shape)


def _unsupported(info: TensorInfo) -> UnsupportedError:
    what = f"of the unknown type id {info.type_id}" if info.type_id is not None else "of an unknown dtype"
    what = UNREADABLE.get(info.type_id, what) if info.type_id is not None else what
    kind = what if info.type is QuantType.UNKNOWN else f"{info.type}"
    return UnsupportedError(
        f"{info.file}: tensor {quoted(info.name)} is {kind}, which is not decoded here; "
        f"convert it to F32, F16, BF16, Q8_0 or a ternary type"
    )
