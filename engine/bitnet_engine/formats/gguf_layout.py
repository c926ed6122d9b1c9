"""Where the tensors of a GGUF file lie: sizes by type, offsets checked against the file and each other.

    tensors, findings = place(source, declared, data_start, alignment)

Bytes that belong to no tensor, or to two, or that are missing, are how a bad download and a hostile
file look; llama.cpp takes sizes from the type ids alone and so cannot read the files of forks. Here the
distance to the next tensor tells apart the ids that forks use twice (docs/formats.md §2.3). Reads no data.
"""

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from bitnet_engine.errors import FormatError
from bitnet_engine.formats.cursor import SourceFile
from bitnet_engine.formats.ggml_types import INTERLEAVED_IDS, UNREADABLE, byte_size, candidates
from bitnet_engine.formats.types import Finding, QuantType, TensorInfo, quoted


@dataclass(frozen=True, slots=True)
class DeclaredTensor:
    """One entry of the tensor table: shape in torch order, offset from the start of the data."""

    name: str
    type_id: int
    shape: tuple[int, ...]
    offset: int

    @property
    def count(self) -> int:
        """The number of weights."""
        return prod(self.shape)


def place(
    source: SourceFile, declared: list[DeclaredTensor], data_start: int, alignment: int
) -> tuple[list[TensorInfo], list[Finding]]:
    """Return the tensors in file order, each with its type settled and its bytes inside the file.

    Raises:
        FormatError: an offset is unaligned or outside the file, a shape does not fit its type, the file is
            cut, or two tensors share bytes.
    """
    path = source.path
    for tensor in declared:
        _check_offset(source, tensor, alignment)
    rooms = _rooms(declared, max(source.size - data_start, 0))
    readings = _readings(declared, rooms, alignment)
    tensors = []
    for tensor in declared:
        kind = readings[tensor.name]
        nbytes = _size(source, tensor, kind, rooms[tensor.name])
        # A removed, interleaved layout: as plain IQ4_NL its bytes would be read as what they are not.
        if tensor.type_id in INTERLEAVED_IDS and kind is QuantType.IQ4_NL:
            kind = QuantType.UNKNOWN
        start = data_start + tensor.offset
        tensors.append(TensorInfo(tensor.name, kind, tensor.type_id, tensor.shape, path, start, nbytes))
    tensors.sort(key=lambda tensor: tensor.offset)
    _check_inside(source, tensors)
    _check_apart(source, tensors)
    return tensors, [*_unknown(tensors), *_gaps(source, tensors, data_start, alignment)]


def _check_offset(source: SourceFile, tensor: DeclaredTensor, alignment: int) -> None:
    if tensor.offset % alignment:
        raise FormatError(
            f"{source.path}: tensor {quoted(tensor.name)} starts at data byte {tensor.offset}, "
            f"which is no multiple of the alignment {alignment}; the file is corrupt"
        )
    if tensor.offset >= 2**63:
        raise FormatError(
            f"{source.path}: tensor {quoted(tensor.name)} starts at data byte {tensor.offset}, "
            f"past the end of any file (this one has {source.size} bytes); the file is corrupt"
        )


def _rooms(declared: list[DeclaredTensor], data_size: int) -> dict[str, int]:
    """Return for each tensor the bytes from its start to the next start, or to the end of the file."""
    starts = sorted({tensor.offset for tensor in declared if tensor.count} | {data_size})
    rooms = {}
    for tensor in declared:
        after = bisect_right(starts, tensor.offset)
        rooms[tensor.name] = max((starts[after] if after < len(starts) else data_size) - tensor.offset, 0)
    return rooms


def _readings(declared: list[DeclaredTensor], rooms: dict[str, int], alignment: int) -> dict[str, QuantType]:
    """Return the type of each tensor; where an id has two meanings, the one whose length fits.

    A tensor that fits none or both (the last one of a cut or padded file) is read as its namesakes are.
    """
    readings: dict[str, QuantType] = {}
    votes: dict[int, Counter[QuantType]] = {}
    doubtful: list[DeclaredTensor] = []
    for tensor in declared:
        fits = _fitting(tensor, rooms[tensor.name], alignment)
        if len(fits) == 1:
            readings[tensor.name] = fits[0]
            votes.setdefault(tensor.type_id, Counter())[fits[0]] += 1
        elif candidates(tensor.type_id):
            doubtful.append(tensor)
        else:
            readings[tensor.name] = QuantType.UNKNOWN
    for tensor in doubtful:
        settled = votes.get(tensor.type_id)
        nearest = _nearest(tensor, rooms[tensor.name])
        readings[tensor.name] = settled.most_common(1)[0][0] if settled else nearest
    return readings


