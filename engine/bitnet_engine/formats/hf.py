"""A folder as HF lays it out: config.json, one or several SafeTensors files, a tokenizer.

    layout = find_files(folder, limits)            # which files, and which findings
    tensors = mark_packed(tensors)                 # U8 `<p>.weight` beside `<p>.weight_scale`
    scale_meaning(config, path)                    # "multiply" or "divide"

What `weight_scale` means is said by config.json alone and by nothing in the tensors (docs/formats.md §0,
§1.1: transformers `integrations/bitnet.py`). Knows names and JSON; decodes nothing.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bitnet_engine.errors import FormatError, StorageError
from bitnet_engine.formats.cursor import SourceFile
from bitnet_engine.formats.gguf_parts import part_names
from bitnet_engine.formats.strict_json import parse_object
from bitnet_engine.formats.types import Finding, Limits, QuantType, TensorInfo, quoted, raised_by

ScaleMeaning = Literal["multiply", "divide"]
"""multiply: weight = trit * weight_scale. divide: weight = trit / weight_scale."""

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The model files of a folder, and for a sharded one which tensor the index puts into which file."""

    files: list[Path]
    weight_map: dict[str, str] | None = None
    findings: list[Finding] = field(default_factory=list)


def find_files(folder: Path, limits: Limits) -> Layout:
    """Return the model files of `folder`: SafeTensors by their index or name, else its only GGUF, in one file or parts.

    Raises:
        FormatError: there is none, or more than one way to choose.
        StorageError: the folder cannot be listed.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be listed: {error.strerror}; check its rights") from error
    tensors = [name for name in names if name.endswith(".safetensors")]
    ggufs = [name for name in names if name.endswith(".gguf")]
    if INDEX in names:
        if SINGLE in names:
            raise FormatError(f"{folder}: holds both {SINGLE} and {INDEX}; keep the one that is meant")
        return _sharded(folder, tensors, limits)
    if SINGLE in tensors or len(tensors) == 1:
        chosen = SINGLE if SINGLE in tensors else tensors[0]
        return Layout([folder / chosen], None, _ignored(chosen, [*tensors, *ggufs]))
    if tensors:
        raise FormatError(
            f"{folder}: holds {_listed(tensors)} and no {INDEX} to say how they belong together; pass one file"
        )
    if ggufs and ggufs in (ggufs[:1], part_names(ggufs[0])):
        return Layout([folder / ggufs[0]])
    if ggufs:
        raise FormatError(f"{folder}: holds {_listed(ggufs)}; pass one of them")
    raise FormatError(f"{folder}: holds no model: looked for {SINGLE}, {INDEX}, *.safetensors and *.gguf")


def read_config(folder: Path, limits: Limits) -> tuple[bytes, dict[str, Any], list[Finding]]:
    """Return config.json of `folder` as bytes and parsed; b"" and {} where there is none.

    Raises:
        FormatError: it is not one strict JSON object.
    """
    path = folder / CONFIG
    if not os.path.lexists(path):
        return b"", {}, []
    # HF1BitLLM's file holds quantization_config twice, and transformers reads the last one.
    data = read_json(path, limits)
    config, repeated = parse_object(
        data, path, where=CONFIG, last_wins=("quantization_config",), values=limits.json_values
    )
    message = "holds quantization_config twice; the last one is read, as transformers does"
    findings = [Finding("config-key-twice", "warning", CONFIG, message, "remove the first")] if repeated else []
    return data, config, findings


def read_json(path: Path, limits: Limits) -> bytes:
    """Return the bytes of a small file; raises as `read_file`."""
    return read_file(path, limits.json_bytes, "json_bytes")


def read_file(path: Path, limit: int, name: str) -> bytes:
    """Return all bytes of a file of at most `limit` bytes, the limit that is called `name`.

    Raises:
        FormatError: it is larger, or no regular file.
        StorageError: it cannot be read, or changes meanwhile.
    """
    source = SourceFile.open(path)
    try:
        if source.size > limit:
            raise FormatError(f"{path}: has {source.size} bytes, the limit is {limit}; {raised_by(name)}")
        return source.read(0, source.size)
    finally:
        source.close()


def check_shards(folder: Path, weight_map: dict[str, str], tensors: Iterable[TensorInfo]) -> None:
    """Check that the shards hold what the index says: nothing missing, extra, twice, or elsewhere.

    Raises:
        FormatError: naming the tensor and the files.
    """
    found: dict[str, str] = {}
    for tensor in tensors:
        name, shard = tensor.name, tensor.file.name
        if name in found:
            raise FormatError(
                f"{folder}: tensor {quoted(name)} is held twice, by {found[name]} and {shard}; remove one"
            )
        found[name] = shard
        if name not in weight_map:
            raise FormatError(f"{folder}: {shard} holds tensor {quoted(name)}, which {INDEX} does not list")
    for name, shard in weight_map.items():
        if found.get(name) != shard:
            where = f"it is in {found[name]}" if name in found else "no file holds it"
            raise FormatError(f"{folder}: {INDEX} puts tensor {quoted(name)} in {shard}; {where}: fetch it again")


def mark_packed(tensors: list[TensorInfo]) -> list[TensorInfo]:
    """Return the tensors with each packed one as HF_PACKED, of its logical shape."""
    names = {tensor.name for tensor in tensors}
    return [_packed(tensor) if _is_packed(tensor, names) else tensor for tensor in tensors]


def scale_name(weight: str) -> str:
    """Return the name of the scale that belongs to the packed tensor `weight`."""
    return f"{weight}_scale"


def packed_scales(tensors: Iterable[TensorInfo]) -> set[str]:
    """Return the names of the scales that belong to the packed ones of `tensors`."""
    return {scale_name(tensor.name) for tensor in tensors if tensor.type is QuantType.HF_PACKED}


def missing_scales(tensors: Iterable[TensorInfo]) -> list[Finding]:
    """Return a finding where weights look packed and have no scale (call after `mark_packed`)."""
    bare = [tensor.name for tensor in tensors if is_bare(tensor)]
    if not bare:
        return []
    message = f"and {len(bare) - 1} more are U8 matrices with no weight_scale: packed trits of unknown scale"
    return [Finding("scale-missing", "error", bare[0], message, "convert the model again with its scales")]


def is_bare(tensor: TensorInfo) -> bool:
    """Return whether the tensor looks like packed trits whose scale is missing."""
    return tensor.type is QuantType.U8 and len(tensor.shape) == 2 and tensor.name.endswith(".weight")


def scale_meaning(config: dict[str, Any], path: Path) -> ScaleMeaning:
    """Return whether `weight_scale` multiplies or divides the trits.

    Raises:
        FormatError: config.json is absent or does not say.
    """
    quantization = config.get("quantization_config")
    if not isinstance(quantization, dict) or quantization.get("quant_method") != "bitnet":
        raise FormatError(
            f"{path}: packed tensors, and no config.json with quantization_config.quant_method bitnet to say "
            f"whether weight_scale multiplies or divides; put the model's config.json beside it"
        )
    # transformers' BitNetQuantConfig: linear_class is "bitlinear" where it is not given.
    linear_class = quantization.get("linear_class", "bitlinear")
    if linear_class == "bitlinear":
        return "divide"
    if linear_class == "autobitlinear" and quantization.get("quantization_mode", "offline") == "offline":
        return "multiply"
    raise FormatError(
        f"{path}: packed tensors, but quantization_config says linear_class {linear_class!r:.40}, "
        f"quantization_mode {quantization.get('quantization_mode')!r:.40}; allowed for packed tensors are "
        f"bitlinear, and autobitlinear with offline: correct config.json"
    )


def tokenizer_files(folder: Path) -> dict[str, Path]:
    """Return the tokenizer's files that exist in `folder`, by name."""
    return {name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}


