"""A tiny random model of each graph family, made in numpy, written as a folder.

Wide enough for blocks of 256, which `tiny`'s models are not. Shares no code with the engine.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.engine import shapes
from tests.engine.reference import Plain
from tests.engine.tiny import hf_pack

SIZES = shapes.Sizes(vocab=300, embed=256, ffn=512, layers=2, heads=4, kv_heads=2, head_dim=64, positions=64)
FAMILIES = ("bitnet", "1bitllm", "llama", "trilm", "dense", "qwen3", "llama3", "normed", "embedding")
ARCHITECTURES = {
    "bitnet": "BitNetForCausalLM",
    "1bitllm": "BitnetForCausalLM",
    "llama": "LlamaForCausalLM",
    "trilm": "LlamaForCausalLM",
    "dense": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "llama3": "LlamaForCausalLM",
    "normed": "Qwen3ForCausalLM",
    "embedding": "Qwen3Model",
}
MASTERS = ("1bitllm", "embedding")
QK_NORMED = ("qwen3", "normed", "embedding")
INPUT_EPS = {"normed": 1e-3, "embedding": 1e-5}
"""Of the norms before single matrices: `normed` has its own, far enough from the model's to show."""
ONE_BIT_LLM = {"attn_sub_norm": "self_attn.inner_attn_ln", "ffn_sub_norm": "mlp.ffn_layernorm"}
NORM_IN = {"normed": "rms_norm", "embedding": "norm"}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@dataclasses.dataclass
class Made:
    """A family's model: as the reference runs it, and the masters that some families store."""

    family: str
    plain: Plain
    masters: dict[str, np.ndarray]


def make(family: str, seed: int = 1) -> Made:
    """Return a random model of `family`. Ternary scales are powers of two: exact in each format, divided or not."""
    random = np.random.default_rng(seed)
    absent = () if family in ("bitnet", "1bitllm") else ("attn_sub_norm", "ffn_sub_norm")
    absent += () if family in QK_NORMED else ("attn_q_norm", "attn_k_norm")
    norms = {part: size for part, size in SIZES.norms.items() if part not in absent}
    if family in INPUT_EPS:
        norms |= {f"{part}_norm_in": shape[1] for part, shape in SIZES.matrices.items()}
    table = (SIZES.vocab, SIZES.embed)
    dense = {"token_embd": random.normal(0, 1, table), "output_norm": random.uniform(0.5, 1.5, SIZES.embed)}
    if family in ("llama", "trilm", "dense", "llama3"):
        dense["output"] = random.normal(0, 1, table)
    plain = Plain({}, {}, SIZES.heads, SIZES.kv_heads, SIZES.layers, 10000.0, 1e-5, "silu")
    plain.activation = "relu2" if family == "bitnet" else "silu"
    plain.input_eps = INPUT_EPS.get(family, 0.0)
    plain.rope = LLAMA3 if family == "llama3" else {}
    made = Made(family, plain, {})
    for layer in range(SIZES.layers):
        for part, shape in SIZES.matrices.items():
            _matrix(made, f"blk.{layer}.{part}", shape, random)
        dense |= {f"blk.{layer}.{part}": random.uniform(0.5, 1.5, size) for part, size in norms.items()}
    # Exact in bfloat16 and float16, so that every file holds the same numbers.
    plain.dense |= {name: (np.round(values * 64) / 64).astype(np.float32) for name, values in dense.items()}
    return made


def _matrix(made, name, shape, random):
    trits = random.choice([-1, 0, 1], shape, p=[0.3, 0.4, 0.3]).astype(np.int8)
    scale = float(2.0 ** random.integers(-6, -3))
    if made.family in ("bitnet", "llama", "llama3", "normed"):
        made.plain.ternary[name] = trits, scale
    elif made.family in MASTERS:
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
    spellings = shapes.HF | (ONE_BIT_LLM if family == "1bitllm" else {})
    matrix = name.removesuffix("_norm_in")
    spelled = shapes.hf_name(matrix, spellings)
    spelled = spelled if matrix == name else f"{spelled}.{NORM_IN[family]}"
    # An embedding model is saved without its head, and so without the prefix of what is not the head.
    return spelled.removeprefix("model.") if family == "embedding" else spelled


def config_json(made: Made) -> dict:
    """Return the config.json of the model, with the quantization_config its family is published with."""
    model_type = {"bitnet": "bitnet"}.get(made.family, "qwen3" if made.family in QK_NORMED else "llama")
    config = shapes.config_json(made.plain, SIZES, ARCHITECTURES[made.family], model_type)
    if made.family == "bitnet":
        kind = {"linear_class": "autobitlinear", "quantization_mode": "offline"}
        config |= {"quantization_config": {"quant_method": "bitnet", **kind}}
    elif made.family in ("llama", "llama3", "normed"):
        config["quantization_config"] = {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]}
    elif made.family == "1bitllm":
        config |= {"weight_bits": 1, "input_bits": 8}
    if made.family == "normed":
        config["quantization_config"] |= {"use_rms_norm": True, "rms_norm_eps": made.plain.input_eps}
    if made.family in QK_NORMED:
        config |= {"use_sliding_window": False, "sliding_window": None}
    return config | ({"rope_scaling": {"rope_type": "llama3", **made.plain.rope}} if made.plain.rope else {})


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
