"""Injecting into a file: a broken checkpoint beside the sound one, written by the engine's own writers.

    injected = inject_file("samples/nano/packed", "broken.gguf", "scale-inverse", 1, QuantType.I2_S)

The sound file to compare with is `format-twin` of the same storage. Runs no model; what the engine makes of the file
is `Fault.refused`'s word and the tests' proof.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from bitnet_engine.conversion import convert
from bitnet_engine.errors import SettingError, StorageError
from bitnet_engine.formats import QuantType, open_checkpoint
from bitnet_parity.faults.draft import Draft, Injected, original, seeded
from bitnet_parity.faults.fault import HF_PACKED, MASTER, STORAGES, Fault
from bitnet_parity.faults.numpy_model import Choices
from bitnet_parity.faults.registry import SPOKEN, finished, injected, targeted
from bitnet_parity.faults.rewrite import Rewrite

_SILU = {"bitnet-b1.58": "bitnet", "bitnet-25": "bitnet", "bitnet": "bitnet-b1.58"}
"""The architecture whose graph has the other activation: no key says it."""


def inject_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    name: str,
    seed: int,
    quant_type: QuantType,
    *,
    everywhere: bool = False,
) -> Injected:
    """Write the model at `source` to `target` with fault `name` in it, and return where.

    `quant_type` is I2_S, TQ1_0 or TQ2_0 for a GGUF, HF_PACKED for a packed folder, F32 for a folder of float
    matrices. The source is converted first where it is stored otherwise; scales that the storage cannot hold are
    rounded as `convert --allow-lossy` rounds them. The same arguments give the same bytes. Seed and `everywhere` are
    as `inject_model`'s.

    Raises:
        SettingError: there is no such fault, it is in no file of this storage, or the model has no place for it.
        FormatError, UnsupportedError: the source is bad, or is not converted to this storage.
        StorageError: the target is there already, or cannot be written.
    """
    fault, target = _checked(name, quant_type), Path(target)
    if target.exists():
        raise StorageError(f"{target}: is there already; name a new file or folder.")
    try:
        scratch = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror}") from error
    with scratch as folder:
        sound, broken = _sound(Path(source), quant_type, Path(folder) / "sound"), Path(folder) / target.name
        with open_checkpoint(sound) as checkpoint:
            rewrite = Rewrite(checkpoint, quant_type, seeded(name, seed))
            result = _inject(rewrite, fault, everywhere)
            _write(rewrite, broken, fault)
        os.replace(broken, target)
    return replace(result, changed=tuple(dict.fromkeys(rewrite.rewritten)))


def _checked(name: str, quant_type: QuantType) -> Fault:
    fault = targeted(name, "file")
    if quant_type not in STORAGES:
        raise SettingError(f"Faults are not written to {quant_type}; {', '.join(STORAGES)} are allowed.")
    if quant_type not in fault.storages:
        allowed = ", ".join(SPOKEN.get(kind, kind) for kind in fault.storages)
        raise SettingError(f"Fault '{name}' is in no file of {quant_type}; it is in those of {allowed}.")
    return fault


def _sound(source: Path, quant_type: QuantType, scratch: Path) -> Path:
    """Return the model in the storage that is to be broken: the source itself, or a conversion of it."""
    wanted = HF_PACKED if quant_type is MASTER else quant_type
    with open_checkpoint(source) as checkpoint:
        if wanted in {tensor.type for tensor in checkpoint.tensors.values()}:
            return source
    scratch.parent.mkdir(exist_ok=True)
    convert(source, scratch, wanted, allow_lossy=True)
    return scratch


def _inject(rewrite: Rewrite, fault: Fault, everywhere: bool) -> Injected:
    """Do what the fault does: `apply` to the weights and settings, `rewrite` to the file, or one of the two."""
    settings = fault.kind == "setting" or fault.whole
    draft = Draft(rewrite.config, rewrite.weights(), rewrite.random, everywhere=everywhere or settings)
    result = finished(draft, fault)
    for name, tensor in draft.tensors.edits.items():
        rewrite.put(name, tensor, draft.types.get(name) if rewrite.gguf else None)
    write_settings(rewrite, draft.choices[0])
    if fault.rewrite is None:
        return result
    return injected(fault, fault.rewrite(rewrite), result.changed)


def write_settings(rewrite: Rewrite, now: Choices) -> None:
    """Say in the file's words what its graph is to compute, where that is not what it computes.

    Raises:
        SettingError: no file of its architecture can.
    """
    was, metadata = original(rewrite.config), rewrite.metadata
    prefix = f"{metadata.get('general.architecture')}."
    eps = f"{prefix}attention.layer_norm_rms_epsilon" if rewrite.gguf else "rms_norm_eps"
    theta = f"{prefix}rope.freq_base" if rewrite.gguf else "rope_theta"
    if now.eps != was.eps:
        metadata[eps] = now.eps
    if now.theta != was.theta:
        nested = metadata.get("rope_parameters")
        holder = metadata if rewrite.gguf or not isinstance(nested, dict) else nested
        holder[theta] = now.theta
    if now.activation != was.activation:
        _write_activation(rewrite, now.activation)


def _write_activation(rewrite: Rewrite, activation: str) -> None:
    if rewrite.gguf:
        rewrite.rename_architecture(_SILU)
    elif not rewrite.config.sub_norms:
        raise SettingError(f"{rewrite.checkpoint.path}: no file of its architecture computes {activation}.")
    else:
        rewrite.metadata["hidden_act"] = activation


def _write(rewrite: Rewrite, path: Path, fault: Fault) -> None:
    try:
        rewrite.write(path)
    except ValueError as error:
        raise SettingError(f"{path.name}: {rewrite.storage} cannot hold fault '{fault.name}': {error}.") from error
