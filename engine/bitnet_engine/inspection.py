"""What is in a model file, from its headers alone: types, sizes, metadata, and what looks wrong.

    summary = inspect("model-TQ2_0.gguf")
    summary.architecture, summary.bits_per_weight, summary.findings
    orjson.dumps(summary.to_json())

Loads no weights, builds no tokenizer, and knows nothing of jax. What is wrong but readable is a finding; what
cannot be read is the error of `open_checkpoint`. The findings that need the weights are `scan_findings`'s.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitnet_engine.errors import FormatError
from bitnet_engine.findings import architecture, header_findings
from bitnet_engine.formats import (
    TERNARY_TYPES,
    Checkpoint,
    Finding,
    I2SLayout,
    Limits,
    MetadataArray,
    QuantType,
    Reading,
    TensorInfo,
    open_checkpoint,
)
from bitnet_engine.formats.hf import ScaleMeaning, packed_scales, read_json
from bitnet_engine.formats.limits import in_force
from bitnet_engine.formats.statistics import TensorStats, tensor_stats, tensor_values
from bitnet_engine.formats.strict_json import parse_object

__all__ = ["Summary", "TensorStats", "TokenizerSummary", "TypeCount", "inspect", "tensor_stats", "tensor_values"]

HEAD = 3
"""Elements of a metadata array that a summary shows."""


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How many tensors are stored as one type, and their bytes."""

    type: QuantType
    tensors: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TokenizerSummary:
    """What the headers say of the tokenizer; None for what they do not say."""

    model: str | None
    """`gpt2`, `llama`, ... in GGUF; the tokenizer's file name beside SafeTensors."""
    pre: str | None
    tokens: int | None
    merges: int | None
    bos: int | str | None
    """An id in GGUF, the token's text beside SafeTensors."""
    eos: int | str | None
    add_bos: bool | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A model as its headers describe it."""

    path: Path
    format: str
    version: str
    bytes: int
    architecture: str | None
    parameters: int
    """Weights of all tensors, scales left out."""
    ternary_parameters: int
    bits_per_weight: float | None
    """Bits of all tensors by all weights; None without weights."""
    body_bits_per_weight: float | None
    """The same of the ternary tensors and their scales alone; None where there are none."""
    types: tuple[TypeCount, ...]
    """The largest share of the bytes first."""
    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, Any]
    """Arrays as {"array": type, "count": n, "head": [...]}."""
    tokenizer: TokenizerSummary
    scale_meaning: ScaleMeaning | None
    reading: Reading
    """How it is read in what no file states."""
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, dicts, strings and finite numbers."""
        result = {name: getattr(self, name) for name in self.__slots__}
        result["path"] = str(self.path)
        result["types"] = [asdict(count) | {"type": count.type.value} for count in self.types]
        result["tensors"] = [_tensor_json(tensor) for tensor in self.tensors]
        result["tokenizer"] = asdict(self.tokenizer)
        result["reading"] = self.reading.to_json()
        result["findings"] = [asdict(finding) for finding in self.findings]
        return result


def inspect(
    path: str | os.PathLike[str],
    *,
    limits: Limits | None = None,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
) -> Summary:
    """Summarise a model file or folder without loading a weight.

    Raises:
        FormatError, SettingError, StorageError: as `open_checkpoint`.
    """
    limits = limits or in_force()
    with open_checkpoint(path, limits=limits, i2s_layout=i2s_layout, kernel_config=kernel_config) as checkpoint:
        return _summarise(checkpoint, limits)


def _summarise(checkpoint: Checkpoint, limits: Limits) -> Summary:
    tensors = tuple(checkpoint.tensors.values())
    scales = packed_scales(tensors)
    weights = [tensor for tensor in tensors if tensor.name not in scales]
    ternary = [tensor for tensor in weights if tensor.type in TERNARY_TYPES]
    body_bytes = _nbytes(ternary) + sum(checkpoint.tensors[name].nbytes for name in scales)
    metadata, odd = _plain(checkpoint.metadata)
    meaning, unclear = _meaning(checkpoint)
    return Summary(
        path=checkpoint.path,
        format=checkpoint.format,
        version=checkpoint.version,
        bytes=checkpoint.size,
        architecture=architecture(checkpoint.metadata),
        parameters=_count(weights),
        ternary_parameters=_count(ternary),
        bits_per_weight=_ratio(8 * _nbytes(tensors), _count(weights)),
        body_bits_per_weight=_ratio(8 * body_bytes, _count(ternary)),
        types=_types(tensors),
        tensors=tensors,
        metadata=metadata,
        tokenizer=_tokenizer(checkpoint, limits),
        scale_meaning=meaning,
        reading=checkpoint.reading,
        findings=(*checkpoint.findings, *odd, *unclear, *header_findings(checkpoint)),
    )