def _sharded(folder: Path, present: list[str], limits: Limits) -> Layout:
    path = folder / INDEX
    index, _ = parse_object(read_json(path, limits), path, values=limits.json_values)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FormatError(f"{path}: has no weight_map of tensors to files; fetch it again")
    for name, shard in weight_map.items():
        # Nothing outside the folder may be opened on a stranger's word.
        if not isinstance(shard, str) or shard != Path(shard).name or shard in ("", ".."):
            raise FormatError(
                f"{path}: tensor {quoted(name)} is said to be in {shard!r:.80}; a plain file name is allowed"
            )
    shards = sorted(set(weight_map.values()))
    for shard in shards:
        if shard not in present:
            raise FormatError(f"{path}: names the file {shard!r:.80}, which is not beside it; fetch it")
    extra = [name for name in present if name not in shards]
    if extra:
        raise FormatError(f"{folder}: {_listed(extra)} is no shard of {INDEX}; move it elsewhere")
    return Layout([folder / shard for shard in shards], weight_map)


def _ignored(chosen: str, names: list[str]) -> list[Finding]:
    others = [name for name in names if name != chosen]
    if not others:
        return []
    message = f"is read; beside it lies {_listed(others)}"
    return [Finding("other-model-files", "note", chosen, message, "pass a file instead of the folder to choose")]


def _listed(names: list[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _is_packed(tensor: TensorInfo, names: set[str]) -> bool:
    return is_bare(tensor) and scale_name(tensor.name) in names


def _packed(tensor: TensorInfo) -> TensorInfo:
    rows, columns = tensor.shape
    return replace(tensor, type=QuantType.HF_PACKED, shape=(4 * rows, columns))
