"""A model as a Hugging Face folder: packed trits with one scale each, or floats; config.json says which.

    chosen = storage(source)                    # packed; Storage(QuantType.BF16, None) is floats
    config = config_json(source, chosen)
    for tensor in writing_safetensors(folder / "model.safetensors", tensors(source, chosen)):
        ...

All floats have the one type that config.json names, because transformers casts every tensor to it; names and settings
are those of transformers' own classes, whatever the source calls them. Layout: docs/formats.md §1.1-1.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitnet_engine.config import Config
from bitnet_engine.conversion_source import Source
from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats import OutTensor, QuantType
from bitnet_engine.formats.floats import WIDTHS, encode, rounded
from bitnet_engine.formats.hf import ScaleMeaning, scale_name
from bitnet_engine.formats.ternary import pack_hf
from bitnet_engine.naming import hf_name, is_projection
from bitnet_engine.rope_scaling import scaling_of
from bitnet_engine.tokenizer import load_tokenizer

TORCH_NAMES = {QuantType.BF16: "bfloat16", QuantType.F16: "float16", QuantType.F32: "float32"}
LINEAR_CLASSES: dict[ScaleMeaning, dict[str, str]] = {
    "multiply": {"linear_class": "autobitlinear", "quantization_mode": "offline"},
    "divide": {"linear_class": "bitlinear", "quantization_mode": "offline"},
}
ONLINE = {"linear_class": "autobitlinear", "quantization_mode": "online"}
"""What transformers says of masters, which it ternarises as it runs them."""


@dataclass(frozen=True, slots=True)
class Storage:
    """How a folder holds what is not trits."""

    kind: QuantType
    """Of every float, scales included."""
    meaning: ScaleMeaning | None
    """What a `weight_scale` does to the trits; None where matrices are floats."""


def storage(source: Source, meaning: ScaleMeaning | None = None) -> Storage:
    """Return the narrowest packed storage that is exact, and of those the one that the family is published in.

    With `meaning` scales do that and nothing else.

    Raises:
        UnsupportedError: a matrix has several scales or none, or one that `meaning` cannot say exactly, or the model
            was not trained with int8 activations.
    """
    if not source.config.activation_quant:
        raise UnsupportedError(
            f"{source.checkpoint.path}: this model was trained without int8 activations, and a packed folder is run "
            f"with them. TQ1_0 and TQ2_0 hold it."
        )
    other: dict[ScaleMeaning, ScaleMeaning] = {"multiply": "divide", "divide": "multiply"}
    usual: ScaleMeaning = "multiply" if source.config.linear_class == "autobitlinear" else "divide"
    meanings = (usual, other[usual]) if meaning is None else (meaning,)
    # Every scale multiplies exactly in float32, so that one is left in the end, but where it has to divide.
    left = [Storage(kind, allowed) for kind in WIDTHS for allowed in meanings]
    for name in source.names:
        if is_projection(name):
            scale = source.one_scale(name, source.trits(name), QuantType.HF_PACKED)
            left = [chosen for chosen in left if _is_exact(scale, chosen)]
            if not left:
                raise UnsupportedError(
                    f"{source.checkpoint.path}: tensor '{source.stored(name)}' has the scale {scale:.9g}, and no float "
                    f"divides to just that. Convert with --scale multiply."
                )
        else:
            for values in source.floats(name):
                kinds = [kind for kind in WIDTHS if np.array_equal(rounded(values, kind), values)]
                left = [chosen for chosen in left if chosen.kind in kinds]
    return left[0]


def _stored(scale: float, chosen: Storage) -> np.ndarray:
    """Return `weight_scale`, float32 `[1]`, as a reader will see it."""
    value = np.array([scale], np.float32)
    with np.errstate(divide="ignore"):
        return rounded(value if chosen.meaning == "multiply" else np.float32(1) / value, chosen.kind)


def _is_exact(scale: float, chosen: Storage) -> bool:
    stored = _stored(scale, chosen)
    if chosen.meaning == "multiply":
        return bool(stored[0] == scale)
    # A matrix of zeros may have the scale 0, whose inverse is no number to write.
    return bool(np.isfinite(stored[0]) and stored[0] and np.float32(1) / stored[0] == scale)


def config_json(source: Source, chosen: Storage) -> dict[str, Any]:
    """Return config.json: the source's own with its storage changed, or one made from GGUF's metadata.

    Raises:
        UnsupportedError: GGUF's factors of the rotary frequencies are those of no published model.
    """
    quantization = _quantization(source, chosen)
    if quantization and source.config.input_norm_eps is not None:
        quantization |= {"use_rms_norm": True, "rms_norm_eps": _shortest(source.config.input_norm_eps)}
    kind = TORCH_NAMES[chosen.kind]
    if source.checkpoint.format == "safetensors":
        config = dict(source.checkpoint.metadata)
        kept = config.pop("quantization_config", None) or {}
        # Since version 5 transformers says dtype; a file that has either keeps its word.
        spelling = "dtype" if "dtype" in config else "torch_dtype"
        said = {"quantization_config": {**kept, **quantization}} if quantization else {}
        return config | _classes(source.config) | {spelling: kind} | said
    said = {"quantization_config": quantization} if quantization else {}
    return _from_gguf(source) | {"torch_dtype": kind} | said


def _quantization(source: Source, chosen: Storage) -> dict[str, Any]:
    """Return what quantization_config says of the matrices; nothing where transformers computes plain floats."""
    if not source.config.activation_quant:
        return {}
    return {"quant_method": "bitnet", **(LINEAR_CLASSES[chosen.meaning] if chosen.meaning else ONLINE)}


def _classes(config: Config) -> dict[str, Any]:
    """The classes of transformers that run this graph; the source may be of others, such as 1bitLLM's own."""
    if config.sub_norms:
        return {"architectures": ["BitNetForCausalLM"], "model_type": "bitnet"}
    if config.qk_norm:
        return {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def _from_gguf(source: Source) -> dict[str, Any]:
    c, tokenizer = source.config, load_tokenizer(source.checkpoint)
    special = {"bos_token_id": tokenizer.bos, "eos_token_id": tokenizer.eos}
    return {
        **_classes(c),
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
        **_rope_scaling(source),
        "tie_word_embeddings": "output.weight" not in source.names,
        **{key: value for key, value in special.items() if value is not None},
        "attention_bias": False,
    }


def _rope_scaling(source: Source) -> dict[str, Any]:
    c = source.config
    if not c.rope_factors:
        return {}
    if (scaling := scaling_of(c.rope_factors, c.head_dim, c.rope_theta)) is None:
        raise UnsupportedError(
            f"{source.checkpoint.path}: the numbers of tensor 'rope_freqs.weight' are not those that a published "
            f"rope_scaling gives, and config.json states no others. Convert from the model's original."
        )
    return {
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_positions,
        }
    }


