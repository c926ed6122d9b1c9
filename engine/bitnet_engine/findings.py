"""The known bugs of ternary files that a header shows: each with its evidence and a next step.

    header_findings(checkpoint)         # [Finding("tokenizer-pre", "warning", ...)]

Bug numbers are those of docs/formats.md §5. Reads names, types, shapes and metadata; what only the weights show
is `scanning.py`'s. Neither claims what one file cannot prove: whether absmean was applied twice, or a scale was
inverted, takes a second file to tell.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bitnet_engine.formats import Checkpoint, Finding, QuantType
from bitnet_engine.naming import PROJECTIONS, canonical

FILE_TYPES: dict[int, frozenset[QuantType]] = {
    0: frozenset({QuantType.F32}),
    1: frozenset({QuantType.F16}),
    2: frozenset({QuantType.Q4_0}),
    3: frozenset({QuantType.Q4_1}),
    7: frozenset({QuantType.Q8_0}),
    8: frozenset({QuantType.Q5_0}),
    9: frozenset({QuantType.Q5_1}),
    18: frozenset({QuantType.Q6_K}),
    32: frozenset({QuantType.BF16}),
    36: frozenset({QuantType.TQ1_0}),
    37: frozenset({QuantType.TQ2_0}),
    # Forks and llama.cpp gave these numbers different meanings; a file with either is not contradicted.
    38: frozenset({QuantType.TL1, QuantType.MXFP4}),
    39: frozenset({QuantType.TL2, QuantType.NVFP4}),
    40: frozenset({QuantType.I2_S, QuantType.Q1_0}),
}
"""general.file_type → the types of which such a file holds at least one tensor."""

_MATRIX_ENDS = tuple(f".{part}.weight" for part in PROJECTIONS)

FLOATS = frozenset({QuantType.F32, QuantType.F16, QuantType.BF16})


def header_findings(checkpoint: Checkpoint) -> list[Finding]:
    """Return what the headers of a checkpoint show of the known bugs; reads no tensor."""
    checks = (
        _pre_finding,
        _unknown_pre_finding,
        _template_finding,
        _file_type_finding,
        _head_finding,
        _sub_norm_finding,
        _activation_finding,
        _old_name_finding,
        _fallback_finding,
    )
    return [finding for check in checks for finding in check(checkpoint)]


def architecture(metadata: Mapping[str, Any]) -> str | None:
    """Return GGUF's name of the architecture, or the class or model type that config.json names."""
    listed = metadata.get("architectures")
    first = listed[0] if isinstance(listed, list) and listed else None
    names = (metadata.get("general.architecture"), first, metadata.get("model_type"))
    return next((name for name in names if isinstance(name, str)), None)


def is_projection(name: str) -> bool:
    """Return whether a tensor is one of the matrices that BitNet models keep in trits."""
    return canonical(name).endswith(_MATRIX_ENDS)


def _pre_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 12: without `pre` each engine guesses another split of the text."""
    metadata = checkpoint.metadata
    if metadata.get("tokenizer.ggml.model") != "gpt2" or "tokenizer.ggml.pre" in metadata:
        return []
    message = "is absent: engines then split text in ways that differ, and token ids with them"
    advice = "check tokenizer parity, or convert the model again with its pre-tokenizer named"
    return [Finding("tokenizer-pre", "warning", "tokenizer.ggml.pre", message, advice)]


def _unknown_pre_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 13: a name that one converter writes and llama.cpp does not know."""
    if checkpoint.metadata.get("tokenizer.ggml.pre") != "falcon_e":
        return []
    message = "is falcon_e, which llama.cpp refuses; it calls the same rule falcon-h1"
    advice = "convert the model again with llama.cpp's converter where that program has to read it"
    return [Finding("tokenizer-pre-name", "warning", "tokenizer.ggml.pre", message, advice)]


