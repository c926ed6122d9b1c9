"""The models of `families` written as GGUF by the gguf package. Shares no code with the engine."""

import json
from pathlib import Path

import gguf
import numpy as np

from tests.engine import families


def llama_order(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Permute rows as llama.cpp's converter does for arch `llama`: LlamaModel.permute."""
    return matrix.reshape(heads, 2, len(matrix) // heads // 2, *matrix.shape[1:]).swapaxes(1, 2).reshape(matrix.shape)


def write_gguf(
    made: families.Made,
    path: Path,
    arch: str,
    kind: str,
    tokenizer: Path,
    *,
    factors: dict[str, np.ndarray] | None = None,
    keys: dict[str, bool] | None = None,
    **extra: np.ndarray,
) -> Path:
    """Write the model with its matrices as ggml type `kind`, by the gguf package.

    `factors` become the `.scale` of their matrices, `keys` more metadata, and `extra` more tensors.
    """
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(families.SIZES.layers)
    writer.add_context_length(families.SIZES.positions)
    writer.add_embedding_length(families.SIZES.embed)
    writer.add_feed_forward_length(families.SIZES.ffn)
    writer.add_head_count(families.SIZES.heads)
    writer.add_head_count_kv(families.SIZES.kv_heads)
    writer.add_key_length(families.SIZES.head_dim)
    writer.add_value_length(families.SIZES.head_dim)
    writer.add_rope_dimension_count(families.SIZES.head_dim)
    writer.add_rope_freq_base(made.plain.theta)
    writer.add_layer_norm_rms_eps(made.plain.eps)
    _write_tokenizer(writer, tokenizer)
    for key, value in (keys or {}).items():
        writer.add_bool(key, value)
    for name, values in (factors or {}).items():
        writer.add_tensor(f"{name}.scale", values)
    for name, values in (made.plain.dense | extra).items():
        writer.add_tensor(f"{name}.weight", values)
    weights = made.plain.floats | {name: trits * np.float32(s) for name, (trits, s) in made.plain.ternary.items()}
    for name, values in weights.items():
        heads = {"attn_q": families.SIZES.heads, "attn_k": families.SIZES.kv_heads}.get(name.split(".")[2])
        ordered = llama_order(values, heads) if heads and arch == "llama" else values
        data, dtype = quantized(ordered, kind)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def quantized(values: np.ndarray, kind: str) -> tuple[np.ndarray, gguf.GGMLQuantizationType]:
    """Return the values as ggml type `kind`, by the gguf package."""
    dtype = gguf.GGMLQuantizationType[kind]
    return gguf.quantize(values.astype(np.float32), dtype), dtype


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Path) -> None:
    model = json.loads(tokenizer.read_text())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_add_bos_token(False)
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges([" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]])