def _shortest(value: float) -> float:
    # 1e-5 went through float32 as 9.99999975e-06; written so, it would look like another number.
    return float(str(np.float32(value)))


def tensors(source: Source, chosen: Storage) -> list[OutTensor]:
    """Return the folder's tensors, floats and scales as `chosen`; their data are read when they are written."""
    kind, found = chosen.kind, list[OutTensor]()
    for name in source.names:
        shape, target = source.shape(name), hf_name(name)
        if is_projection(name) and chosen.meaning is None:
            found.append(OutTensor(target, kind, shape, lambda name=name: _floats(source, name, kind)))
        elif is_projection(name):
            packed = (shape[0] // 4, shape[1])
            found.append(OutTensor(target, QuantType.U8, packed, lambda name=name: pack_hf(source.trits(name).values)))
            found.append(OutTensor(scale_name(target), kind, (1,), lambda name=name: _scale(source, name, chosen)))
        else:
            found.append(OutTensor(target, kind, shape, lambda name=name: source.encoded(name, kind)))
    return found


def _floats(source: Source, name: str, kind: QuantType) -> bytes:
    values = source.matrix(name, kind)
    if source.config.activation_quant and not source.is_master(values):
        raise UnsupportedError(
            f"{source.checkpoint.path}: tensor '{source.stored(name)}' is trits already, and transformers would "
            f"ternarise them again, to a smaller scale (docs/formats.md §5, bug 2). HF_PACKED holds it, or a GGUF."
        )
    return encode(values, kind)


def _scale(source: Source, name: str, chosen: Storage) -> Iterator[bytes]:
    yield encode(_stored(source.one_scale(name, source.trits(name), QuantType.HF_PACKED), chosen), chosen.kind)
