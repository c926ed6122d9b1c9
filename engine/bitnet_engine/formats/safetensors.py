"""SafeTensors: one file's header, checked against its bytes.

    header = read_header(source, limits)
    header.tensors[0].name, header.tensors[0].shape

Layout: docs/formats.md §1.0 (8 bytes of length, JSON, data; offsets count from the data). The tensors must
tile the data: no hole, no overlap, every shape as long as its bytes. Knows no shards and no packed trits.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from bitnet_engine.errors import FormatError
from bitnet_engine.formats.cursor import SourceFile
from bitnet_engine.formats.strict_json import parse_object
from bitnet_engine.formats.types import Finding, Limits, QuantType, TensorInfo, impossible, quoted, raised_by

DTYPES: dict[str, tuple[QuantType, int]] = {
    "BOOL": (QuantType.BOOL, 1),
    "U8": (QuantType.U8, 1),
    "I8": (QuantType.I8, 1),
    "F8_E4M3": (QuantType.F8_E4M3, 1),
    "F8_E5M2": (QuantType.F8_E5M2, 1),
    "F8_E8M0": (QuantType.F8_E8M0, 1),
    "U16": (QuantType.U16, 2),
    "I16": (QuantType.I16, 2),
    "F16": (QuantType.F16, 2),
    "BF16": (QuantType.BF16, 2),
    "U32": (QuantType.U32, 4),
    "I32": (QuantType.I32, 4),
    "F32": (QuantType.F32, 4),
    "U64": (QuantType.U64, 8),
    "I64": (QuantType.I64, 8),
    "F64": (QuantType.F64, 8),
    "C64": (QuantType.C64, 8),
}
"""The header's spelling → its type and bytes a number; a spelling not listed is an UNKNOWN tensor."""

PREFIX = 8
"""Bytes before the JSON: its length, little endian."""

_FIELDS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True, slots=True)
class SafeTensorsHeader:
    """The tensors of one file in the order of their bytes."""

    tensors: list[TensorInfo]
    findings: list[Finding]


def read_header(source: SourceFile, limits: Limits) -> SafeTensorsHeader:
    """Read and check everything before the tensor data.

    Raises:
        FormatError: the header is no strict JSON, contradicts itself or the file's size, or passes a limit.
        StorageError: the file cannot be read or changes meanwhile.
    """
    entries, data_start = _entries(source, limits)
    tensors, findings = [], []
    for name, entry in entries.items():
        tensor, dtype = _tensor(source, name, entry, data_start, limits)
        tensors.append(tensor)
        if tensor.type is QuantType.UNKNOWN:
            message = f"has the dtype {quoted(dtype)}, which this reader does not know"
            findings.append(Finding("unknown-type", "warning", name, message, "convert it to F32, F16 or BF16"))
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.nbytes))
    end = _check_tiling(source, tensors, data_start)
    if source.size > end:
        message = f"{source.size - end} bytes follow the last tensor, from byte {end}"
        advice = "compare the file's sha256 with its publisher's; safetensors itself refuses such a file"
        findings.append(Finding("trailing-bytes", "warning", source.path.name, message, advice))
    return SafeTensorsHeader(tensors, findings)


def _entries(source: SourceFile, limits: Limits) -> tuple[dict[str, Any], int]:
    """Return the tensor entries by name, and the byte where the data starts."""
    length = int.from_bytes(source.read(0, PREFIX), "little")
    room = source.size - PREFIX
    if length > room:
        raise FormatError(
            f"{source.path}: the header at byte 8 declares {length} bytes, {room} are left; "
            f"the file is cut or corrupt: fetch it again"
        )
    if length > limits.json_bytes:
        raise FormatError(
            f"{source.path}: the header declares {length} bytes of JSON, the limit is {limits.json_bytes}; "
            f"{raised_by('json_bytes')}"
        )
    data = source.read(PREFIX, length)
    # Counted before parsing: every parsed object costs a hundred times its two bytes.
    if data.count(b"{") + data.count(b"[") > 4 * limits.tensors:
        raise FormatError(f"{source.path}: the header holds more than {limits.tensors} tensors; {raised_by('tensors')}")
    entries, _ = parse_object(data, source.path, where="the header", values=limits.json_values)
    _check_metadata(source, entries.pop("__metadata__", {}))
    return entries, PREFIX + length


def _check_metadata(source: SourceFile, metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(f"{source.path}: __metadata__ of the header must map strings to strings")


def _tensor(source: SourceFile, name: str, entry: Any, data_start: int, limits: Limits) -> tuple[TensorInfo, str]:
    """Return one tensor, and its dtype as it is spelled in the header."""
    if not isinstance(entry, dict) or set(entry) != _FIELDS or not isinstance(entry["dtype"], str):
        raise _bad(source, name, "must hold dtype, shape and data_offsets, and nothing else")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _is_counts(shape) or len(shape) > limits.dimensions:
        raise _bad(source, name, f"has a shape that is no list of up to {limits.dimensions} counts")
    if not _is_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _bad(source, name, "has data_offsets that are no [begin, end]")
    kind, width = DTYPES.get(entry["dtype"], (QuantType.UNKNOWN, 0))
    begin, end = offsets
    if kind is not QuantType.UNKNOWN and prod(shape) * width != end - begin:
        raise _bad(
            source,
            name,
            f"is {kind} {shape}, {prod(shape) * width} bytes, but data_offsets span {end - begin}",
        )
    if problem := impossible(shape):
        raise _bad(source, name, f"has the shape {shape}, {problem}")
    info = TensorInfo(name, kind, None, tuple(shape), source.path, data_start + begin, end - begin)
    return info, entry["dtype"]


def _is_counts(value: Any) -> bool:
    # bool is an int to Python and not to a shape.
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _bad(source: SourceFile, name: str, what: str) -> FormatError:
    return FormatError(f"{source.path}: tensor {quoted(name)} {what}; the header is corrupt")


def _check_tiling(source: SourceFile, tensors: list[TensorInfo], data_start: int) -> int:
    """Check that the tensors lie one after another inside the file; return the byte after the last."""
    end, before = data_start, ""
    for tensor in tensors:
        if tensor.offset > end:
            gap = tensor.offset - end
            raise FormatError(
                f"{source.path}: {gap} bytes before tensor {quoted(tensor.name)} belong to no tensor "
                f"(from byte {end}); tensors must follow one another: save the file again"
            )
        if tensor.offset < end:
            raise FormatError(
                f"{source.path}: tensors {quoted(before)} (up to byte {end}) and {quoted(tensor.name)} "
                f"(from {tensor.offset}) overlap; the header is corrupt"
            )
        end, before = tensor.offset + tensor.nbytes, tensor.name
    if end > source.size:
        cut = next(tensor for tensor in tensors if tensor.offset + tensor.nbytes > source.size)
        raise FormatError(
            f"{source.path}: truncated: its tensors end at byte {end}, the file has {source.size} bytes; "
            f"the first one cut is {quoted(cut.name)} at byte {cut.offset}; fetch the file again"
        )
    return end
