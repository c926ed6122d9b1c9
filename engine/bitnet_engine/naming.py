"""What Hugging Face and GGUF call the same weight. Names are GGUF's inside; knows no file and no jax.

tensor_name(checkpoint, "attn_q", layer=3)      # "blk.3.attn_q.weight", or Hugging Face's spelling of it
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

QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
"""Qwen3's norms of each head: in no ternary graph, so apart from those that every converter goes through."""

ALIASES = {"attn_sub_norm": "self_attn.inner_attn_ln", "ffn_sub_norm": "mlp.ffn_layernorm"}
"""What 1bitLLM's checkpoints call the same norms."""


def tensor_name(checkpoint: Checkpoint, part: str, layer: int | None = None) -> str:
    """Return how `checkpoint` spells the weight `part` (a key of HF_NAMES or QK_NORMS) of `layer`."""
    if checkpoint.format == "gguf":
        return f"{part}.weight" if layer is None else f"blk.{layer}.{part}.weight"
    if layer is None:
        return f"{HF_NAMES[part]}.weight"
    names = [table[part] for table in (HF_NAMES, ALIASES, QK_NORMS) if part in table]
    spelled = [f"model.layers.{layer}.{name}.weight" for name in names]
    return next((name for name in spelled if name in checkpoint.tensors), spelled[0])
