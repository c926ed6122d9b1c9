"""The candidate's file again with its causes repaired: in its own format, and diagnosed before it gets its name.

    for step in repair_steps(reference, candidate, finding, Path("repaired.gguf"), text="The people of"):
        ...                                             # Progress, and last a Repair

A cause is repaired by what the reference has in its place: a weight, a setting, the tokenizer. All else is carried byte
for byte, harmless differences too. Where one of the causes is in no file, or in none that is written here, nothing is
written: half a repair would pass for a whole one. Finds no cause.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitnet_engine.conversion_gguf import FILE_TYPES
from bitnet_engine.errors import SettingError, StorageError, UnsupportedError
from bitnet_engine.formats import Checkpoint, I2SLayout, QuantType, Trits
from bitnet_engine.formats.floats import WIDTHS
from bitnet_engine.formats.types import TERNARY_TYPES
from bitnet_engine.pairs import open_pair
from bitnet_engine.tokenizer_writing import gguf_keys, write_files
from bitnet_parity.diagnosis.captures import is_capture
from bitnet_parity.diagnosis.causes import Cause, Finding, Verdict
from bitnet_parity.diagnosis.diagnosing import open_steps
from bitnet_parity.diagnosis.examining import Progress
from bitnet_parity.diagnosis.file_causes import TOKENIZER
from bitnet_parity.diagnosis.weights import CheckpointWeights
from bitnet_parity.faults.draft import original
from bitnet_parity.faults.files import write_settings
from bitnet_parity.faults.rewrite import Rewrite

SETTINGS = ("activation-other", "eps-other", "theta-other")
"""Causes that a file's header repairs."""
FILE_TYPE = "file-type"
STORAGES = (QuantType.I2_S, QuantType.TQ1_0, QuantType.TQ2_0, QuantType.HF_PACKED)
"""What ternary matrices are written as."""
RIGHT = (Verdict.SAME, Verdict.HARMLESS)


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of a repair."""

    path: str | None
    """The repaired file; None where none was written."""
    tensors: tuple[str, ...]
    """Weights that are the reference's now, by canonical name."""
    says: str
    """How it was proved, or why there is none and what to do."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"tensors": list(self.tensors)}


def check_target(candidate: str, target: Path) -> None:
    """Refuse a target before anything is computed for it.

    Raises:
        StorageError: it is there already, or its folder is not.
        SettingError: a folder is to be written under the name of a GGUF.
    """
    if target.exists() or target.is_symlink():
        raise StorageError(f"{target}: is there already; name a new file for the repaired model.")
    if not target.parent.is_dir():
        raise StorageError(f"{target}: there is no folder {target.parent}; make it, or name another.")
    if Path(candidate).is_dir() and target.suffix.lower() == ".gguf":
        raise SettingError(f"{target}: the candidate is a folder, and so is its repair; leave .gguf out.")


def repair_steps(
    reference: str,
    candidate: str,
    finding: Finding,
    target: Path,
    *,
    readings: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Iterator[Progress | Repair]:
    """Write the candidate with the causes of `finding` repaired; yields progress, and last what became of it.

    `readings` and `asked` are those that the finding was made with, as `open_steps` takes them. Left early, nothing
    stays.

    Raises:
        BitnetError: a side can no longer be read.
        StorageError: the target cannot be written.
    """
    if (hindrance := _hindrance(candidate, finding)) is not None:
        yield Repair(None, (), hindrance)
        return
    try:
        scratch = tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".unproved", dir=target.parent)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror}") from error
    with scratch as folder:
        unproved = Path(folder) / target.name
        yield "write", target.name, 1, 1
        try:
            with open_pair(reference, candidate, **(readings or {})) as pair:
                tensors = _write(*pair, finding, unproved)
        except (ValueError, NotImplementedError, SettingError, UnsupportedError) as error:
            yield Repair(None, (), f"the candidate's format cannot hold it: {error}. {_AGAIN}")
            return
        found = None
        # Read as any file is: what the candidate was said to be is not said of its repair.
        for step in open_steps(reference, unproved, readings=_of_reference(readings), **asked):
            if isinstance(step, Finding):
                found = step
            else:
                yield step
        assert found is not None  # a diagnosis ends with a Finding
        if found.verdict not in RIGHT:
            left = [cause.sentence() for cause in found.causes if not cause.harmless]
            yield Repair(None, (), f"written and diagnosed again it is {found.verdict}: {'; '.join(left)}. {_AGAIN}")
            return
        os.replace(unproved, target)
    yield Repair(str(target), tensors, f"opened and diagnosed again: {found.verdict}")


_AGAIN = "Write it again: bitnet-tui convert REF OUT --type TYPE"


def _of_reference(readings: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (readings or {}).items() if not name.startswith("candidate_")}


def _hindrance(candidate: str, finding: Finding) -> str | None:
    """Return why no file can be the repair, in one line; None where one may be."""
    if finding.verdict in RIGHT:
        return "there is nothing to repair"
    if finding.verdict is Verdict.UNEXPLAINED:
        return "there is no repair of what nothing explains"
    harmful = [cause for cause in finding.causes if not cause.harmless]
    if is_capture(Path(candidate)):
        return f"the cause is in the engine that was captured, and in no file: {harmful[0].remedy}"
    if finding.proof is not None and not finding.proof.holds:
        return "the repair in memory does not bring the logits back"
    unwritten = next((cause for cause in harmful if not _is_written(cause)), None)
    return None if unwritten is None else f"{unwritten.name} is not repaired in a copy: {unwritten.remedy}"


def _is_written(cause: Cause) -> bool:
    refused = cause.name == "file-refused"
    return not refused and bool(cause.tensors or cause.name in (*SETTINGS, FILE_TYPE) or cause.operation == TOKENIZER)


def _write(reference: Checkpoint, candidate: Checkpoint, finding: Finding, path: Path) -> tuple[str, ...]:
    """Write the repaired file, and return the weights that were replaced."""
    harmful = [cause for cause in finding.causes if not cause.harmless]
    storage = _storage(candidate)
    rewrite = Rewrite(candidate, storage or QuantType.HF_PACKED, np.random.default_rng(0))
    weights = CheckpointWeights(reference)
    for name in dict.fromkeys(name for cause in harmful for name in cause.tensors):
        _put(rewrite, weights, name, storage)
    if any(cause.name in SETTINGS for cause in harmful):
        write_settings(rewrite, original(weights.config))
    if any(cause.name == FILE_TYPE for cause in harmful):
        rewrite.metadata["general.file_type"] = FILE_TYPES[storage or QuantType.F32]
    if any(cause.operation == TOKENIZER for cause in harmful):
        _take_tokenizer(rewrite, reference)
    rewrite.write(path)
    return tuple(rewrite.rewritten)


def _storage(candidate: Checkpoint) -> QuantType | None:
    """Return what the candidate's ternary matrices are stored as, None for one of floats.

    Raises:
        UnsupportedError: they are in a type, or a layout of one, that is not written here.
    """
    held = [kind for kind in TERNARY_TYPES if candidate.holds(kind)]
    if others := [kind for kind in held if kind not in STORAGES]:
        raise UnsupportedError(f"{candidate.path}: {others[0]} is not written here")
    if candidate.reading.i2s_layout not in (None, I2SLayout.A):
        raise UnsupportedError(f"{candidate.path}: I2_S of layout {candidate.reading.i2s_layout} is not written here")
    return max(held, key=lambda kind: sum(info.type is kind for info in candidate.tensors.values()), default=None)


def _put(rewrite: Rewrite, weights: CheckpointWeights, name: str, storage: QuantType | None) -> None:
    if name not in weights:  # a head beside a tied embedding
        rewrite.drop(name)
        return
    tensor = weights.read(name)
    kind = None
    if isinstance(tensor, Trits) and storage is None:
        like = rewrite.checkpoint.info(rewrite.stored_name(name)).type
        kind = like if like in WIDTHS else QuantType.F32
    rewrite.put(name, tensor, kind)


def _take_tokenizer(rewrite: Rewrite, reference: Checkpoint) -> None:
    if not rewrite.gguf:
        rewrite.files = {}
        rewrite.after.append(lambda file: write_files(reference, file.parent))
        return
    own = {key: value for key, value in reference.metadata.items() if key.startswith("tokenizer.")}
    kept = {key: value for key, value in rewrite.metadata.items() if not key.startswith("tokenizer.")}
    rewrite.metadata = kept | (own if reference.format == "gguf" else gguf_keys(reference))
