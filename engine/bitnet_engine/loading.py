"""From a path to a Model that runs: the only place where files meet arrays.

    model = load("model-I2_S.gguf")

Tensors are read one at a time and packed at once, so the peak is one matrix over the model's own size. Names
are GGUF's inside; `naming.py` says what Hugging Face calls them.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bitnet_engine.config import Config
from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint, I2SLayout, QuantType, open_checkpoint
from bitnet_engine.linears import Q8K, to_bfloat16
from bitnet_engine.masters import ternarise, ternary_blocks
from bitnet_engine.model import Layers, Model, Weights
from bitnet_engine.naming import tensor_name
from bitnet_engine.numerics import Numerics
from bitnet_engine.packing import BlockTernary, Linear, PackedTernary, stack
from bitnet_engine.tokenizer import load_tokenizer

MASTERS = (QuantType.F32, QuantType.F16, QuantType.BF16, QuantType.F64)


def load(
    path: str | os.PathLike[str],
    numerics: str = Numerics.EXACT_INT8,
    *,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
) -> Model:
    """Load the model at `path`, whatever its format, to run with the numerics of that name.

    A model trained without quantised activations has nothing for `exact-int8` to round: it becomes `float`.
    `i2s_layout` and `kernel_config` are those of `open_checkpoint`.

    Raises:
        SettingError: there are no such numerics, or `i2s_layout` or `kernel_config` is of no tensor of the file.
        FormatError: the file is bad or lacks a tensor, or a tensor has the wrong shape.
        UnsupportedError: the file is sound but asks for something this engine does not compute.
        StorageError: the file cannot be read, or changed while it was read.
    """
    with open_checkpoint(path, i2s_layout=i2s_layout, kernel_config=kernel_config) as checkpoint:
        return load_checkpoint(checkpoint, numerics)


def load_checkpoint(checkpoint: Checkpoint, numerics: str = Numerics.EXACT_INT8) -> Model:
    """Load the model of an open checkpoint; raises as `load`."""
    chosen = Numerics.named(numerics)
    config = Config.from_checkpoint(checkpoint)
    tokenizer = load_tokenizer(checkpoint)
    reader = _Reader(checkpoint, config)
    weights = reader.weights()
    reader.refuse_unused()
    config = _settled(config, weights.layers)
    if chosen is Numerics.EXACT_INT8 and not config.activation_quant:
        chosen = Numerics.FLOAT
    _check_numerics(chosen, config, weights.layers, checkpoint)
    return Model(config, _rounded(weights) if chosen is Numerics.HF_BF16 else weights, tokenizer, chosen)


def _settled(config: Config, layers: Layers) -> Config:
    """Tell TriLM from ternary Llama in GGUF, where both are `llama`: only TriLM has several scales a matrix."""
    several = any(isinstance(matrix, BlockTernary) for matrix in layers.linears().values())
    return replace(config, activation_quant=config.activation_quant and not several)


def _check_numerics(numerics: Numerics, config: Config, layers: Layers, checkpoint: Checkpoint) -> None:
    """Refuse numerics that no engine would run this model with."""
    meaning = checkpoint.scale_meaning()
    if numerics is Numerics.HF_BF16 and meaning and (meaning == "multiply") != (config.linear_class == "autobitlinear"):
        raise UnsupportedError(
            f"{checkpoint.path}: linear_class of quantization_config is not {config.linear_class}, the one that "
            f"{numerics} computes for this architecture. Choose other numerics."
        )
    if numerics is not Numerics.LLAMACPP_Q8K:
        return
    for name, matrix in layers.linears().items():
        blocks = matrix.scale.shape[-1] if isinstance(matrix, BlockTernary) else 1
        if isinstance(matrix, jax.Array) or matrix.features % (blocks * Q8K):
            raise UnsupportedError(
                f"{checkpoint.path}: the {name} matrices are not ternary in rows and scales of a multiple of {Q8K}, "
                f"which {numerics} needs. Choose other numerics."
            )


def _rounded(weights: Weights) -> Weights:
    """Return weights whose floats are those of a bfloat16 model; a ternary scale is rounded where it is used."""
    ternary = (PackedTernary, BlockTernary)
    return jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, ternary) else to_bfloat16(leaf),
        weights,
        is_leaf=lambda leaf: isinstance(leaf, ternary),
    )


class _Reader:
    """Reads the weights of one checkpoint, checking every shape against the config."""

    def __init__(self, checkpoint: Checkpoint, config: Config) -> None:
        self.checkpoint, self.config = checkpoint, config
        self.used: set[str] = set()

    def weights(self) -> Weights:
        c = self.config
        q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        layers = Layers(
            attn_norm=self._norms("attn_norm", c.embed),
            attn_q_norm=self._norms("attn_q_norm", c.head_dim) if c.qk_norm else None,
            attn_k_norm=self._norms("attn_k_norm", c.head_dim) if c.qk_norm else None,
            attn_q=self._linear("attn_q", (q, c.embed)),
            attn_k=self._linear("attn_k", (kv, c.embed)),
            attn_v=self._linear("attn_v", (kv, c.embed)),
            attn_sub_norm=self._norms("attn_sub_norm", q) if c.sub_norms else None,
            attn_output=self._linear("attn_output", (c.embed, q)),
            ffn_norm=self._norms("ffn_norm", c.embed),
            ffn_gate=self._linear("ffn_gate", (c.ffn, c.embed)),
            ffn_up=self._linear("ffn_up", (c.ffn, c.embed)),
            ffn_sub_norm=self._norms("ffn_sub_norm", c.ffn) if c.sub_norms else None,
            ffn_down=self._linear("ffn_down", (c.embed, c.ffn)),
        )
        token_embd = self._dense("token_embd", (c.vocab, c.embed))
        return Weights(token_embd, layers, self._dense("output_norm", (c.embed,)), self._output())

    def _output(self) -> jax.Array | None:
        """The head where the file holds one; a config that unties it from the embedding must bring it."""
        name = tensor_name(self.checkpoint, "output")
        if name in self.checkpoint.tensors:
            return self._dense("output", (self.config.vocab, self.config.embed))
        if self.checkpoint.format == "safetensors" and self.checkpoint.metadata.get("tie_word_embeddings") is not True:
            raise FormatError(
                f"{self.checkpoint.path}: config.json does not tie the word embeddings, and there is no tensor "
                f"'{name}'. Set tie_word_embeddings to true, or convert the model again with its head."
            )
        return None

    def _norms(self, part: str, features: int) -> jax.Array:
        return self._stack(lambda layer: self._dense(part, (features,), layer))

    def _stack(self, read: Callable[[int], jax.Array]) -> jax.Array:
        return jnp.stack([read(layer) for layer in range(self.config.layers)])

    def _dense(self, part: str, shape: tuple[int, ...], layer: int | None = None) -> jax.Array:
        return jnp.asarray(self._finite(self._checked(part, shape, layer)))

    def _finite(self, name: str) -> np.ndarray:
        values = self.checkpoint.read_dense(name)
        if not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(values))[0].tolist()
            raise FormatError(
                f"{self.checkpoint.path}: tensor '{name}' holds NaN or infinity, first at {where}. "
                f"No result would mean anything; convert the model again."
            )
        return values

    def _linear(self, part: str, shape: tuple[int, int]) -> Linear:
        return stack([self._matrix(part, shape, layer) for layer in range(self.config.layers)])

    def _matrix(self, part: str, shape: tuple[int, int], layer: int) -> Linear:
        name = self._checked(part, shape, layer)
        rows = self._rows(part, shape[0])
        if not self.checkpoint.is_ternary(name):
            return self._from_floats(name, rows)
        trits = self.checkpoint.read_ternary(name)
        if (scale := trits.uniform_scale()) is not None:
            return PackedTernary.from_trits(trits.values[rows], scale)
        if self.config.sub_norms:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{name}' has several scales; BitNet graphs have one a matrix."
            )
        scales = np.broadcast_to(trits.scale, (shape[0], trits.scale.shape[-1]))
        return BlockTernary.from_trits(trits.values[rows], scales[rows])

    def _from_floats(self, name: str, rows: slice | np.ndarray) -> Linear:
        values, kind = self._finite(name)[rows], self.checkpoint.tensors[name].type
        if not self.config.activation_quant:
            if (found := ternary_blocks(values)) is None:
                return jnp.asarray(values)
            trits, scale = found
            one = scale.ndim == 0
            return PackedTernary.from_trits(trits, float(scale)) if one else BlockTernary.from_trits(trits, scale)
        if kind not in MASTERS:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{name}' is {kind}, which has lost the trits of its matrix. "
                f"Convert the model with this matrix in F16 or a ternary type."
            )
        return PackedTernary.from_trits(*ternarise(values, kind))

    def _rows(self, part: str, out: int) -> slice | np.ndarray:
        """Where each row of the graph's matrix lies in the file's: llama.cpp pairs `llama`'s q and k for its rope.

        Row p · head_dim / 2 + j of a head (p is 0 or 1) is stored as row 2 · j + p; source: docs/formats.md §2.11.
        """
        paired = self.checkpoint.format == "gguf" and self.checkpoint.metadata["general.architecture"] == "llama"
        if not paired or part not in ("attn_q", "attn_k"):
            return slice(None)
        return np.arange(out).reshape(-1, self.config.head_dim // 2, 2).swapaxes(1, 2).reshape(-1)

    def _checked(self, part: str, shape: tuple[int, ...], layer: int | None) -> str:
        name = tensor_name(self.checkpoint, part, layer)
        if name not in self.checkpoint.tensors:
            raise FormatError(f"{self.checkpoint.path}: there is no tensor '{name}', which the graph needs.")
        found = self.checkpoint.tensors[name].shape
        if found != shape:
            raise FormatError(
                f"{self.checkpoint.path}: tensor '{name}' has shape {list(found)}; the metadata makes it {list(shape)}."
            )
        self.used.add(name)
        return name

    def refuse_unused(self) -> None:
        """A tensor the graph has no place for (a bias, a norm, a scale) would change the result: say so."""
        scales = {f"{name}_scale" for name in self.used}
        unused = [name for name in self.checkpoint.tensors if name not in self.used | scales]
        if unused:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{unused[0]}' has no place in the graph"
                + (f" (nor have {len(unused) - 1} others)" if len(unused) > 1 else "")
                + "; running the model without it would give another model's answers."
            )
