"""A model as a Hugging Face folder: packed trits with multiply scales, config.json, and the tokenizer's files.

    config = config_json(source, QuantType.BF16)
    for tensor in writing_safetensors(folder / "model.safetensors", tensors(source, QuantType.BF16)):
        ...

All floats have the one type that config.json names, because transformers casts every tensor to it. Layout:
docs/formats.md §1.1-1.3.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bitnet_engine.conversion_source import Source, is_projection
from bitnet_engine.formats import OutTensor, QuantType
from bitnet_engine.formats.floats import encode
from bitnet_engine.formats.hf import scale_name
from bitnet_engine.formats.ternary import pack_hf
from bitnet_engine.naming import HF_NAMES
from bitnet_engine.tokenizer import load_tokenizer

TORCH_NAMES = {QuantType.BF16: "bfloat16", QuantType.F16: "float16", QuantType.F32: "float32"}
QUANTIZATION = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}


def config_json(source: Source, kind: QuantType) -> dict[str, Any]:
    """Return config.json: the source's own with its storage changed, or one made from GGUF's metadata."""
    if source.checkpoint.format == "safetensors":
        config = dict(source.checkpoint.metadata)
        quantization = config.get("quantization_config") or {}
        # Since version 5 transformers says dtype; a file that has either keeps its word.
        spelling = "dtype" if "dtype" in config else "torch_dtype"
        return config | {spelling: TORCH_NAMES[kind], "quantization_config": {**quantization, **QUANTIZATION}}
    c, tokenizer = source.config, load_tokenizer(source.checkpoint)
    special = {"bos_token_id": tokenizer.bos, "eos_token_id": tokenizer.eos}
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": c.vocab,
        "hidden_size": c.embed,
        "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "hidden_act": c.activation,
        "max_position_embeddings": c.max_positions,
        "rms_norm_eps": _shortest(c.rms_eps),
        "rope_theta": _shortest(c.rope_theta),
        "tie_word_embeddings": "output.weight" not in source.names,
        **{key: value for key, value in special.items() if value is not None},
        "attention_bias": False,
        "torch_dtype": TORCH_NAMES[kind],
        "quantization_config": QUANTIZATION,
    }


def _shortest(value: float) -> float:
    # 1e-5 went through float32 as 9.99999975e-06; written so, it would look like another number.
    return float(str(np.float32(value)))


def tensors(source: Source, kind: QuantType) -> list[OutTensor]:
    """Return the folder's tensors, floats and scales as `kind`; their data are read when they are written."""
    found: list[OutTensor] = []
    for name in source.names:
        shape, target = source.shape(name), hf_name(name)
        if is_projection(name):
            packed = (shape[0] // 4, shape[1])
            found.append(OutTensor(target, QuantType.U8, packed, lambda name=name: pack_hf(source.trits(name)[0])))
            found.append(OutTensor(scale_name(target), kind, (1,), lambda name=name: _scale(source, name, kind)))
        else:
            found.append(OutTensor(target, kind, shape, lambda name=name: source.encoded(name, kind)))
    return found


def hf_name(name: str) -> str:
    """Return Hugging Face's spelling of a canonical name."""
    pieces = name.split(".")
    prefix = f"model.layers.{pieces[1]}." if pieces[0] == "blk" else ""
    return f"{prefix}{HF_NAMES[pieces[-2]]}.weight"


def _scale(source: Source, name: str, kind: QuantType) -> Iterator[bytes]:
    yield encode(np.array([source.trits(name, kind)[1]], np.float32), kind)
