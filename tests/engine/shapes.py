"""What tiny random models are made of: sizes, the names of their weights, and the config.json that says so.

Shares no code with the engine.
"""

from dataclasses import dataclass

from tests.engine.reference import Plain

HF = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}


@dataclass(frozen=True)
class Sizes:
    """The size of each axis."""

    vocab: int
    embed: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    positions: int

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Shapes `(out, in)` of a block's matrices."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "attn_q": (q, self.embed),
            "attn_k": (kv, self.embed),
            "attn_v": (kv, self.embed),
            "attn_output": (self.embed, q),
            "ffn_gate": (self.ffn, self.embed),
            "ffn_up": (self.ffn, self.embed),
            "ffn_down": (self.embed, self.ffn),
        }

    @property
    def norms(self) -> dict[str, int]:
        """Lengths of all norms that a block may have but those of single matrices."""
        q = self.heads * self.head_dim
        lengths = {"attn_norm": self.embed, "ffn_norm": self.embed, "attn_sub_norm": q, "ffn_sub_norm": self.ffn}
        return lengths | {"attn_q_norm": self.head_dim, "attn_k_norm": self.head_dim}


def hf_name(name: str, spellings: dict[str, str] = HF) -> str:
    """Return Hugging Face's spelling of a GGUF-style tensor name without `.weight`."""
    if name in spellings:
        return spellings[name]
    _, layer, part = name.split(".")
    return f"model.layers.{layer}.{spellings[part]}"


def config_json(model: Plain, sizes: Sizes, architecture: str, model_type: str) -> dict:
    """Return the config.json of `model`, without any quantization_config."""
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": sizes.vocab,
        "hidden_size": sizes.embed,
        "intermediate_size": sizes.ffn,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head_dim,
        "hidden_act": model.activation,
        "max_position_embeddings": sizes.positions,
        "rms_norm_eps": model.eps,
        "rope_theta": model.theta,
        "tie_word_embeddings": "output" not in model.dense,
        "attention_bias": False,
    }