def _fitting(tensor: DeclaredTensor, room: int, alignment: int) -> list[QuantType]:
    kinds = candidates(tensor.type_id)
    if len(kinds) < 2:
        return list(kinds)
    sizes = {kind: byte_size(kind, tensor.shape) for kind in kinds}
    return [
        kind for kind, size in sizes.items() if size is not None and room in (size, -(-size // alignment) * alignment)
    ]


def _nearest(tensor: DeclaredTensor, room: int) -> QuantType:
    """Return the reading that leaves the fewest bytes over, or else lacks the fewest."""
    kinds = candidates(tensor.type_id)
    sizes = {kind: size for kind in kinds if (size := byte_size(kind, tensor.shape)) is not None}
    return min(sizes, key=lambda kind: (sizes[kind] > room, abs(sizes[kind] - room)), default=kinds[0])


def _size(source: SourceFile, tensor: DeclaredTensor, kind: QuantType, room: int) -> int:
    if kind is QuantType.UNKNOWN:
        return room
    size = byte_size(kind, tensor.shape)
    if size is None:
        raise FormatError(
            f"{source.path}: tensor {quoted(tensor.name)} has the shape {tensor.shape}, which {kind} "
            f"(type id {tensor.type_id}) cannot store; the file is corrupt or of another fork"
        )
    return size


def _check_inside(source: SourceFile, tensors: list[TensorInfo]) -> None:
    end = max((tensor.offset + tensor.nbytes for tensor in tensors), default=0)
    if end <= source.size:
        return
    cut = next(tensor for tensor in tensors if tensor.offset + tensor.nbytes > source.size)
    raise FormatError(
        f"{source.path}: truncated: its tensors end at byte {end}, the file has {source.size} bytes; "
        f"the first one cut is {quoted(cut.name)} at byte {cut.offset}; fetch the file again"
    )


def _check_apart(source: SourceFile, tensors: list[TensorInfo]) -> None:
    filled = [tensor for tensor in tensors if tensor.nbytes]
    for left, right in pairwise(filled):
        if left.offset + left.nbytes > right.offset:
            raise FormatError(
                f"{source.path}: tensors {quoted(left.name)} (bytes {left.offset} to "
                f"{left.offset + left.nbytes}) and {quoted(right.name)} (from {right.offset}) overlap; "
                f"the file is corrupt"
            )


def _unknown(tensors: list[TensorInfo]) -> list[Finding]:
    ids = Counter(tensor.type_id for tensor in tensors if tensor.type is QuantType.UNKNOWN)
    return [
        Finding(
            "unknown-type",
            "warning",
            next(t.name for t in tensors if t.type is QuantType.UNKNOWN and t.type_id == type_id),
            f"{count} tensor(s) have the type id {type_id}{_known_as(type_id)}, which this reader cannot size; "
            f"their bytes are counted up to the next tensor",
            "convert the model to I2_S, TQ1_0 or TQ2_0 with the program that wrote it",
        )
        for type_id, count in ids.items()
    ]


def _known_as(type_id: int | None) -> str:
    return f" ({UNREADABLE[type_id]})" if type_id in UNREADABLE else ""


def _gaps(source: SourceFile, tensors: list[TensorInfo], data_start: int, alignment: int) -> list[Finding]:
    """Return findings for bytes between tensors and after the last one, beyond what alignment explains."""
    findings = []
    holes, first, at = 0, "", data_start
    for tensor in tensors:
        if tensor.offset > at:
            holes += tensor.offset - at
            first = first or tensor.name
        at = max(at, -(-(tensor.offset + tensor.nbytes) // alignment) * alignment)
    if holes:
        message = f"{holes} bytes belong to no tensor; the first of them lie before {quoted(first)}"
        findings.append(Finding("hole", "warning", first, message, "convert the model again to drop them"))
    if tensors and source.size > at:
        message = f"{source.size - at} bytes follow the last tensor, from byte {at}"
        advice = "compare the file's sha256 with its publisher's; nothing reads these bytes"
        findings.append(Finding("trailing-bytes", "warning", source.path.name, message, advice))
    return findings
