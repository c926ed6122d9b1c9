"""A tiny random model, made in numpy and written as a packed Hugging Face folder."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.engine import shapes
from tests.engine.reference import Plain
from tests.engine.shapes import hf_name

SIZES = shapes.Sizes(vocab=300, embed=128, ffn=256, layers=2, heads=4, kv_heads=2, head_dim=32, positions=64)
GAINS = ("attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm")


def plain_model(seed: int, activation: str = "relu2", *, tied: bool = True) -> Plain:
    """Return a random model; scales differ between matrices, so that swapping two shows."""
    random = np.random.default_rng(seed)
    dense = {
        "token_embd": random.normal(0, 1, (SIZES.vocab, SIZES.embed)),
        "output_norm": random.uniform(0.5, 1.5, SIZES.embed),
    }
    if not tied:
        dense["output"] = random.normal(0, 1, (SIZES.vocab, SIZES.embed))
    ternary = {}
    for layer in range(SIZES.layers):
        for name, shape in SIZES.matrices.items():
            trits = random.choice([-1, 0, 1], shape, p=[0.3, 0.4, 0.3]).astype(np.int8)
            ternary[f"blk.{layer}.{name}"] = trits, float(np.float32(random.uniform(0.5, 2)))
        for name in GAINS:
            dense[f"blk.{layer}.{name}"] = random.uniform(0.5, 1.5, SIZES.norms[name])
    dense = {name: values.astype(np.float32) for name, values in dense.items()}
    return Plain(dense, ternary, SIZES.heads, SIZES.kv_heads, SIZES.layers, 10000.0, 1e-5, activation)


def config_json(model: Plain) -> dict:
    """Return the config.json of `model`, packed with multiply scales."""
    quantization = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}
    config = shapes.config_json(model, SIZES, "BitNetForCausalLM", "bitnet")
    return {**config, "quantization_config": quantization}


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
