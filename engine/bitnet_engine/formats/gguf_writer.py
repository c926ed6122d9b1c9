"""Writing GGUF version 3, in either byte order: the whole header first, then one tensor at a time.

    write_gguf(path, {"general.architecture": "bitnet-b1.58"}, [
        OutTensor("output_norm.weight", QuantType.F32, (2560,), lambda: norm.tobytes()),
    ])

The same input gives the same bytes, and the file appears under its name only when it is complete. Layout:
docs/formats.md §2.1. Knows no architecture: names, shapes and types are the caller's.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bitnet_engine.files import atomic_file
from bitnet_engine.formats.byte_order import turned
from bitnet_engine.formats.ggml_types import GGML_TYPES, byte_size
from bitnet_engine.formats.gguf import DEFAULT_ALIGNMENT, MAGIC
from bitnet_engine.formats.metadata import ORDER, VALUE_TYPES, MetadataArray
from bitnet_engine.formats.types import ByteOrder, QuantType, quoted

_VERSION = 3
_STRING, _ARRAY = 8, 9
_VALUE_IDS = {name: type_id for type_id, (name, _) in VALUE_TYPES.items()} | {"str": _STRING}
_CODES = dict(VALUE_TYPES.values())

# Of the colliding ids: what llama.cpp means by 39 and 42, and what every BitNet fork means by 36.
_TYPE_IDS = {kind: type_id for type_id, kind in GGML_TYPES.items()} | {
    QuantType.I2_S: 36,
    QuantType.MXFP4: 39,
    QuantType.Q2_0: 42,
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A metadata number of a width that is not the usual one: `Scalar("u64", 5)`."""

    type: str
    value: int | float | bool


@dataclass(frozen=True, slots=True)
class Array:
    """A metadata array of a stated element type: `Array("f32", [0.0, 1.0])`."""

    type: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class OutTensor:
    """A tensor to write: shape in torch order, and its bytes on request, whole or in pieces: no other is in memory.

    The bytes are little-endian, whatever the order of the file.
    """

    name: str
    type: QuantType
    shape: tuple[int, ...]
    data: Callable[[], bytes | Iterator[bytes]]


def write_gguf(
    path: Path, metadata: Mapping[str, Any], tensors: Iterable[OutTensor], byte_order: ByteOrder = "little"
) -> None:
    """Write a GGUF file, all its numbers in `byte_order`.

    Metadata values are written by kind: str, bool, int as u32 (i32 where negative), float as f32, lists of
    str, bool, int (i32) and float (f32); `Scalar` and `Array` say another width. `general.alignment` is
    obeyed.

    Raises:
        ValueError: a value or type that GGUF, in this byte order, cannot hold, a name twice, or data whose length is
            not its shape's.
        StorageError: the file cannot be written; an older one is unchanged.
    """
    for _ in writing_gguf(path, metadata, tensors, byte_order):
        pass


def writing_gguf(
    path: Path, metadata: Mapping[str, Any], tensors: Iterable[OutTensor], byte_order: ByteOrder = "little"
) -> Iterator[OutTensor]:
    """Write as `write_gguf` does, yielding each tensor once it is written; left early, no file appears."""
    tensors = list(tensors)
    alignment = _alignment(metadata)
    sizes = [_size(tensor) for tensor in tensors]
    header = _header(metadata, tensors, sizes, alignment, ORDER[byte_order])
    with atomic_file(path) as stream:
        _write_padded(stream, header, alignment)
        for tensor, size in zip(tensors, sizes, strict=True):
            _write_tensor(stream, tensor, size, alignment, byte_order)
            yield tensor


def _header(
    metadata: Mapping[str, Any], tensors: list[OutTensor], sizes: list[int], alignment: int, order: str
) -> bytes:
    parts = [MAGIC, struct.pack(f"{order}IQQ", _VERSION, len(tensors), len(metadata))]
    parts += [_string(key, order) + _value(key, value, order) for key, value in metadata.items()]
    offset = 0
    for tensor, size in zip(tensors, sizes, strict=True):
        extents = tuple(reversed(tensor.shape))
        counts = struct.pack(f"{order}I{len(extents)}Q", len(extents), *extents)
        place = struct.pack(f"{order}IQ", _TYPE_IDS[tensor.type], offset)
        parts.append(_string(tensor.name, order) + counts + place)
        offset += _padded(size, alignment)
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise ValueError("two tensors have the same name; a name may appear once")
    return b"".join(parts)


def _size(tensor: OutTensor) -> int:
    size = byte_size(tensor.type, tensor.shape) if tensor.type in _TYPE_IDS else None
    if size is None:
        raise ValueError(f"tensor {quoted(tensor.name)}: GGUF cannot hold {tensor.type} of {tensor.shape}")
    return size


def _alignment(metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"general.alignment is {alignment!r}; a power of two is allowed")
    return alignment


def _value(key: str, value: Any, order: str) -> bytes:
    """Return the type and bytes of a metadata value."""
    try:
        if isinstance(value, str):
            return struct.pack(f"{order}I", _STRING) + _string(value, order)
        if isinstance(value, MetadataArray):
            return _array(value.type, value.tolist(), order)
        if isinstance(value, Array):
            return _array(value.type, value.values, order)
        if isinstance(value, list | tuple):
            return _array(_element_type(value), value, order)
        scalar = value if isinstance(value, Scalar) else Scalar(_scalar_type(value), value)
        return struct.pack(f"{order}I{_CODES[scalar.type]}", _VALUE_IDS[scalar.type], scalar.value)
    except (struct.error, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"metadata {quoted(key)}: GGUF cannot hold {value!r:.60}: {error}") from error


def _array(kind: str, values: Sequence[Any], order: str) -> bytes:
    head = struct.pack(f"{order}IIQ", _ARRAY, _VALUE_IDS[kind], len(values))
    if kind == "str":
        return head + b"".join(_string(value, order) for value in values)
    return head + struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)


def _scalar_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "u32" if value >= 0 else "i32"
    if isinstance(value, float):
        return "f32"
    raise TypeError(f"{type(value).__name__} is no metadata type")


def _element_type(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values}
    names = {str: "str", bool: "bool", int: "i32", float: "f32"}
    if len(kinds) != 1 or not kinds <= set(names):
        raise TypeError("a list must hold one of str, bool, int, float; Array states the type of an empty one")
    return names[kinds.pop()]


def _string(text: str, order: str) -> bytes:
    data = text.encode()
    return struct.pack(f"{order}Q", len(data)) + data


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _write_tensor(stream: BinaryIO, tensor: OutTensor, size: int, alignment: int, byte_order: ByteOrder) -> None:
    # A function of its own, so that a tensor's bytes are gone before the next one's are asked for.
    data, written = tensor.data(), 0
    pieces = [data] if isinstance(data, bytes) else data
    for piece in pieces if byte_order == "little" else turned(tensor.name, tensor.type, tensor.shape, pieces):
        stream.write(piece)
        written += len(piece)
    if written != size:
        raise ValueError(f"tensor {quoted(tensor.name)}: {written} bytes given, its shape takes {size}")
    stream.write(bytes(_padded(size, alignment) - size))


def _write_padded(stream: BinaryIO, data: bytes, alignment: int) -> None:
    stream.write(data)
    stream.write(bytes(_padded(len(data), alignment) - len(data)))
