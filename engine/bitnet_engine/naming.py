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


def tensor_name(checkpoint: Checkpoint, part: str, layer: int | None = None) -> str:
    """Return how `checkpoint` spells the weight `part` (a key of HF_NAMES) of `layer`."""
    if checkpoint.format == "gguf":
        return f"{part}.weight" if layer is None else f"blk.{layer}.{part}.weight"
    return f"{HF_NAMES[part]}.weight" if layer is None else f"model.layers.{layer}.{HF_NAMES[part]}.weight"