def _template_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 14: the chat template of the official 2B-4T GGUF, which is not the one the model was trained with."""
    template = checkpoint.metadata.get("tokenizer.chat_template")
    if not isinstance(template, str) or "BITNETAssistant" not in template:
        return []
    message = "says 'Human: ... BITNETAssistant:'; the model was trained with 'User: ...<|eot_id|>Assistant:'"
    advice = "take the template of the model's Hugging Face folder; text that is scored as it stands is not touched"
    return [Finding("chat-template", "warning", "tokenizer.chat_template", message, advice)]


def _file_type_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 9: a file that calls itself I2_S and holds F16."""
    declared = checkpoint.metadata.get("general.file_type")
    expected = FILE_TYPES.get(declared) if isinstance(declared, int) else None
    found = {tensor.type for tensor in checkpoint.tensors.values()}
    if expected is None or not found or expected & found:
        return []
    message = f"is {declared}, of files with {' or '.join(sorted(expected))} tensors, and there are none"
    advice = f"the tensors are {', '.join(sorted(found))}: trust them, and check how the file was converted"
    return [Finding("file-type", "warning", "general.file_type", message, advice)]


def _head_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 7: the output head made ternary by a converter that left out too few tensors."""
    names = [name for name in ("output.weight", "lm_head.weight") if name in checkpoint.tensors]
    return [
        Finding(
            "ternary-head",
            "error",
            name,
            f"is {checkpoint.info(name).type}: BitNet models keep their output head in floats",
            "convert the model again with the output head left out of the ternary tensors",
        )
        for name in names
        if checkpoint.is_ternary(name)
    ]


def _sub_norm_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 11: a BitNet graph whose sub norms a converter dropped."""
    found = architecture(checkpoint.metadata)
    if found is None or not found.lower().startswith("bitnet") or not checkpoint.tensors:
        return []
    attention = any("attn_sub_norm" in name or "inner_attn_ln" in name for name in checkpoint.tensors)
    ffn = any("ffn_sub_norm" in name or "ffn_layernorm" in name for name in checkpoint.tensors)
    missing = [name for name, there in (("attn_sub_norm", attention), ("ffn_sub_norm", ffn)) if not there]
    if not missing:
        return []
    message = f"has no {' and no '.join(missing)} in any layer, which the architecture {found} computes with"
    advice = "convert the model again with a converter that knows these tensors"
    return [Finding("sub-norms", "error", checkpoint.path.name, message, advice)]


def _activation_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 1: a model of relu² under the architecture whose graph computes SiLU."""
    metadata, embedding = checkpoint.metadata, checkpoint.tensors.get("token_embd.weight")
    if metadata.get("general.architecture") != "bitnet" or embedding is None:
        return []
    shape = (*embedding.shape, metadata.get("bitnet.attention.head_count_kv"))
    if shape != (128256, 2560, 5):
        return []
    message = (
        "is bitnet, whose graph computes SiLU, and vocabulary, width and heads are those of BitNet b1.58 2B-4T, "
        "which computes relu²: fluent text, and six times the perplexity"
    )
    advice = "convert the model again with the architecture bitnet-b1.58"
    return [Finding("activation", "error", "general.architecture", message, advice)]


def _old_name_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 16: the name of April 2025, which newer programs do not know."""
    if checkpoint.metadata.get("general.architecture") != "bitnet-25":
        return []
    message = "is bitnet-25, the first name of bitnet-b1.58: the same graph, and unknown to programs that have only one"
    advice = "where a program refuses it, convert the model again, rather than edit the name: its keys bear it too"
    return [Finding("architecture-name", "note", "general.architecture", message, advice)]


def _fallback_finding(checkpoint: Checkpoint) -> list[Finding]:
    """Bug 22: rows that do not divide into blocks, stored as another type than the rest."""
    matrices = [tensor for tensor in checkpoint.tensors.values() if is_projection(tensor.name)]
    others = [tensor for tensor in matrices if not checkpoint.is_ternary(tensor.name)]
    if not others or len(others) == len(matrices):
        return []
    kinds = Counter(tensor.type for tensor in others)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    first = others[0]
    message = (
        f"is {first.type} with rows of {first.shape[-1] if first.shape else 0}, as {len(others)} of "
        f"{len(matrices)} matrices are no trits ({listed})"
    )
    lossless = set(kinds) <= FLOATS
    advice = "nothing is lost: floats hold trits and scale" if lossless else "convert it again to a type that holds it"
    return [Finding("fallback-type", "note" if lossless else "warning", first.name, message, advice)]
