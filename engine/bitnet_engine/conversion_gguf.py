"""A model as a GGUF file: its metadata, and its tensors in I2_S, TQ1_0, TQ2_0 or floats.

    for tensor in writing_gguf(path, metadata(source, quant_type), tensors(source, quant_type)):
        ...

From another GGUF all metadata and every float tensor is carried as it is stored; from a Hugging Face folder vectors
become F32, embedding and head F16, or the float type that the matrices have. `llama` gets its rows of q and k in
llama.cpp's order. File and type numbers: docs/formats.md §2.3.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bitnet_engine.config import ACTIVATION_QUANT, GGUF_FAMILIES, ROPE_FREQS
from bitnet_engine.conversion_source import Source
from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats import OutTensor, QuantType, Scalar, Trits
from bitnet_engine.formats.floats import WIDTHS, encode
from bitnet_engine.formats.ternary import TQ_BLOCK, pack_i2_s, pack_tq1_0, pack_tq2_0
from bitnet_engine.matrices import llama_order, reordered
from bitnet_engine.naming import is_projection
from bitnet_engine.tokenizer_writing import gguf_keys

PACKERS: dict[QuantType, Callable[[np.ndarray, Any], bytes]] = {
    QuantType.I2_S: pack_i2_s,
    QuantType.TQ1_0: pack_tq1_0,
    QuantType.TQ2_0: pack_tq2_0,
}
SCALE_TYPES = {QuantType.I2_S: QuantType.F32, QuantType.TQ1_0: QuantType.F16, QuantType.TQ2_0: QuantType.F16}
# general.file_type as the writers of each type number it; no reader should trust it.
FILE_TYPES = {
    QuantType.F32: 0,
    QuantType.F16: 1,
    QuantType.BF16: 32,
    QuantType.TQ1_0: 36,
    QuantType.TQ2_0: 37,
    QuantType.I2_S: 40,
}


def metadata(source: Source, quant_type: QuantType) -> dict[str, Any]:
    """Return the key-value pairs of the target.

    Raises:
        UnsupportedError: the source's tokenizer cannot be said in GGUF's keys.
    """
    architecture = _architecture(source)
    stated = _stated(source, architecture, quant_type)
    if source.checkpoint.format == "gguf":
        return _carried(source.checkpoint.metadata) | {"general.file_type": FILE_TYPES[quant_type]} | stated
    c = source.config
    hyperparameters = {
        "vocab_size": c.vocab,
        "context_length": c.max_positions,
        "embedding_length": c.embed,
        "block_count": c.layers,
        "feed_forward_length": c.ffn,
        "rope.dimension_count": c.head_dim,
        "rope.freq_base": c.rope_theta,
        "attention.head_count": c.heads,
        "attention.head_count_kv": c.kv_heads,
        "attention.key_length": c.head_dim,
        "attention.value_length": c.head_dim,
        "attention.layer_norm_rms_epsilon": c.rms_eps,
    }
    return {
        "general.architecture": architecture,
        **{f"{architecture}.{key}": value for key, value in hyperparameters.items()},
        "general.file_type": FILE_TYPES[quant_type],
        "general.quantization_version": 2,
        **stated,
        **gguf_keys(source.checkpoint),
    }


def _stated(source: Source, architecture: str, quant_type: QuantType) -> dict[str, bool]:
    """Return our own key where a reader would take the file for the other kind of `llama` or `qwen3`."""
    # Trits are taken for those of a model with int8 activations, and floats for a model without.
    if GGUF_FAMILIES[architecture].activation_quant is not None:
        return {}
    quantised = source.config.activation_quant
    return {} if quantised is (quant_type not in WIDTHS) else {ACTIVATION_QUANT: quantised}


def _architecture(source: Source) -> str:
    """Return GGUF's name of the graph: it says which activation and which norms, and no key does.

    Raises:
        UnsupportedError: the graph has something that no file of that name says.
    """
    if source.checkpoint.format == "gguf":
        return source.checkpoint.metadata["general.architecture"]
    c = source.config
    name = ("bitnet-b1.58" if c.activation == "relu2" else "bitnet") if c.sub_norms else "llama"
    name = "qwen3" if c.qk_norm else name
    what = None
    if c.input_norm_eps is not None and (name != "qwen3" or c.input_norm_eps != c.rms_eps):
        what = (
            f"norms before its matrices with an epsilon of {c.input_norm_eps:g}; GGUF has those of qwen3, with rms_eps"
        )
    elif c.rope_factors and name != "llama":
        what = "rope_scaling; GGUF has its factors in llama"
    if what:
        raise UnsupportedError(
            f"{source.checkpoint.path}: as GGUF this model is '{name}', and it has {what}. Convert it to a folder."
        )
    return name


def _carried(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return another file's pairs; a number wider than the usual u32 or f32 keeps its width."""
    wide: dict[str, Any] = {}
    for key, value in known.items():
        if type(value) is float and float(np.float32(value)) != value:
            wide[key] = Scalar("f64", value)
        elif type(value) is int and not -(2**31) <= value < 2**32:
            wide[key] = Scalar("u64" if value > 0 else "i64", value)
    return {**known, **wide}


