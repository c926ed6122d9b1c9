"""From one storage of a ternary model to another, without losing a trit.

    convert("samples/nano/packed", "model-i2_s.gguf", QuantType.I2_S)
    convert("model-i2_s.gguf", "folder", QuantType.HF_PACKED)

    convert("master", "model-bf16.gguf", QuantType.BF16)                 # floats: by its name a GGUF, else a folder

From a Hugging Face folder (packed, ternary floats, or a float master that is ternarised as on loading) or a GGUF, to a
GGUF in I2_S, TQ1_0 or TQ2_0, to a packed folder, or to floats as either, of every graph that is run here; refuses what
would lose. One tensor is in memory at a time. What was written is read back and compared before it gets its name.
"""

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bitnet_engine import conversion_folder, conversion_gguf
from bitnet_engine.conversion_folder import Storage
from bitnet_engine.conversion_source import Loss, Source
from bitnet_engine.diffing import ModelDiff, TensorDiff, diff_steps
from bitnet_engine.errors import BitnetError, SettingError, StorageError, UnsupportedError
from bitnet_engine.files import unfinished_folder, write_atomic
from bitnet_engine.formats import Checkpoint, I2SLayout, QuantType, Reading, open_checkpoint
from bitnet_engine.formats.floats import WIDTHS
from bitnet_engine.formats.gguf_writer import writing_gguf
from bitnet_engine.formats.hf import CONFIG, INDEX, ScaleMeaning
from bitnet_engine.formats.safetensors_writer import writing_shards
from bitnet_engine.formats.types import ByteOrder
from bitnet_engine.naming import is_projection
from bitnet_engine.tokenizer_writing import check_carried, write_files

TARGETS = (*conversion_gguf.PACKERS, QuantType.HF_PACKED, *WIDTHS)

