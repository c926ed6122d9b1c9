"""Two files that should hold one model: tensor by tensor, across formats, in the memory of one matrix.

    result = diff("samples/nano/packed", "model-i2_s.gguf")
    result.identical, [tensor.name for tensor in result.tensors if not tensor.equal]

Compares what is stored: trits, scales, floats, hyperparameters, vocabulary. Runs no model and starts no jax. Tensors
are paired by their canonical (GGUF) name, q and k rows of GGUF's `llama` put back into Hugging Face's order.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitnet_engine.config import ROPE_FREQS, Config
from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint, I2SLayout, MetadataArray, Reading
from bitnet_engine.formats.hf import packed_scales
from bitnet_engine.matrices import is_factor, is_paired
from bitnet_engine.naming import HF_NAMES, canonical
from bitnet_engine.pairs import open_pair
from bitnet_engine.tensor_diff import Side, TensorDiff, compare
from bitnet_engine.tokenizer import load_tokenizer

__all__ = ["ModelDiff", "SettingDiff", "TensorDiff", "TokenizerDiff", "diff", "diff_steps"]

HEAD, EMBEDDING = "output.weight", "token_embd.weight"
_ORDER = {part: index for index, part in enumerate(HF_NAMES)}


@dataclass(frozen=True, slots=True)
class SettingDiff:
    """A hyperparameter that the two files state differently; None where a file does not state it."""

    key: str
    reference: Any
    candidate: Any


@dataclass(frozen=True, slots=True)
class TokenizerDiff:
    """Fingerprints of both vocabularies, or why there is none."""

    equal: bool
    reference: str | None
    candidate: str | None
    note: str
    """What kept a tokenizer from being built; empty where both were."""


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """Everything in which two model files differ, and what was compared."""

    reference: str
    candidate: str
    tensors: tuple[TensorDiff, ...]
    """All that both files hold, in the order of the graph."""
    only_reference: tuple[str, ...]
    """Canonical names that the candidate lacks."""
    only_candidate: tuple[str, ...]
    settings: tuple[SettingDiff, ...]
    settings_compared: int
    tokenizer: TokenizerDiff
    reference_reading: Reading
    """How the reference was read in what its file does not state."""
    candidate_reading: Reading

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        missing = self.only_reference or self.only_candidate
        return not missing and not self.settings and self.tokenizer.equal and all(t.equal for t in self.tensors)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, dicts, strings and finite numbers; a number that does not exist is None."""
        result = {name: getattr(self, name) for name in self.__slots__}
        result["identical"] = self.identical
        result["tensors"] = [tensor.to_json() for tensor in self.tensors]
        result["settings"] = [asdict(setting) for setting in self.settings]
        result["tokenizer"] = asdict(self.tokenizer)
        result |= {name: result[name].to_json() for name in ("reference_reading", "candidate_reading")}
        return {"schema": "bitnet-tui/diff", "schema_version": 1, **result}


def diff(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    progress: Callable[[str, int, int], object] | None = None,
    *,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
    candidate_i2s_layout: I2SLayout | None = None,
    candidate_kernel_config: Path | None = None,
) -> ModelDiff:
    """Compare two model files or folders; `progress` gets a tensor's name, its index from 1, and how many there are.

    The four last say how they are read, as in `open_pair`; an I2_S layout that is not given is detected.

    Raises:
        FormatError: one is no model, or holds codes or scales that mean nothing.
        SettingError: a layout or a kernel config that neither file has a tensor for.
        UnsupportedError: a tensor's type is not decoded here.
        StorageError: one cannot be read, or changes meanwhile.
    """
    pair = open_pair(
        reference,
        candidate,
        i2s_layout=i2s_layout,
        kernel_config=kernel_config,
        candidate_i2s_layout=candidate_i2s_layout,
        candidate_kernel_config=candidate_kernel_config,
    )
    with pair as (first, second):
        for step in diff_steps(first, second):
            if isinstance(step, ModelDiff):
                return step
            if progress is not None:
                progress(*step)
    raise AssertionError("diff_steps ends with a ModelDiff")


def diff_steps(first: Checkpoint, second: Checkpoint) -> Iterator[tuple[str, int, int] | ModelDiff]:
    """Compare two open checkpoints as `diff` does, as they are read: nothing is detected here.

    Yields (tensor, index, count) before each tensor, and the result last.
    """
    pairs, only_first, only_second = weight_pairs(first, second)
    compared: list[TensorDiff] = []
    for index, (name, first_name, second_name) in enumerate(pairs, 1):
        yield name, index, len(pairs)
        compared.append(compare(name, side(first, name, first_name), side(second, name, second_name)))
    mine, theirs = _settings(first), _settings(second)
    keys = list(dict.fromkeys([*mine, *theirs]))
    yield ModelDiff(
        str(first.path),
        str(second.path),
        tuple(compared),
        tuple(only_first),
        tuple(only_second),
        tuple(SettingDiff(k, mine.get(k), theirs.get(k)) for k in keys if mine.get(k) != theirs.get(k)),
        len(keys),
        _tokenizers(first, second),
        first.reading,
        second.reading,
    )


