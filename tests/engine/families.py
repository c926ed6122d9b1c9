"""A tiny random model of each graph family, made in numpy, written as a folder.

Wide enough for blocks of 256, which `tiny`'s models are not. Shares no code with the engine.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.engine.reference import Plain
from tests.engine.tiny import HF, hf_pack

VOCAB, EMBED, FFN, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 300, 256, 512, 2, 4, 2, 64
POSITIONS = 64
MATRICES = {
    "attn_q": (HEADS * HEAD_DIM, EMBED),
    "attn_k": (KV_HEADS * HEAD_DIM, EMBED),
    "attn_v": (KV_HEADS * HEAD_DIM, EMBED),
    "attn_output": (EMBED, HEADS * HEAD_DIM),
    "ffn_gate": (FFN, EMBED),
    "ffn_up": (FFN, EMBED),
    "ffn_down": (EMBED, FFN),
}
SUB_NORMS = {"attn_sub_norm": HEADS * HEAD_DIM, "ffn_sub_norm": FFN}
NORMS = {"attn_norm": EMBED, "ffn_norm": EMBED}
QK_NORMS = {"attn_q_norm": HEAD_DIM, "attn_k_norm": HEAD_DIM}
FAMILIES = ("bitnet", "1bitllm", "llama", "trilm", "dense", "qwen3")
ARCHITECTURES = {
    "bitnet": "BitNetForCausalLM",
    "1bitllm": "BitnetForCausalLM",
    "llama": "LlamaForCausalLM",
    "trilm": "LlamaForCausalLM",
    "dense": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
SPELLINGS = {
    **HF,
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
ONE_BIT_LLM = {"attn_sub_norm": "self_attn.inner_attn_ln", "ffn_sub_norm": "mlp.ffn_layernorm"}


@dataclasses.dataclass
class Made:
    """A family's model: as the reference runs it, and the masters that some families store."""

    family: str
    plain: Plain
    masters: dict[str, np.ndarray]


def make(family: str, seed: int = 1) -> Made:
    """Return a random model of `family`. Ternary scales are powers of two: exact in each format, divided or not."""
    random = np.random.default_rng(seed)
    norms = dict(NORMS)
    norms |= SUB_NORMS if family in ("bitnet", "1bitllm") else {}
    norms |= QK_NORMS if family == "qwen3" else {}
    dense = {"token_embd": random.normal(0, 1, (VOCAB, EMBED)), "output_norm": random.uniform(0.5, 1.5, EMBED)}
    if family in ("llama", "trilm", "dense"):
        dense["output"] = random.normal(0, 1, (VOCAB, EMBED))
    activation = "relu2" if family == "bitnet" else "silu"
    plain = Plain({}, {}, HEADS, KV_HEADS, LAYERS, 10000.0, 1e-5, activation)
    made = Made(family, plain, {})
    for layer in range(LAYERS):
        for part, shape in MATRICES.items():
            _matrix(made, f"blk.{layer}.{part}", shape, random)
        dense |= {f"blk.{layer}.{part}": random.uniform(0.5, 1.5, size) for part, size in norms.items()}
    # Exact in bfloat16 and float16, so that every file holds the same numbers.
    plain.dense |= {name: (np.round(values * 64) / 64).astype(np.float32) for name, values in dense.items()}
    return made


def _matrix(made, name, shape, random):
    trits = random.choice([-1, 0, 1], shape, p=[0.3, 0.4, 0.3]).astype(np.int8)
    scale = float(2.0 ** random.integers(-6, -3))
    if made.family in ("bitnet", "llama"):
        made.plain.ternary[name] = trits, scale
    elif made.family == "1bitllm":
        master = random.normal(0, scale, shape).astype(np.float32)
        made.masters[name] = master
        mean = np.abs(master.astype(np.float64)).mean()
        made.plain.ternary[name] = np.clip(np.rint(master / mean), -1, 1).astype(np.int8), float(np.float32(mean))
    elif made.family == "trilm":
        made.plain.floats[name] = (trits * _shards(name, shape, scale)).astype(np.float32)
    else:
        made.plain.floats[name] = np.round(random.normal(0, 1 / 16, shape) * 256).astype(np.float32) / 256


def _shards(name, shape, scale):
    """Two model-parallel shards with a scale each: along columns before a sum, along rows elsewhere (§1.7)."""
    scales = np.full(shape, scale)
    if name.endswith(("attn_output", "ffn_down")):
        scales[:, shape[1] // 2 :] *= 2
    else:
        scales[shape[0] // 2 :] *= 2
    return scales


def hf_name(family: str, name: str) -> str:
    """Return Hugging Face's spelling of a GGUF-style tensor name without `.weight`."""
    spellings = SPELLINGS | (ONE_BIT_LLM if family == "1bitllm" else {})
    if name in spellings:
        return spellings[name]
    _, layer, part = name.split(".")
    return f"model.layers.{layer}.{spellings[part]}"


def config_json(made: Made) -> dict:
    """Return the config.json of the model, with the quantization_config its family is published with."""
    config = {
        "architectures": [ARCHITECTURES[made.family]],
        "model_type": "qwen3" if made.family == "qwen3" else "llama",
        "vocab_size": VOCAB,
        "hidden_size": EMBED,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "hidden_act": made.plain.activation,
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": made.plain.eps,
        "rope_theta": made.plain.theta,
        "tie_word_embeddings": "output" not in made.plain.dense,
        "attention_bias": False,
    }
    if made.family == "bitnet":
        kind = {"linear_class": "autobitlinear", "quantization_mode": "offline"}
        config |= {"model_type": "bitnet", "quantization_config": {"quant_method": "bitnet", **kind}}
    elif made.family == "llama":
        config["quantization_config"] = {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]}
    elif made.family == "1bitllm":
        config |= {"weight_bits": 1, "input_bits": 8}
    elif made.family == "qwen3":
        config |= {"use_sliding_window": False, "sliding_window": None}
    return config


def write_hf(made: Made, folder: Path, tokenizer: Path, **changes) -> Path:
    """Write the model as its family is published; `changes` overwrite keys of config.json."""
    folder.mkdir(exist_ok=True)
    half = np.float16 if made.family == "trilm" else np.float32
    tensors = made.plain.dense | made.masters
    tensors |= {name: values.astype(half) for name, values in made.plain.floats.items()}
    stored = {f"{hf_name(made.family, name)}.weight": values for name, values in tensors.items()}
    for name, (trits, scale) in made.plain.ternary.items() if not made.masters else ():
        weight = f"{hf_name(made.family, name)}.weight"
        kept = scale if made.family == "bitnet" else 1 / scale
        stored |= {weight: hf_pack(trits), f"{weight}_scale": np.array([kept], np.float32)}
    save_file(stored, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config_json(made), **changes}))
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return folder
