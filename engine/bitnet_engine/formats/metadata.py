"""The metadata of a GGUF file: scalars decoded, arrays left where they are until somebody asks.

    tokens = checkpoint.metadata["tokenizer.ggml.tokens"]     # MetadataArray
    tokens.type, tokens.count                                 # "str", 128256
    tokens.head(3), tokens.tolist()

Layout: docs/formats.md §2.1 (llama.cpp `ggml/src/gguf.cpp`). A vocabulary is walked, so that its lengths
are known to be true, and not decoded. Knows no meaning of any key.
"""

import struct
from typing import Any

import numpy as np

from bitnet_engine.errors import FormatError
from bitnet_engine.formats.cursor import HeaderCursor, SourceFile
from bitnet_engine.formats.types import ByteOrder, Limits, quoted, raised_by

_STRING, _ARRAY, _BOOL = 8, 9, 7

VALUE_TYPES: dict[int, tuple[str, str]] = {
    0: ("u8", "B"),
    1: ("i8", "b"),
    2: ("u16", "H"),
    3: ("i16", "h"),
    4: ("u32", "I"),
    5: ("i32", "i"),
    6: ("f32", "f"),
    7: ("bool", "B"),
    10: ("u64", "Q"),
    11: ("i64", "q"),
    12: ("f64", "d"),
}
"""Type number in the file → its name here, and its `struct` code, to be led by a byte order."""

ORDER = {"little": "<", "big": ">"}
"""Byte order → how `struct` and numpy write it."""

_SMALLEST_PAIR = 8 + 4 + 1
"""An empty key, a type, and a value of one byte."""


class MetadataArray:
    """An array in the header, decoded on request while its checkpoint is open."""

    def __init__(
        self, source: SourceFile, key: str, type_id: int, count: int, start: int, end: int, byte_order: ByteOrder
    ) -> None:
        self.key = key
        self.type = "str" if type_id == _STRING else VALUE_TYPES[type_id][0]
        """Name of the element type: `str`, `i32`, `f32`, ..."""
        self.count = count
        self._source = source
        self._type_id = type_id
        self._start = start
        self._end = end
        self._byte_order: ByteOrder = byte_order

    def __repr__(self) -> str:
        return f"MetadataArray({self.key!r}, {self.type}, count={self.count})"

    def tolist(self) -> list[Any]:
        """Return every element, as str, int, float or bool."""
        return self.head(self.count)

    def head(self, count: int) -> list[Any]:
        """Return the first `count` elements, or all where there are fewer.

        Raises:
            FormatError: a string is not UTF-8.
            StorageError: the file changed, or its checkpoint was closed.
        """
        count = min(count, self.count)
        if self._type_id == _STRING:
            return self._strings(count)
        code = ORDER[self._byte_order] + VALUE_TYPES[self._type_id][1]
        data = self._source.read(self._start, count * struct.calcsize(code))
        values = np.frombuffer(data, code)
        return (values.astype(bool) if self._type_id == _BOOL else values).tolist()

    def _strings(self, count: int) -> list[str]:
        cursor = HeaderCursor(self._source, start=self._start, limit=self._end, byte_order=self._byte_order)
        strings: list[str] = []
        try:
            for raw in cursor.strings(count, quoted(self.key)):
                strings.append(raw.decode())
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{self._source.path}: element {len(strings)} of {quoted(self.key)} is not UTF-8: {error.reason}"
            ) from error
        return strings


class MetadataReader:
    """Reads the key-value pairs that follow the counts of a GGUF header."""

    def __init__(self, source: SourceFile, cursor: HeaderCursor, limits: Limits) -> None:
        self._source = source
        self._cursor = cursor
        self._strings_left = limits.metadata_strings
        self._limits = limits

    def read(self, count: int) -> dict[str, Any]:
        """Return `count` pairs in file order.

        Raises:
            FormatError: a key twice, an unknown type, a length past the file, or more than the limits allow.
        """
        cursor = self._cursor
        if count > self._limits.metadata_keys:
            raise cursor.error(
                f"declares {count} metadata keys, the limit is {self._limits.metadata_keys}; "
                f"{raised_by('metadata_keys')}"
            )
        cursor.need(count * _SMALLEST_PAIR, f"the metadata of {count} keys")
        pairs: dict[str, Any] = {}
        for index in range(count):
            start = cursor.position
            key = cursor.string(f"metadata key {index}")
            if key in pairs:
                raise cursor.error(f"metadata key {quoted(key)} at byte {start} appears twice; a key may appear once")
            pairs[key] = self._value(key, cursor.u32(f"the type of metadata {quoted(key)}"))
        return pairs

    def _value(self, key: str, type_id: int) -> Any:
        what = f"metadata {quoted(key)}"
        if type_id == _STRING:
            return self._cursor.string(what)
        if type_id == _ARRAY:
            return self._array(key, what)
        code = self._code(type_id, what)
        (value,) = struct.unpack(code, self._cursor.take(struct.calcsize(code), what))
        return self._truth(value, what) if type_id == _BOOL else value

    def _array(self, key: str, what: str) -> MetadataArray:
        cursor = self._cursor
        type_id, count = cursor.u32(what), cursor.u64(what)
        start = cursor.position
        if type_id == _ARRAY:
            raise cursor.error(f"{what} is an array of arrays, which no GGUF reader takes; flatten it")
        if type_id == _STRING:
            # Checked against the file first: what cannot fit needs no advice about limits.
            cursor.need(8 * count, what)
            self._strings_left -= count
            if self._strings_left < 0:
                raise cursor.error(
                    f"{what} brings the strings of the metadata past {self._limits.metadata_strings}; "
                    f"{raised_by('metadata_strings')}"
                )
            cursor.skip_strings(count, what)
        else:
            cursor.skip(count * struct.calcsize(self._code(type_id, what)), what)
        return MetadataArray(self._source, key, type_id, count, start, cursor.position, cursor.byte_order)

    def _code(self, type_id: int, what: str) -> str:
        if type_id not in VALUE_TYPES:
            raise self._cursor.error(f"{what} has the unknown value type {type_id}; 0 to 12 are defined")
        return ORDER[self._cursor.byte_order] + VALUE_TYPES[type_id][1]

    def _truth(self, value: int, what: str) -> bool:
        if value > 1:
            raise self._cursor.error(f"{what} is a bool of value {value}; 0 and 1 are allowed")
        return bool(value)