def _count(tensors: list[TensorInfo]) -> int:
    return sum(tensor.n_elements for tensor in tensors)


def _nbytes(tensors: list[TensorInfo] | tuple[TensorInfo, ...]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _ratio(bits: int, weights: int) -> float | None:
    return bits / weights if weights else None


def _types(tensors: tuple[TensorInfo, ...]) -> tuple[TypeCount, ...]:
    counts = Counter(tensor.type for tensor in tensors)
    nbytes = Counter[QuantType]()
    for tensor in tensors:
        nbytes[tensor.type] += tensor.nbytes
    return tuple(TypeCount(kind, counts[kind], size) for kind, size in nbytes.most_common())


def _tensor_json(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "type": tensor.type.value,
        "shape": list(tensor.shape),
        "offset": tensor.offset,
        "nbytes": tensor.nbytes,
        "file": tensor.file.name,
    }


def _plain(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """Return the metadata as JSON can hold it, and a finding for each number that it cannot."""
    plain: dict[str, Any] = {}
    findings = []
    for key, value in metadata.items():
        if isinstance(value, MetadataArray):
            head = [item if _is_json(item) else None for item in value.head(HEAD)]
            plain[key] = {"array": value.type, "count": value.count, "head": head}
        elif _is_json(value):
            plain[key] = value
        else:
            plain[key] = None
            message = f"is {value}, which is no number to compute with; shown as null"
            findings.append(Finding("metadata-not-finite", "warning", key, message, "convert the model again"))
    return plain, findings


def _is_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _meaning(checkpoint: Checkpoint) -> tuple[ScaleMeaning | None, list[Finding]]:
    try:
        return checkpoint.scale_meaning(), []
    except FormatError as error:
        message = str(error).removeprefix(f"{checkpoint.path}: ")
        advice = "the packed tensors cannot be read until this is settled"
        return None, [Finding("scale-meaning", "error", checkpoint.path.name, message, advice)]


def _tokenizer(checkpoint: Checkpoint, limits: Limits) -> TokenizerSummary:
    if checkpoint.format == "gguf":
        return _gguf_tokenizer(checkpoint.metadata)
    files = checkpoint.tokenizer_files
    model = next((name for name in ("tokenizer.json", "tokenizer.model", "vocab.json") if name in files), None)
    config: dict[str, Any] = {}
    if (path := files.get("tokenizer_config.json")) is not None:
        config, _ = parse_object(read_json(path, limits), path, values=limits.json_values)
    add_bos = config.get("add_bos_token")
    return TokenizerSummary(
        model=model,
        pre=None,
        tokens=None,
        merges=None,
        bos=_token_text(config.get("bos_token")),
        eos=_token_text(config.get("eos_token")),
        add_bos=add_bos if isinstance(add_bos, bool) else None,
    )


def _token_text(value: Any) -> str | None:
    # Either the text itself, or the fields of an AddedToken.
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _gguf_tokenizer(metadata: Mapping[str, Any]) -> TokenizerSummary:
    def get(key: str, kind: type) -> Any:
        value = metadata.get(f"tokenizer.ggml.{key}")
        return value if isinstance(value, kind) else None

    tokens, merges = get("tokens", MetadataArray), get("merges", MetadataArray)
    return TokenizerSummary(
        model=get("model", str),
        pre=get("pre", str),
        tokens=tokens.count if tokens else None,
        merges=merges.count if merges else None,
        bos=get("bos_token_id", int),
        eos=get("eos_token_id", int),
        add_bos=get("add_bos_token", bool),
    )
