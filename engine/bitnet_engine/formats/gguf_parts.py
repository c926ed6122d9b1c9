"""A GGUF in parts, as llama-gguf-split leaves it: which files belong together, and their headers as one.

    paths = part_paths(Path("m-00002-of-00003.gguf"), header.metadata)   # all three, in order
    joined(paths, headers).tensors                                       # of all parts

Each part says `split.no` (from 0), `split.count` and `split.tensors.count`; the first holds the metadata of the model,
and may hold no tensor. Source: llama.cpp `tools/gguf-split/gguf-split.cpp` and `src/llama-model-loader.cpp`. Opens no
file.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitnet_engine.errors import FormatError
from bitnet_engine.formats.gguf import GGUFHeader
from bitnet_engine.formats.types import Finding, Limits, TensorInfo, quoted, raised_by

NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


def part_names(name: str) -> list[str]:
    """Return the names of all parts of the model that `name` names a part of, in order; of a whole file its own."""
    found = _NAME.fullmatch(name)
    if found is None or not 1 <= int(found["number"]) <= int(found["count"]):
        return [name]
    return [f"{found['stem']}-{number:05}-of-{found['count']}.gguf" for number in range(1, int(found["count"]) + 1)]


def part_paths(path: Path, metadata: Mapping[str, Any]) -> list[Path]:
    """Return the files of the model that `path` is a part of, in order; `path` alone where it is whole or misnamed.

    Raises:
        FormatError: one of them is not there.
    """
    names = part_names(path.name)
    if _count(metadata) != len(names):
        return [path]
    for name in names:
        if not os.path.lexists(path.with_name(name)):
            raise FormatError(f"{path}: is one of {len(names)} parts, and {quoted(name)} is not beside it; fetch it")
    return [path.with_name(name) for name in names]


def joined(paths: Sequence[Path], headers: Sequence[GGUFHeader], limits: Limits) -> GGUFHeader:
    """Return the headers of all parts as that of one file.

    Raises:
        FormatError: the parts contradict each other, or are beyond `limits` together.
    """
    if len(headers) == 1:
        (path,), (header,) = paths, headers
        return replace(header, findings=[*header.findings, *_alone(path, header.metadata)])
    tensors: dict[str, TensorInfo] = {}
    for index, (path, header) in enumerate(zip(paths, headers, strict=True)):
        _check(path, header, index, headers[0])
        for tensor in header.tensors:
            if tensor.name in tensors:
                other = tensors[tensor.name].file.name
                raise FormatError(f"{path}: tensor {quoted(tensor.name)} is also in {quoted(other)}; fetch both again")
            tensors[tensor.name] = tensor
    first = headers[0]
    if len(tensors) > limits.tensors:
        raise FormatError(
            f"{paths[0]}: its parts hold {len(tensors)} tensors, the limit is {limits.tensors}; {raised_by('tensors')}"
        )
    if (declared := first.metadata.get(TENSORS, len(tensors))) != len(tensors):
        raise FormatError(f"{paths[0]}: its parts hold {len(tensors)} tensors of {declared!r:.40}; fetch them again")
    metadata = {key: value for key, value in first.metadata.items() if key not in (NUMBER, COUNT, TENSORS)}
    findings = [finding for header in headers for finding in header.findings]
    return replace(first, metadata=metadata, tensors=list(tensors.values()), findings=findings)


def _count(metadata: Mapping[str, Any]) -> int:
    count = metadata.get(COUNT, 1)
    return count if isinstance(count, int) else 1


def _check(path: Path, header: GGUFHeader, index: int, first: GGUFHeader) -> None:
    """Check that a part is the one that its name says, of the same model as the first."""
    number, count = header.metadata.get(NUMBER), _count(header.metadata)
    if (number, count) != (index, _count(first.metadata)):
        raise FormatError(
            f"{path}: says it is part {number!r:.40} (from 0) of {count}, its name says {index} of "
            f"{_count(first.metadata)}; name it as llama-gguf-split did, or fetch it again"
        )
    if header.byte_order != first.byte_order:
        raise FormatError(f"{path}: is {header.byte_order}-endian, the first part is not; fetch them again")


def _alone(path: Path, metadata: Mapping[str, Any]) -> list[Finding]:
    """Return a finding where a part is misnamed: the others cannot be found."""
    if _count(metadata) <= 1:
        return []
    message = f"is part {metadata.get(NUMBER, 0)} (from 0) of {_count(metadata)} parts; only this part is read"
    advice = "name the parts NAME-00001-of-00003.gguf and so on, as llama-gguf-split does"
    return [Finding("split", "warning", path.name, message, advice)]