def weight_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the checkpoint's own names by canonical name, without scales of packed matrices and rotary factors.

    Raises:
        FormatError: two tensors are one weight, in two spellings.
    """
    parts = packed_scales(checkpoint.tensors.values())
    if checkpoint.metadata.get("general.architecture") == "llama":
        parts.add(ROPE_FREQS)  # a folder states these numbers in its config.json: they are compared as a setting
    names: dict[str, str] = {}
    for name in checkpoint.tensors:
        if name not in parts and names.setdefault(canonical(name), name) != name:
            raise FormatError(
                f"{checkpoint.path}: tensors '{names[canonical(name)]}' and '{name}' are one weight in two spellings; "
                f"nothing says which is meant. Remove one, or convert the model again."
            )
    return names


def side(checkpoint: Checkpoint, name: str, stored: str) -> Side:
    """Return one side of a comparison: tensor `stored` of `checkpoint`, which is `name` by its canonical name."""
    part = name.split(".")[-2] if name.count(".") else name
    heads = _heads(checkpoint, "head_count_kv" if part == "attn_k" else "head_count") if part in _ROTATED else None
    return Side(checkpoint, stored, heads, is_paired(checkpoint, part))


_ROTATED = ("attn_q", "attn_k")


def _heads(checkpoint: Checkpoint, key: str) -> int | None:
    """Heads of q or k as the metadata states them, None where it does not; a hint for the order of their rows."""
    metadata = checkpoint.metadata
    if checkpoint.format == "gguf":
        prefix = f"{metadata.get('general.architecture')}.attention."
        value = metadata.get(prefix + key, metadata.get(prefix + "head_count"))
    else:
        hf_key = {"head_count": "num_attention_heads", "head_count_kv": "num_key_value_heads"}[key]
        value = metadata.get(hf_key, metadata.get("num_attention_heads"))
    return value if isinstance(value, int) and value > 0 else None


def weight_pairs(first: Checkpoint, second: Checkpoint) -> tuple[list[tuple[str, str, str]], list[str], list[str]]:
    """Return (canonical, first's, second's) names of what both hold, and what only the first, only the second does.

    Raises:
        FormatError: as `weight_names`.
    """
    mine, theirs = weight_names(first), weight_names(second)
    _tie(first, mine, theirs)
    _tie(second, theirs, mine)
    _fold(first, second, mine, theirs)
    names = sorted(mine.keys() & theirs.keys(), key=_graph_order)
    only = (
        sorted(mine.keys() - theirs.keys(), key=_graph_order),
        sorted(theirs.keys() - mine.keys(), key=_graph_order),
    )
    return [(name, mine[name], theirs[name]) for name in names], *only


def _tie(checkpoint: Checkpoint, names: dict[str, str], others: dict[str, str]) -> None:
    """Give a model whose head is its embedding that head, where the other file stores one (ik_llama.cpp #338)."""
    tied = checkpoint.format == "gguf" or checkpoint.metadata.get("tie_word_embeddings") is True
    if HEAD in others and HEAD not in names and EMBEDDING in names and tied:
        names[HEAD] = names[EMBEDDING]


def _fold(first: Checkpoint, second: Checkpoint, mine: dict[str, str], theirs: dict[str, str]) -> None:
    """Leave out the factor of a matrix that is compared as trits: there it is part of their scale."""
    factors = [(name, first) for name in mine] + [(name, second) for name in theirs]
    for name in [name for name, checkpoint in factors if is_factor(checkpoint, name)]:
        matrix = f"{name.removesuffix('.scale')}.weight"
        sides = (first, mine), (second, theirs)
        if any(matrix in names and checkpoint.is_ternary(names[matrix]) for checkpoint, names in sides):
            mine.pop(name, None)
            theirs.pop(name, None)


def _graph_order(name: str) -> tuple[int, int, str]:
    """Embedding first, then the layers by number, then the rest."""
    pieces = name.split(".")
    if pieces[0] == "blk" and len(pieces) > 2 and pieces[1].isdecimal():
        return int(pieces[1]), _ORDER.get(pieces[2], len(_ORDER)), name
    return (-1 if pieces[0] == "token_embd" else 1 << 31), _ORDER.get(pieces[0], len(_ORDER)), name


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the hyperparameters in this engine's words; of a file it cannot run, the file's own numbers."""
    try:
        return asdict(Config.from_checkpoint(checkpoint))
    except (UnsupportedError, FormatError):
        own = ("tokenizer.", "general.file_type", "general.quantization_version", "general.alignment")
        kept = {key: value for key, value in checkpoint.metadata.items() if not key.startswith(own)}
        if ROPE_FREQS in checkpoint.tensors:
            kept[ROPE_FREQS] = checkpoint.read_dense(ROPE_FREQS).tolist()
        return {key: value for key, value in kept.items() if not isinstance(value, MetadataArray)}


def _tokenizers(first: Checkpoint, second: Checkpoint) -> TokenizerDiff:
    (mine, why), (theirs, why_not) = _fingerprint(first), _fingerprint(second)
    return TokenizerDiff(mine == theirs and why == why_not == "", mine, theirs, why or why_not)


def _fingerprint(checkpoint: Checkpoint) -> tuple[str | None, str]:
    try:
        return load_tokenizer(checkpoint).fingerprint(), ""
    except (FormatError, UnsupportedError) as error:
        return None, str(error)
