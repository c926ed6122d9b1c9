"""What a tensor is called in each format: one weight, one canonical name, and that is GGUF's.

    canonical("model.layers.3.self_attn.q_proj.weight")      # "blk.3.attn_q.weight"
    hf_name("blk.3.attn_q.weight")                           # and back
    tensor_name(checkpoint, "attn_q", 3)                     # as that checkpoint spells it

Source: docs/formats.md §2.10. Knows names alone: no tensor, no architecture, and no jax.
"""

from bitnet_engine.formats import Checkpoint

HF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k": "self_attn.k_proj",
    "attn_k_norm": "self_attn.k_norm",
    "attn_v": "self_attn.v_proj",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
    "ffn_down": "mlp.down_proj",
}
"""GGUF's name of a weight → the one transformers gives it."""

ALIASES = {"attn_sub_norm": "self_attn.inner_attn_ln", "ffn_sub_norm": "mlp.ffn_layernorm"}
"""What 1bitLLM's checkpoints call the same norms."""

PROJECTIONS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""The matrices of a block, which ternary models keep in trits."""

NORM_IN = "_norm_in"
"""Ends the name of the norm of one matrix's input, as microsoft/BitNet's converter writes it."""

_NORM_SPELLINGS = (".rms_norm", ".norm")
"""What follows the matrix in that norm's name: transformers' `use_rms_norm`, and microsoft's embedding models."""

_GGUF_NAMES = {name: part for table in (HF_NAMES, ALIASES) for part, name in table.items()}


def tensor_name(checkpoint: Checkpoint, part: str, layer: int | None = None) -> str:
    """Return how `checkpoint` spells the weight `part` (a key of HF_NAMES, or a matrix and NORM_IN) of `layer`."""
    if checkpoint.format == "gguf":
        return f"{part}.weight" if layer is None else f"blk.{layer}.{part}.weight"
    prefix = "" if layer is None else f"model.layers.{layer}."
    spelled = [f"{prefix}{name}.weight" for name in _hf_spellings(part)]
    # A model saved without its head, as embedding models are, has no `model.` before its names.
    spelled += [name.removeprefix("model.") for name in spelled]
    return next((name for name in spelled if name in checkpoint.tensors), spelled[0])


def hf_name(name: str) -> str:
    """Return transformers' spelling of the weight `name`, canonical."""
    pieces = name.split(".")
    prefix = f"model.layers.{pieces[1]}." if pieces[0] == "blk" else ""
    return f"{prefix}{_hf_spellings(pieces[-2])[0]}.weight"


def canonical(name: str) -> str:
    """Return GGUF's name of a tensor, whichever format `name` comes from; a name of neither stays as it is.

    The suffix (`.weight`, `.weight_scale`, `.bias`) is kept; the norm that some models put before a linear
    (`q_proj.norm.weight`) is `attn_q_norm_in.weight`.
    """
    prefix, rest = "", name
    if name.removeprefix("model.").startswith("layers."):
        layer, _, rest = name.removeprefix("model.").removeprefix("layers.").partition(".")
        prefix = f"blk.{layer}."
    stem, dot, suffix = rest.rpartition(".")
    for spelled in (stem, f"model.{stem}"):
        if spelled in _GGUF_NAMES:
            return f"{prefix}{_GGUF_NAMES[spelled]}{dot}{suffix}"
    linear = next((stem.removesuffix(end) for end in _NORM_SPELLINGS if stem.endswith(end)), None)
    if prefix and linear in _GGUF_NAMES:
        return f"{prefix}{_GGUF_NAMES[linear]}{NORM_IN}{dot}{suffix}"
    return name


def is_projection(name: str) -> bool:
    """Return whether the weight `name`, canonical, is a matrix of a block."""
    pieces = name.split(".")
    return pieces[0] == "blk" and pieces[-1] == "weight" and pieces[-2] in PROJECTIONS


def scale_of(name: str) -> str:
    """Return the name of what llama.cpp's `bitnet` graph multiplies with the result of GGUF's matrix `name`."""
    return f"{name.removesuffix('.weight')}.scale"


def _hf_spellings(part: str) -> list[str]:
    matrix = part.removesuffix(NORM_IN)
    if matrix != part:
        return [f"{HF_NAMES[matrix]}{end}" for end in _NORM_SPELLINGS]
    return [table[part] for table in (HF_NAMES, ALIASES) if part in table]
