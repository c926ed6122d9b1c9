"""A random model in the shape of BitNet b1.58 2B-4T: for measuring time and memory where no download is wanted.

    python -m bitnet_engine.synthetic big.gguf --type I2_S            # 1.2 GB, 30 layers
    python -m bitnet_engine.synthetic folder --type HF_PACKED --layers 2
    python -m bitnet_engine.synthetic peer.gguf --type TQ2_0 --architecture bitnet      # llama.cpp runs it too

It loads, runs and converts like the real one, and says nothing: weights are noise, drawn from a seed and the tensor's
name, so that every type holds the same model. One matrix is in memory at a time. The tokenizer is byte-level BPE of
128 256 ids over made-up words (synthetic_vocabulary.py). Prints what was written as one JSON document.
"""

import argparse
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import orjson

from bitnet_engine.conversion_folder import LINEAR_CLASSES
from bitnet_engine.conversion_gguf import FILE_TYPES, PACKERS
from bitnet_engine.errors import BitnetError, StorageError
from bitnet_engine.files import write_atomic
from bitnet_engine.formats import OutTensor, QuantType
from bitnet_engine.formats.floats import encode, rounded
from bitnet_engine.formats.gguf_writer import writing_gguf
from bitnet_engine.formats.hf import CONFIG, SINGLE, scale_name
from bitnet_engine.formats.safetensors_writer import writing_safetensors
from bitnet_engine.formats.ternary import pack_hf
from bitnet_engine.naming import hf_name
from bitnet_engine.synthetic_vocabulary import SPECIALS, gguf_keys, tokenizer
from bitnet_engine.tokenizer_gguf import LLAMA3_VOCAB

