"""GGUF, versions 2 and 3, of either byte order: the header, and where every tensor lies.

    header = read_header(source, limits)
    header.metadata["general.architecture"], header.tensors[0].offset

Layout: docs/formats.md §2.1-2.3 (llama.cpp `ggml/src/gguf.cpp`). Files of the BitNet forks are read too,
whose type ids collide with llama.cpp's: the true length of a tensor decides. Decodes no tensor.
"""

from dataclasses import dataclass
from typing import Any

from bitnet_engine.formats.cursor import HeaderCursor, SourceFile
from bitnet_engine.formats.gguf_layout import DeclaredTensor, place
from bitnet_engine.formats.metadata import MetadataReader
from bitnet_engine.formats.types import ByteOrder, Finding, Limits, TensorInfo, impossible, quoted, raised_by

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32

_LARGEST_ALIGNMENT = 1 << 20
_SMALLEST_TENSOR = 8 + 4 + 4 + 8
"""An empty name, no dimensions, a type and an offset."""
_SMALLEST_HEADER = 24


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """What the front of a GGUF file says, checked against the file's size."""

    version: int
    byte_order: ByteOrder
    metadata: dict[str, Any]
    tensors: list[TensorInfo]
    findings: list[Finding]


def read_header(source: SourceFile, limits: Limits) -> GGUFHeader:
    """Read and check everything before the tensor data.

    Raises:
        FormatError: the header contradicts itself, the file's size, or the limits.
        StorageError: the file cannot be read or changes meanwhile.
    """
    HeaderCursor(source, limit=limits.header_bytes).need(_SMALLEST_HEADER, "the GGUF header")
    cursor = HeaderCursor(source, limit=limits.header_bytes, byte_order=_byte_order(source))
    cursor.skip(len(MAGIC), "the magic")
    version = _version(cursor)
    tensor_count, pair_count = cursor.u64("the tensor count"), cursor.u64("the metadata count")
    metadata = MetadataReader(source, cursor, limits).read(pair_count)
    alignment = _alignment(cursor, metadata)
    declared = _tensors(cursor, tensor_count, limits)
    data_start = -(-cursor.position // alignment) * alignment
    tensors, findings = place(source, declared, data_start, alignment)
    findings += _big_endian(source, cursor)
    return GGUFHeader(version, cursor.byte_order, metadata, tensors, findings)


def _byte_order(source: SourceFile) -> ByteOrder:
    # As gguf-py tells them apart: no version needs more than 16 bits, and swapped they are the upper ones.
    version = source.read(len(MAGIC), 4)
    return "big" if version[:2] == b"\0\0" and version[2:] != b"\0\0" else "little"


def _big_endian(source: SourceFile, cursor: HeaderCursor) -> list[Finding]:
    if cursor.byte_order == "little":
        return []
    message = "is big-endian; it is read here as it is, and refused by programs built for other machines"
    advice = "gguf-convert-endian FILE little makes a file for x86 and ARM"
    return [Finding("big-endian", "note", source.path.name, message, advice)]


def _version(cursor: HeaderCursor) -> int:
    version = cursor.u32("the version")
    if version in (2, 3):
        return version
    if version == 1:
        raise cursor.error("is GGUF version 1, of August 2023; versions 2 and 3 are read: convert the model again")
    raise cursor.error(f"declares GGUF version {version} at byte 4; versions 2 and 3 are read")


def _alignment(cursor: HeaderCursor, metadata: dict[str, Any]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    whole = isinstance(alignment, int) and not isinstance(alignment, bool)
    if not whole or not 0 < alignment <= _LARGEST_ALIGNMENT or alignment & (alignment - 1):
        raise cursor.error(
            f"general.alignment is {alignment!r:.40}; a power of two up to {_LARGEST_ALIGNMENT} is allowed"
        )
    return alignment


def _tensors(cursor: HeaderCursor, count: int, limits: Limits) -> list[DeclaredTensor]:
    if count > limits.tensors:
        raise cursor.error(f"declares {count} tensors, the limit is {limits.tensors}; {raised_by('tensors')}")
    cursor.need(count * _SMALLEST_TENSOR, f"the table of {count} tensors")
    names: set[str] = set()
    declared: list[DeclaredTensor] = []
    for index in range(count):
        start = cursor.position
        name = cursor.string(f"the name of tensor {index}")
        if name in names:
            raise cursor.error(f"tensor {quoted(name)} at byte {start} is declared twice; a name may appear once")
        names.add(name)
        declared.append(_tensor(cursor, name, limits))
    return declared


def _tensor(cursor: HeaderCursor, name: str, limits: Limits) -> DeclaredTensor:
    what = f"tensor {quoted(name)}"
    dimensions = cursor.u32(what)
    if dimensions > limits.dimensions:
        raise cursor.error(f"{what} has {dimensions} dimensions; up to {limits.dimensions} are allowed")
    extents = [cursor.u64(what) for _ in range(dimensions)]
    type_id, offset = cursor.u32(what), cursor.u64(what)
    tensor = DeclaredTensor(name, type_id, tuple(reversed(extents)), offset)
    if problem := impossible(tensor.shape):
        raise cursor.error(f"{what} has the shape {tensor.shape}, {problem}; the file is corrupt")
    return tensor