Step = tuple[str, str, int, int]
"""write or verify, the tensor's name, its index from 1, and how many there are."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a target is written as."""

    type: QuantType
    """Of the matrices."""
    folder: bool
    """A Hugging Face folder; else one GGUF file."""
    scale: ScaleMeaning | None
    max_shard_size: int | None
    byte_order: ByteOrder | None

    def check(self, target: Path) -> None:
        """Refuse a choice that a target of this form does not have.

        Raises:
            SettingError: naming it.
        """
        if self.folder and target.suffix.lower() == ".gguf":
            raise SettingError(f"{target}: {self.type} is written as a folder; leave .gguf out, or choose a GGUF type.")
        if self.byte_order is not None and self.folder:
            raise SettingError(f"{target}: a folder has no byte order; leave --byte-order out, or write a GGUF.")
        if self.scale is not None and self.type is not QuantType.HF_PACKED:
            raise SettingError(f"{target}: --scale is of HF_PACKED; {self.type} has one way to store a scale.")
        if self.max_shard_size is not None and not self.folder:
            raise SettingError(f"{target}: a GGUF is written as one file; leave --max-shard-size out.")
        if self.max_shard_size is not None and self.max_shard_size < 1:
            raise SettingError(f"{target}: shards of {self.max_shard_size} bytes hold nothing; 1 or more is allowed.")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written, and what the user allowed it to lose."""

    source: str
    target: str
    type: QuantType
    tensors: int
    bytes: int
    """Of the target's model files."""
    losses: tuple[Loss, ...]
    """Empty where the target holds the source's numbers exactly."""
    reading: Reading
    """How the source was read."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        result = {name: getattr(self, name) for name in self.__slots__}
        result |= {"type": self.type.value, "losses": [loss.to_json() for loss in self.losses]}
        result["reading"] = self.reading.to_json()
        return {"schema": "bitnet-tui/conversion", "schema_version": 1, **result}


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    quant_type: QuantType,
    *,
    allow_lossy: bool = False,
    force: bool = False,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
    scale: ScaleMeaning | None = None,
    max_shard_size: int | None = None,
    byte_order: ByteOrder | None = None,
    progress: Callable[[str, str, int, int], object] | None = None,
) -> Conversion:
    """Write the model at `source` to `target`, its matrices as `quant_type`.

    HF_PACKED is a folder, ternary types are a GGUF; floats are a GGUF where the target's name ends in `.gguf`, else a
    folder. Of a folder, `max_shard_size` bytes of tensors are in one file, all without it, and `scale` says what packed
    scales do, by default what the model's family is published with. `byte_order` is of a GGUF, little by default.

    With `allow_lossy` scales and embeddings that the target rounds are rounded, and listed in the result; trits are
    never changed. A file at `target` is replaced with `force` only; a link, the source itself or what is no regular
    file never is. `i2s_layout` and `kernel_config` say how the source is read, as in `open_checkpoint`. `progress` gets
    what a `Step` holds.

    Raises:
        FormatError: the source is bad.
        SettingError: `scale`, `max_shard_size` or `byte_order` is not of this kind of target.
        StorageError: the source cannot be read or the target not written; an older target is unchanged.
        UnsupportedError: the model or the type is not converted here, or something would be lost.
    """
    steps = convert_steps(
        source,
        target,
        quant_type,
        allow_lossy=allow_lossy,
        force=force,
        i2s_layout=i2s_layout,
        kernel_config=kernel_config,
        scale=scale,
        max_shard_size=max_shard_size,
        byte_order=byte_order,
    )
    for step in steps:
        if isinstance(step, Conversion):
            return step
        if progress is not None:
            progress(*step)
    raise AssertionError("convert_steps ends with a Conversion")


def convert_steps(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    quant_type: QuantType,
    *,
    allow_lossy: bool = False,
    force: bool = False,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
    scale: ScaleMeaning | None = None,
    max_shard_size: int | None = None,
    byte_order: ByteOrder | None = None,
) -> Iterator[Step | Conversion]:
    """Convert as `convert` does, yielding a Step after each tensor, and the result last; left early, nothing stays."""
    target = Path(target)
    if quant_type not in TARGETS:
        raise UnsupportedError(f"{target}: {quant_type} is not written here; {', '.join(TARGETS)} are.")
    target = target if target.name else target.resolve()
    form = Form(quant_type, _is_folder(target, quant_type), scale, max_shard_size, byte_order)
    form.check(target)
    _check_target(target, form, force=force)
    with open_checkpoint(source, i2s_layout=i2s_layout, kernel_config=kernel_config) as checkpoint:
        _check_apart(checkpoint, target, kernel_config)
        model = Source(checkpoint, allow_lossy=allow_lossy)
        model.check_rows(quant_type)
        write = _write_folder if form.folder else _write_gguf
        # In a folder of its own until it is proved: a wrong file must never replace a right one.
        with unfinished_folder(target) as folder:
            unproved = folder / target.name
            try:
                yield from write(model, unproved, form)
                size = yield from _verify(model, unproved)
                _check_target(target, form, force=force)  # again: somebody may have put a file there meanwhile
                os.replace(unproved, target)
            except ValueError as error:
                raise UnsupportedError(f"{checkpoint.path}: {quant_type} cannot hold this model: {error}") from error
            except OSError as error:
                raise StorageError(f"{target}: cannot be written: {error.strerror}") from error
        losses = tuple(model.losses.values())
        yield Conversion(str(source), str(target), quant_type, len(model.names), size, losses, checkpoint.reading)


def _is_folder(target: Path, quant_type: QuantType) -> bool:
    return quant_type is QuantType.HF_PACKED or (quant_type in WIDTHS and target.suffix.lower() != ".gguf")


def _check_target(target: Path, form: Form, *, force: bool) -> None:
    """Refuse a target that would be lost.

    Raises:
        StorageError: it is a link, a folder with something in it, no regular file, or a file and `force` is not given.
    """
    if target.is_symlink():
        # Replaced, it would no longer be one; written through, the blob of a download cache would not fit its hash.
        raise StorageError(f"{target}: is a symbolic link; links are not written through: name the file itself.")
    if form.folder:
        # A folder is not replaced: nobody can tell whether all that is in it may go.
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise StorageError(f"{target}: is there already and not an empty folder; name a new one.")
    elif target.is_dir():
        raise StorageError(f"{target}: is a folder; {form.type} is written as one GGUF file: name that.")
    elif target.exists() and not target.is_file():
        raise StorageError(f"{target}: is there already and no regular file; name a new one.")
    elif target.exists() and not force:
        raise StorageError(f"{target}: is there already; name a new file, or replace this one with --force.")


def _check_apart(checkpoint: Checkpoint, target: Path, kernel_config: Path | None) -> None:
    folder = checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
    files = [*checkpoint.files, *checkpoint.tokenizer_files.values(), folder / CONFIG, folder / INDEX]
    files += [Path(kernel_config)] if kernel_config else []
    if target.exists() and any(file.exists() and file.samefile(target) for file in files):
        raise StorageError(f"{target}: is the source itself, or a part of it; name a new file.")


def _write_gguf(model: Source, path: Path, form: Form) -> Iterator[Step]:
    tensors = conversion_gguf.tensors(model, form.type)
    metadata = conversion_gguf.metadata(model, form.type)
    for index, tensor in enumerate(writing_gguf(path, metadata, tensors, form.byte_order or "little"), 1):
        yield "write", tensor.name, index, len(tensors)


def _write_folder(model: Source, folder: Path, form: Form) -> Iterator[Step]:
    folder.mkdir()
    packed = form.type is QuantType.HF_PACKED
    chosen = conversion_folder.storage(model, form.scale) if packed else Storage(form.type, None)
    config = conversion_folder.config_json(model, chosen)
    write_atomic(folder / CONFIG, orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    write_files(model.checkpoint, folder)
    tensors = conversion_folder.tensors(model, chosen)
    for index, tensor in enumerate(writing_shards(folder, tensors, form.max_shard_size), 1):
        yield "write", tensor.name, index, len(tensors)


def _verify(model: Source, written: Path) -> Generator[Step, None, int]:
    """Read what was written: every trit, scale, float, setting and id must be the source's, but for listed losses.

    Returns the bytes of its model files.

    Raises:
        BitnetError: one is not.
    """
    with open_checkpoint(written) as checkpoint:
        yield from _compare(model, checkpoint)
        check_carried(model.checkpoint, checkpoint)
        return checkpoint.size


def _compare(model: Source, written: Checkpoint) -> Iterator[Step]:
    for step in diff_steps(model.checkpoint, written):
        if not isinstance(step, ModelDiff):
            yield "verify", *step
            continue
        wrong = [tensor.name for tensor in step.tensors if not (tensor.equal or _is_known(model, tensor))]
        wrong += [*step.only_reference, *step.only_candidate, *(setting.key for setting in step.settings)]
        if wrong:
            raise BitnetError(f"{written.path}: '{wrong[0]}' read back differs from its source; not kept.")


def _is_known(model: Source, tensor: TensorDiff) -> bool:
    """Whether a tensor differs by just what was allowed and measured as it was written."""
    if (loss := model.losses.get(tensor.name)) is None:
        return False
    if is_projection(tensor.name) and tensor.ternary:
        first, second = tensor.reference_scale, tensor.candidate_scale
        apart = tensor.max_abs if first is None or second is None else abs(first - second)
        return tensor.different == 0 and apart == loss.max_abs
    return tensor.max_abs == loss.max_abs
