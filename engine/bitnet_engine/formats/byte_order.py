"""The bytes of a big-endian tensor in little-endian order, which is what every decoder here reads, and back.

    to_little(info, data)                            # bytes of the same length
    turned(name, QuantType.TQ2_0, shape, pieces)     # either way, streamed; to write

A packed block mixes codes, which are bytes, with scales, which are numbers: only these are turned around.
Source: `gguf-convert-endian` of gguf-py for Q4_0, Q8_0, Q4_K and Q6_K, the structures of llama.cpp's
`ggml-common.h` for the others. Decodes nothing.
"""

from collections.abc import Iterable, Iterator
from math import prod

import numpy as np

from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats.ggml_types import BLOCKS, I2_S_TAIL, row_size
from bitnet_engine.formats.types import QuantType, TensorInfo, quoted

Field = tuple[int, int]
"""First byte and length of a number within its record."""

_PLAIN = frozenset(
    {
        QuantType.F16,
        QuantType.BF16,
        QuantType.F32,
        QuantType.F64,
        QuantType.I8,
        QuantType.I16,
        QuantType.I32,
        QuantType.I64,
    }
)

_FIELDS: dict[QuantType, tuple[Field, ...]] = {
    QuantType.Q4_0: ((0, 2),),
    QuantType.Q4_1: ((0, 2), (2, 2)),
    QuantType.Q8_0: ((0, 2),),
    QuantType.Q2_K: ((80, 2), (82, 2)),
    QuantType.Q4_K: ((0, 2), (2, 2)),
    QuantType.Q5_K: ((0, 2), (2, 2)),
    QuantType.Q6_K: ((208, 2),),
    QuantType.TQ1_0: ((52, 2),),
    QuantType.TQ2_0: ((64, 2),),
    QuantType.MXFP4: (),
    QuantType.NVFP4: (),
}
"""The numbers in a block. Types whose blocks were written through wider integers are left out: Q5_0, Q3_K, IQ*."""

_ROW_SCALES = {QuantType.IQ1_BN: 2, QuantType.IQ2_BN: 4}
"""Bytes of the number before the codes of each row."""


def to_little(info: TensorInfo, data: bytes) -> bytes:
    """Return the bytes of a big-endian tensor as a little-endian file would hold them.

    Raises:
        UnsupportedError: nobody has said which bytes of this type are numbers.
    """
    if (record := _record(info.type, info.shape)) is None:
        raise UnsupportedError(
            f"{info.file}: tensor {quoted(info.name)} is big-endian {info.type}, whose byte order is not settled; "
            f"convert the file where it was written, to a float type, Q8_0 or a ternary type"
        )
    return _turn(data, *record)


def turned(name: str, kind: QuantType, shape: tuple[int, ...], pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a tensor in the other order, whichever they come in; wherever its pieces end.

    Raises:
        ValueError: nobody has said which bytes of this type are numbers.
    """
    if (record := _record(kind, shape)) is None:
        raise ValueError(f"tensor {quoted(name)}: the big-endian byte order of {kind} is not settled")
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % record[0]
        yield _turn(rest[:whole], *record)
        rest = rest[whole:]
    yield rest


def _turn(data: bytes, size: int, fields: tuple[Field, ...]) -> bytes:
    records = np.frombuffer(data, np.uint8).reshape(-1, size).copy()
    for start, width in fields:
        records[:, start : start + width] = records[:, start : start + width][:, ::-1].copy()
    return records.tobytes()


def _record(kind: QuantType, shape: tuple[int, ...]) -> tuple[int, tuple[Field, ...]] | None:
    """Return the length of what repeats in a tensor, and the numbers in it; None where that is not settled."""
    if kind in _PLAIN:
        size = BLOCKS[kind][1]
        return size, ((0, size),)
    if kind in _FIELDS:
        return BLOCKS[kind][1], _FIELDS[kind]
    if kind is QuantType.I2_S:
        codes = prod(shape) // 4
        return codes + I2_S_TAIL, ((codes, 4),)
    if kind in _ROW_SCALES:
        return row_size(kind, shape[-1]), ((0, _ROW_SCALES[kind]),)
    return None
