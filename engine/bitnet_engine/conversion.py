"""From one storage of a ternary model to another, without losing a trit.

    convert("samples/nano/packed", "model-i2_s.gguf", QuantType.I2_S)

Writes GGUF of architecture `bitnet-b1.58` with the matrices in I2_S, TQ1_0 or TQ2_0, from a Hugging Face folder
whose numbers the target holds exactly; refuses what would lose. What was written is read back and compared. Other
sources and targets are not converted here.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bitnet_engine.config import Config
from bitnet_engine.errors import BitnetError, FormatError, StorageError, UnsupportedError
from bitnet_engine.formats import Array, Checkpoint, OutTensor, QuantType, open_checkpoint, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s, pack_tq1_0, pack_tq2_0
from bitnet_engine.naming import HF_NAMES, tensor_name
from bitnet_engine.tokenizer import CONTROL, LLAMA3, USER_DEFINED, load_tokenizer

ARCHITECTURE = "bitnet-b1.58"
PACKERS: dict[QuantType, Callable[[np.ndarray, float], bytes]] = {
    QuantType.I2_S: pack_i2_s,
    QuantType.TQ1_0: pack_tq1_0,
    QuantType.TQ2_0: pack_tq2_0,
}
# general.file_type as the writers of each type number it (docs/formats.md §2.3); no reader should trust it.
FILE_TYPES = {QuantType.I2_S: 40, QuantType.TQ1_0: 36, QuantType.TQ2_0: 37}
NORMAL = 1
TOP = ("token_embd", "output_norm")


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], quant_type: QuantType) -> None:
    """Write the model at `source` as a GGUF file at `target`, its matrices as `quant_type`.

    Raises:
        FormatError, StorageError: as `load`, or the target cannot be written.
        UnsupportedError: the source or the target type is not converted here, or would lose something.
    """
    if quant_type not in PACKERS:
        raise UnsupportedError(f"{target}: {quant_type} is not written here; {', '.join(PACKERS)} are.")
    with open_checkpoint(source) as checkpoint:
        if checkpoint.format != "safetensors":
            raise UnsupportedError(f"{checkpoint.path}: only Hugging Face folders are converted here.")
        config = Config.from_checkpoint(checkpoint)
        writer = _Writer(checkpoint, config, quant_type)
        target = Path(target)
        # Under another name until it is proved: a wrong file must never replace a right one.
        unproved = target.with_name(f".{target.name}.unproved")
        try:
            write_gguf(unproved, writer.metadata(), writer.tensors())
            _verify(checkpoint, unproved, config)
            os.replace(unproved, target)
        except ValueError as error:
            raise UnsupportedError(f"{checkpoint.path}: {quant_type} cannot hold this model: {error}") from error
        except OSError as error:
            raise StorageError(f"{target}: cannot be written: {error.strerror}") from error
        finally:
            unproved.unlink(missing_ok=True)


class _Writer:
    """What goes into the GGUF of one Hugging Face checkpoint."""

    def __init__(self, checkpoint: Checkpoint, config: Config, quant_type: QuantType) -> None:
        self.checkpoint, self.config, self.quant_type = checkpoint, config, quant_type

    def metadata(self) -> dict[str, Any]:
        c = self.config
        if c.activation != "relu2":
            raise UnsupportedError(
                f"{self.checkpoint.path}: {ARCHITECTURE} means relu2; this model has {c.activation}."
            )
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
            "general.architecture": ARCHITECTURE,
            **{f"{ARCHITECTURE}.{key}": value for key, value in hyperparameters.items()},
            "general.file_type": FILE_TYPES[self.quant_type],
            "general.quantization_version": 2,
            **_tokenizer_metadata(self.checkpoint),
        }

    def tensors(self) -> list[OutTensor]:
        top = TOP if "lm_head.weight" not in self.checkpoint.tensors else (*TOP, "output")
        parts = [part for part in HF_NAMES if part not in (*TOP, "output")]
        found = [self._tensor(part, None) for part in top]
        return found + [self._tensor(part, layer) for layer in range(self.config.layers) for part in parts]

    def _tensor(self, part: str, layer: int | None) -> OutTensor:
        source = tensor_name(self.checkpoint, part, layer)
        if source not in self.checkpoint.tensors:
            raise FormatError(f"{self.checkpoint.path}: there is no tensor '{source}', which the graph needs.")
        name = f"{part}.weight" if layer is None else f"blk.{layer}.{part}.weight"
        shape = self.checkpoint.tensors[source].shape
        if self.checkpoint.is_ternary(source):
            return OutTensor(name, self.quant_type, shape, lambda: self._pack(source))
        if len(shape) == 1:
            return OutTensor(name, QuantType.F32, shape, lambda: self._floats(source, np.dtype("<f4")))
        if part not in (*TOP, "output"):
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{source}' is {self.checkpoint.tensors[source].type}; only packed "
                f"ternary matrices are converted here."
            )
        return OutTensor(name, QuantType.F16, shape, lambda: self._floats(source, np.dtype("<f2")))

    def _pack(self, name: str) -> bytes:
        trits = self.checkpoint.read_ternary(name)
        if (scale := trits.uniform_scale()) is None:
            raise ValueError(f"tensor '{name}' has several scales")
        return PACKERS[self.quant_type](trits.values, scale)

    def _floats(self, name: str, dtype: np.dtype) -> bytes:
        values = self.checkpoint.read_dense(name)
        with np.errstate(over="ignore"):
            stored = values.astype(dtype)
        if not np.array_equal(stored.astype(np.float32), values):
            worst = int(np.argmax(np.abs(stored.astype(np.float32) - values)))
            raise ValueError(f"tensor '{name}' is not exact in {dtype.name}, at element {worst} worst")
        return stored.tobytes()


def _tokenizer_metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    """GGUF's keys for a byte-level BPE tokenizer.json with the Llama-3 split; anything else is refused."""
    tokenizer = load_tokenizer(checkpoint)
    path = checkpoint.tokenizer_files["tokenizer.json"]
    data = orjson.loads(tokenizer.backend.to_str())
    model, splits = data["model"], (data["pre_tokenizer"] or {}).get("pretokenizers", [])
    patterns = [split["pattern"].get("Regex") for split in splits if split["type"] == "Split"]
    if model["type"] != "BPE" or patterns != [LLAMA3] or not model["ignore_merges"] or data["normalizer"]:
        raise UnsupportedError(f"{path}: only byte-level BPE with the Llama-3 split rule is written to GGUF here.")
    tokens = [tokenizer.backend.id_to_token(index) for index in range(tokenizer.vocab_size)]
    if None in tokens:
        raise FormatError(f"{path}: no token has the id {tokens.index(None)}; ids must run without a gap.")
    kinds = {token["id"]: CONTROL if token["special"] else USER_DEFINED for token in data["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    special = {"bos": tokenizer.bos, "eos": tokenizer.eos}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": Array("i32", [kinds.get(index, NORMAL) for index in range(len(tokens))]),
        "tokenizer.ggml.merges": merges,
        **{f"tokenizer.ggml.{name}_token_id": value for name, value in special.items() if value is not None},
        "tokenizer.ggml.add_bos_token": tokenizer.bos is not None,
    }


def _verify(checkpoint: Checkpoint, written_to: Path, config: Config) -> None:
    """Read the written file back: every trit, scale and float must be the source's.

    Raises:
        BitnetError: one is not.
    """
    with open_checkpoint(written_to) as written:
        for part in HF_NAMES:
            for layer in [None] if part in (*TOP, "output") else range(config.layers):
                name, source = tensor_name(written, part, layer), tensor_name(checkpoint, part, layer)
                if name in written.tensors and not _same(checkpoint, source, written, name):
                    raise BitnetError(f"{written_to}: tensor '{name}' read back differs from its source; not kept.")


def _same(first: Checkpoint, first_name: str, second: Checkpoint, second_name: str) -> bool:
    if not first.is_ternary(first_name):
        return np.array_equal(first.read_dense(first_name), second.read_dense(second_name))
    a, b = first.read_ternary(first_name), second.read_ternary(second_name)
    return np.array_equal(a.values, b.values) and a.uniform_scale() == b.uniform_scale()
