"""Which files a model is, and opening them: GGUF in one file or in parts, SafeTensors in one file or in shards.

    with open_checkpoint("model.gguf") as checkpoint:          # or a folder, or a part of a split GGUF
        checkpoint.files, len(checkpoint.tensors)

Opening reads headers and no tensor. The first bytes say what a file is. Knows no architecture and no tokenizer.
"""

import os
import stat
from pathlib import Path

from bitnet_engine.errors import FormatError
from bitnet_engine.formats import gguf, gguf_parts, hf, safetensors
from bitnet_engine.formats.checkpoint import Checkpoint
from bitnet_engine.formats.cursor import SourceFile, stat_path
from bitnet_engine.formats.limits import in_force
from bitnet_engine.formats.sniff import extension_finding, sniff
from bitnet_engine.formats.types import Finding, I2SLayout, Limits, QuantType, Reading, TensorInfo


def open_checkpoint(
    path: str | os.PathLike[str],
    *,
    limits: Limits | None = None,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
) -> Checkpoint:
    """Open a GGUF file, a SafeTensors file, or a folder of one or the other.

    The first bytes decide what a file is; its name only earns a finding where it claims another format. Two
    things no file states: `i2s_layout`, how I2_S tensors are ordered (without it, A), and the tiles of TL1 and
    TL2 tensors, which are in the `kernel_config` of the build that wrote it (without it they are not decoded).
    Without `limits` those of the process hold (`formats.limits`).

    Raises:
        FormatError: nothing is there, or it is no model, or its header is wrong or beyond `limits`, or
            `kernel_config` is none.
        SettingError: `i2s_layout` or `kernel_config` is given and the file holds no tensor of that type.
        StorageError: it cannot be read, or changes meanwhile.
    """
    place, limits = Path(path), limits or in_force()
    folder = stat.S_ISDIR(stat_path(place).st_mode)
    checkpoint = _open_files(place, hf.find_files(place, limits) if folder else hf.Layout([place]), limits)
    try:
        return checkpoint.read_as(i2s_layout=i2s_layout, kernel_config=kernel_config, limits=limits)
    except BaseException:
        checkpoint.close()
        raise


def _open_files(path: Path, layout: hf.Layout, limits: Limits) -> Checkpoint:
    """Open all `layout.files`; a part of a split GGUF opens the others, which lie beside it."""
    sources: dict[Path, SourceFile] = {}
    try:
        for file in layout.files:
            sources[file] = SourceFile.open(file)
        kinds = {sniff(source) for source in sources.values()}
        if kinds == {"gguf"} and len(sources) == 1:
            return _open_gguf(path, layout, sources, limits)
        if kinds == {"safetensors"}:
            return _open_safetensors(path, layout, sources, limits)
        raise FormatError(f"{path}: its shards are not all SafeTensors; fetch them again")
    except BaseException:
        for source in sources.values():
            source.close()
        raise


def _open_gguf(path: Path, layout: hf.Layout, sources: dict[Path, SourceFile], limits: Limits) -> Checkpoint:
    (given,) = sources.values()
    headers = {given.path: gguf.read_header(given, limits)}
    paths = gguf_parts.part_paths(given.path, headers[given.path].metadata)
    for part in paths:
        if part not in sources:
            sources[part] = SourceFile.open(part)
            if sniff(sources[part]) != "gguf":
                raise FormatError(f"{part}: is no GGUF, and {given.path.name} is a part of one; fetch it again")
            headers[part] = gguf.read_header(sources[part], limits)
    header = gguf_parts.joined(paths, [headers[part] for part in paths], limits)
    return Checkpoint(
        path=path,
        format="gguf",
        version=f"v{header.version}",
        metadata=header.metadata,
        tensors={tensor.name: tensor for tensor in header.tensors},
        findings=(*layout.findings, *extension_finding(given, "gguf"), *header.findings),
        tokenizer_files={},
        byte_order=header.byte_order,
        reading=Reading(I2SLayout.A, "assumed") if QuantType.I2_S in {t.type for t in header.tensors} else Reading(),
        _sources={part: sources[part] for part in paths},
        _config=b"",
    )


def _open_safetensors(path: Path, layout: hf.Layout, sources: dict[Path, SourceFile], limits: Limits) -> Checkpoint:
    folder = layout.files[0].parent
    config_data, config, findings = hf.read_config(folder, limits)
    findings = [*layout.findings, *findings]
    tensors: list[TensorInfo] = []
    for source in sources.values():
        header = safetensors.read_header(source, limits)
        tensors += header.tensors
        findings += [*extension_finding(source, "safetensors"), *header.findings]
    if layout.weight_map is not None:
        hf.check_shards(folder, layout.weight_map, tensors)
    tensors = hf.mark_packed(tensors)
    findings += hf.missing_scales(tensors)
    if not config_data:
        message = f"has no {hf.CONFIG} beside it: no architecture, and packed trits of unknown scale"
        findings.append(Finding("no-config", "warning", path.name, message, "put the model's config.json beside it"))
    return Checkpoint(
        path=path,
        format="safetensors",
        version="",
        metadata=config,
        tensors={tensor.name: tensor for tensor in tensors},
        findings=tuple(findings),
        tokenizer_files=hf.tokenizer_files(folder),
        byte_order="little",
        reading=Reading(),
        _sources=sources,
        _config=config_data,
    )