def tensors(source: Source, quant_type: QuantType) -> list[OutTensor]:
    """Return the target's tensors; their data are read when they are written."""
    architecture = _architecture(source)
    found = [_tensor(source, name, quant_type, architecture) for name in source.names]
    if source.config.rope_factors:
        factors = np.array(source.config.rope_factors, np.float32)
        found.append(OutTensor(ROPE_FREQS, QuantType.F32, factors.shape, lambda: encode(factors, QuantType.F32)))
    return found


def _tensor(source: Source, name: str, quant_type: QuantType, architecture: str) -> OutTensor:
    shape = source.shape(name)
    if is_projection(name):
        return OutTensor(name, quant_type, shape, lambda: _matrix(source, name, quant_type, architecture))
    if source.checkpoint.is_ternary(source.stored(name)):
        raise UnsupportedError(
            f"{source.checkpoint.path}: tensor '{source.stored(name)}' is {source.type(name)}; an embedding, head or "
            f"norm made of trits is a converter's mistake (docs/formats.md §5, bug 7): convert from the original."
        )
    if source.checkpoint.format == "gguf" and (kind := source.type(name)) in WIDTHS:
        return OutTensor(name, kind, shape, lambda: source.encoded(name, kind))
    if source.checkpoint.format == "gguf":
        # Blocks are not decoded: another encoder would not choose the same bytes again.
        return OutTensor(name, source.type(name), shape, lambda: source.checkpoint.pieces(source.stored(name)))
    table = quant_type if quant_type in WIDTHS else QuantType.F16
    kind = QuantType.F32 if len(shape) == 1 else table
    return OutTensor(name, kind, shape, lambda: source.encoded(name, kind))


def _matrix(source: Source, name: str, quant_type: QuantType, architecture: str) -> bytes:
    rows = source.shape(name)[0]
    paired = architecture == "llama" and name.split(".")[-2] in ("attn_q", "attn_k")
    order = llama_order(rows, rows // source.config.head_dim) if paired else None
    if quant_type in WIDTHS:
        values = source.matrix(name, quant_type)
        return encode(values if order is None else values[order], quant_type)
    trits = source.trits(name, SCALE_TYPES[quant_type])
    trits = trits if order is None else reordered(trits, order)
    if quant_type is QuantType.I2_S or trits.scale.ndim == 0:
        return PACKERS[quant_type](trits.values, source.one_scale(name, trits, quant_type))
    return PACKERS[quant_type](trits.values, _by_block(source, name, trits))


def _by_block(source: Source, name: str, trits: Trits) -> np.ndarray:
    """Return float32 scales `[out, in / 256]` of a matrix with several.

    Raises:
        UnsupportedError: a scale ends inside a block of 256.
    """
    width = trits.values.shape[1] // trits.scale.shape[-1]
    if width % TQ_BLOCK:
        raise UnsupportedError(
            f"{source.checkpoint.path}: tensor '{source.stored(name)}' has a scale for each {width} of a row; TQ1_0 "
            f"and TQ2_0 hold one for each {TQ_BLOCK}, so scales would meet inside a block."
        )
    return np.repeat(trits.scale, width // TQ_BLOCK, axis=1)