TYPES = (*PACKERS, QuantType.HF_PACKED)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a model; without arguments those of microsoft/bitnet-b1.58-2B-4T (docs/formats.md §1.2)."""

    layers: int = 30
    embed: int = 2560
    ffn: int = 6912
    heads: int = 20
    kv_heads: int = 5
    head_dim: int = 128
    positions: int = 4096
    vocab: int = LLAMA3_VOCAB

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Return the shape `[out, in]` of each ternary matrix of a block, by part."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = {"attn_q": (q, self.embed), "attn_k": (kv, self.embed), "attn_v": (kv, self.embed)}
        ffn = {"ffn_gate": (self.ffn, self.embed), "ffn_up": (self.ffn, self.embed), "ffn_down": (self.embed, self.ffn)}
        return {**attention, "attn_output": (self.embed, q), **ffn}

    def norms(self) -> dict[str, int]:
        """Return the length of each norm of a block, by part."""
        inner = {"attn_sub_norm": self.heads * self.head_dim, "ffn_sub_norm": self.ffn}
        return {"attn_norm": self.embed, "ffn_norm": self.embed, **inner}


PUBLISHED = Shape()

_ROWS = 4096
"""Rows of the embedding in memory at a time."""


Architecture = Literal["bitnet-b1.58", "bitnet"]
"""Of a GGUF: the published model's, or 1bitLLM's, which llama.cpp has: the same matrices, SiLU for squared ReLU."""


def write_synthetic(
    path: Path,
    quant_type: QuantType,
    *,
    shape: Shape = PUBLISHED,
    seed: int = 0,
    architecture: Architecture = "bitnet-b1.58",
) -> int:
    """Write the model to `path`, a GGUF file or for HF_PACKED a new folder; return the bytes of its model file.

    Raises:
        ValueError: rows of `shape` that `quant_type` cannot hold, or another architecture for a folder.
        StorageError: it cannot be written, or a folder is there already.
    """
    noise = _Noise(shape, seed)
    if quant_type is QuantType.HF_PACKED:
        if architecture != "bitnet-b1.58":
            raise ValueError(f"a folder has the published architecture, not {architecture}")
        return _write_folder(path, noise)
    tensors = [noise.gguf_tensor(name, quant_type) for name in noise.names]
    for _ in writing_gguf(path, _metadata(quant_type, shape, architecture), tensors):
        pass
    return path.stat().st_size


def _write_folder(folder: Path, noise: "_Noise") -> int:
    try:
        folder.mkdir()
    except OSError as error:
        raise StorageError(f"{folder}: cannot make this folder: {error.strerror}; name a new one") from error
    write_atomic(folder / CONFIG, orjson.dumps(_config(noise.shape), option=orjson.OPT_INDENT_2))
    write_atomic(folder / "tokenizer.json", tokenizer(noise.shape.vocab).to_str().encode())
    for _ in writing_safetensors(folder / SINGLE, [t for name in noise.names for t in noise.hf_tensors(name)]):
        pass
    return (folder / SINGLE).stat().st_size


class _Noise:
    """The weights of a shape and a seed, by canonical name without `.weight`; made when they are written."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape, self.seed = shape, seed
        self.matrices, self.norms = shape.matrices(), {"output_norm": shape.embed, **shape.norms()}
        parts = [part for part in (*self.norms, *self.matrices) if part != "output_norm"]
        body = [f"blk.{layer}.{part}" for layer in range(shape.layers) for part in parts]
        self.names = ["token_embd", "output_norm", *body]

    def gguf_tensor(self, name: str, quant_type: QuantType) -> OutTensor:
        part, stored = name.split(".")[-1], f"{name}.weight"
        if part in self.matrices:
            return OutTensor(stored, quant_type, self.matrices[part], lambda: PACKERS[quant_type](*self._trits(name)))
        kind = QuantType.F16 if part == "token_embd" else QuantType.F32
        return OutTensor(stored, kind, self._size(part), lambda: self._encoded(name, kind))

    def hf_tensors(self, name: str) -> list[OutTensor]:
        part, stored, bf16 = name.split(".")[-1], hf_name(f"{name}.weight"), QuantType.BF16
        if part not in self.matrices:
            return [OutTensor(stored, bf16, self._size(part), lambda: self._encoded(name, bf16))]
        out, features = self.matrices[part]
        packed = OutTensor(stored, QuantType.U8, (out // 4, features), lambda: pack_hf(self._trits(name)[0]))
        return [packed, OutTensor(scale_name(stored), bf16, (1,), lambda: self._scale(name))]

    def _size(self, part: str) -> tuple[int, ...]:
        return (self.shape.vocab, self.shape.embed) if part == "token_embd" else (self.norms[part],)

    def _random(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _trits(self, name: str) -> tuple[np.ndarray, float]:
        """Return int8 trits `[out, in]`, a third each, and a scale that bfloat16 and float16 hold exactly."""
        random = self._random(name)
        scale = int(random.integers(144, 208)) / 128  # 1.1 to 1.6, as the published model's are
        return random.integers(-1, 2, self.matrices[name.split(".")[-1]], np.int8), scale

    def _scale(self, name: str) -> bytes:
        return encode(np.array([self._trits(name)[1]], np.float32), QuantType.BF16)

    def _encoded(self, name: str, kind: QuantType) -> Iterator[bytes]:
        return (encode(values, kind) for values in self._floats(name))

    def _floats(self, name: str) -> Iterator[np.ndarray]:
        """Yield rows of the embedding, or a norm: float32 that bfloat16 and float16 hold exactly."""
        random, size = self._random(name), self._size(name.split(".")[-1])
        if len(size) == 1:
            yield _exact(random.uniform(0.5, 1.5, size))
            return
        for start in range(0, size[0], _ROWS):
            yield _exact(random.standard_normal((min(_ROWS, size[0] - start), size[1]), np.float32))


def _exact(values: np.ndarray) -> np.ndarray:
    # bfloat16 first: what float16 then drops of a small number only makes it shorter.
    return rounded(rounded(values.astype(np.float32), QuantType.BF16), QuantType.F16)


def _metadata(quant_type: QuantType, shape: Shape, architecture: Architecture) -> dict[str, Any]:
    keys = {
        "vocab_size": shape.vocab,
        "context_length": shape.positions,
        "embedding_length": shape.embed,
        "block_count": shape.layers,
        "feed_forward_length": shape.ffn,
        "rope.dimension_count": shape.head_dim,
        "rope.freq_base": 500000.0,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    return {
        "general.architecture": architecture,
        "general.name": "synthetic",
        **{f"{architecture}.{key}": value for key, value in keys.items()},
        "general.file_type": FILE_TYPES[quant_type],
        "general.quantization_version": 2,
        **gguf_keys(shape.vocab),
    }


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": shape.vocab,
        "hidden_size": shape.embed,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "relu2",
        "max_position_embeddings": shape.positions,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": shape.vocab - SPECIALS,
        "eos_token_id": shape.vocab - SPECIALS + 1,
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "bitnet", **LINEAR_CLASSES["multiply"]},
    }


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bitnet_engine.synthetic", description=str(__doc__).splitlines()[0])
    parser.add_argument("out", type=Path, help="a GGUF file, or for HF_PACKED a new folder")
    parser.add_argument("--type", choices=TYPES, required=True, type=QuantType, metavar="|".join(TYPES))
    default = PUBLISHED.layers
    parser.add_argument("--layers", type=int, default=default, help=f"{default} as the published model, or fewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--architecture", choices=get_args(Architecture), default="bitnet-b1.58", help="of a GGUF")
    chosen = parser.parse_args()
    if chosen.layers < 1:
        parser.error(f"--layers {chosen.layers}: 1 or more are allowed")
    options = {"shape": Shape(layers=chosen.layers), "seed": chosen.seed, "architecture": chosen.architecture}
    if chosen.type is QuantType.HF_PACKED and chosen.architecture != "bitnet-b1.58":
        parser.error(f"--architecture {chosen.architecture}: a folder has bitnet-b1.58 only")
    try:
        size = write_synthetic(chosen.out, chosen.type, **options)
    except BitnetError as error:
        parser.exit(error.exit_code, f"{error}\n")
    written = {"path": os.fspath(chosen.out), "type": chosen.type.value, "layers": chosen.layers, "bytes": size}
    sys.stdout.buffer.write(orjson.dumps({**written, "seed": chosen.seed}, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
