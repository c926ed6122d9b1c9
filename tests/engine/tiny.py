"""A tiny random model, made in numpy and written as a packed Hugging Face folder."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.engine.reference import Plain

VOCAB, EMBED, FFN, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 300, 128, 256, 2, 4, 2, 32
POSITIONS = 64
HF = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}
MATRICES = {
    "attn_q": (HEADS * HEAD_DIM, EMBED),
    "attn_k": (KV_HEADS * HEAD_DIM, EMBED),
    "attn_v": (KV_HEADS * HEAD_DIM, EMBED),
    "attn_output": (EMBED, HEADS * HEAD_DIM),
    "ffn_gate": (FFN, EMBED),
    "ffn_up": (FFN, EMBED),
    "ffn_down": (EMBED, FFN),
}
GAINS = {"attn_norm": EMBED, "attn_sub_norm": HEADS * HEAD_DIM, "ffn_norm": EMBED, "ffn_sub_norm": FFN}


def plain_model(seed: int, activation: str = "relu2", *, tied: bool = True) -> Plain:
    """Return a random model; scales differ between matrices, so that swapping two shows."""
    random = np.random.default_rng(seed)
    dense = {"token_embd": random.normal(0, 1, (VOCAB, EMBED)), "output_norm": random.uniform(0.5, 1.5, EMBED)}
    if not tied:
        dense["output"] = random.normal(0, 1, (VOCAB, EMBED))
    ternary = {}
    for layer in range(LAYERS):
        for name, shape in MATRICES.items():
            trits = random.choice([-1, 0, 1], shape, p=[0.3, 0.4, 0.3]).astype(np.int8)
            ternary[f"blk.{layer}.{name}"] = trits, float(np.float32(random.uniform(0.5, 2)))
        for name, size in GAINS.items():
            dense[f"blk.{layer}.{name}"] = random.uniform(0.5, 1.5, size)
    dense = {name: values.astype(np.float32) for name, values in dense.items()}
    return Plain(dense, ternary, HEADS, KV_HEADS, LAYERS, 10000.0, 1e-5, activation)


def hf_name(name: str) -> str:
    """Return Hugging Face's spelling of a GGUF-style tensor name without `.weight`."""
    top = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    if name in top:
        return top[name]
    _, layer, part = name.split(".")
    return f"model.layers.{layer}.{HF[part]}"


def config_json(model: Plain) -> dict:
    """Return the config.json of `model`, packed with multiply scales."""
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": VOCAB,
        "hidden_size": EMBED,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "hidden_act": model.activation,
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": model.eps,
        "rope_theta": model.theta,
        "tie_word_embeddings": "output" not in model.dense,
        "attention_bias": False,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    }


def hf_pack(trits: np.ndarray) -> np.ndarray:
    """Pack as transformers' pack_weights documents it, row by row."""
    rows = len(trits) // 4
    packed = np.zeros((rows, trits.shape[1]), np.uint8)
    for quarter in range(4):
        packed |= (trits[quarter * rows : (quarter + 1) * rows] + 1).astype(np.uint8) << 2 * quarter
    return packed


def write_packed(model: Plain, folder: Path, tokenizer: Path, **changes) -> Path:
    """Write `model` as a packed folder; `changes` overwrite keys of config.json."""
    folder.mkdir(exist_ok=True)
    tensors = {f"{hf_name(name)}.weight": values for name, values in model.dense.items()}
    quantization = changes.get("quantization_config", {})
    divide = isinstance(quantization, dict) and quantization.get("linear_class") == "bitlinear"
    for name, (trits, scale) in model.ternary.items():
        tensors[f"{hf_name(name)}.weight"] = hf_pack(trits)
        tensors[f"{hf_name(name)}.weight_scale"] = np.array([1 / scale if divide else scale], np.float32)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config_json(model), **changes}))
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return folder


def write_master(model: Plain, folder: Path, tokenizer: Path) -> Path:
    """Write `model` with trits · scale as plain float32 matrices: ternary already, only not packed."""
    folder.mkdir(exist_ok=True)
    tensors = {f"{hf_name(name)}.weight": values for name, values in model.dense.items()}
    for name, (trits, scale) in model.ternary.items():
        tensors[f"{hf_name(name)}.weight"] = trits.astype(np.float32) * np.float32(scale)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_json(model)))
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return folder
