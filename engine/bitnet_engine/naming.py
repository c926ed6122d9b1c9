"""What a tensor is called in each format: one weight, one canonical name, and that is GGUF's.

    canonical("model.layers.3.self_attn.q_proj.weight")      # "blk.3.attn_q.weight"
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
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
    "ffn_down": "mlp.down_proj",
}
"""GGUF's name of a weight → the one Hugging Face gives it in BitNetForCausalLM."""

QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
"""Qwen3's norms of each head: in no ternary graph, so apart from those that every converter goes through."""

ALIASES = {"attn_sub_norm": "self_attn.inner_attn_ln", "ffn_sub_norm": "mlp.ffn_layernorm"}
"""What 1bitLLM's checkpoints call the same norms."""

_GGUF_NAMES = {name: part for table in (HF_NAMES, QK_NORMS, ALIASES) for part, name in table.items()}


def tensor_name(checkpoint: Checkpoint, part: str, layer: int | None = None) -> str:
    """Return how `checkpoint` spells the weight `part` (a key of HF_NAMES or QK_NORMS) of `layer`."""
    if checkpoint.format == "gguf":
        return f"{part}.weight" if layer is None else f"blk.{layer}.{part}.weight"
    if layer is None:
        return f"{HF_NAMES[part]}.weight"
    names = [table[part] for table in (HF_NAMES, ALIASES, QK_NORMS) if part in table]
    spelled = [f"model.layers.{layer}.{name}.weight" for name in names]
    return next((name for name in spelled if name in checkpoint.tensors), spelled[0])


def canonical(name: str) -> str:
    """Return GGUF's name of a tensor, whichever format `name` comes from; a name of neither stays as it is.

    The suffix (`.weight`, `.weight_scale`, `.bias`) is kept; the norm that some models put before a linear
    (`q_proj.norm.weight`) is `attn_q_norm_in.weight`, as the fork's converter writes it.
    """
    prefix, rest = "", name
    if name.startswith("model.layers."):
        layer, _, rest = name.removeprefix("model.layers.").partition(".")
        prefix = f"blk.{layer}."
    stem, dot, suffix = rest.rpartition(".")
    if stem in _GGUF_NAMES:
        return f"{prefix}{_GGUF_NAMES[stem]}{dot}{suffix}"
    linear = stem.removesuffix(".norm")
    if prefix and linear in _GGUF_NAMES and linear != stem:
        return f"{prefix}{_GGUF_NAMES[linear]}_norm_in{dot}{suffix}"
    return name
