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
from jax.sharding import Mesh

from bitnet_engine.config import ROPE_FREQS, Config, states_activation_quant
from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint, I2SLayout, QuantType, open_checkpoint
from bitnet_engine.formats.hf import packed_scales
from bitnet_engine.linears import Q8K, to_bfloat16
from bitnet_engine.matrices import check_shape, hf_order, is_factor, is_paired, read_finite, read_matrix, reordered
from bitnet_engine.model import Layers, Model, Weights
from bitnet_engine.naming import NORM_IN, PROJECTIONS, tensor_name
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
    mesh: Mesh | None = None,
) -> Model:
    """Load the model at `path`, whatever its format, to run with the numerics of that name.

    A model trained without quantised activations has nothing for `exact-int8` to round: it becomes `float`.
    `i2s_layout` and `kernel_config` are those of `open_checkpoint`. The devices of `mesh` share the model (`sharding`).

    Raises:
        SettingError: there are no such numerics, or `i2s_layout` or `kernel_config` is of no tensor of the file.
        FormatError: the file is bad or lacks a tensor, or a tensor has the wrong shape.
        UnsupportedError: the file is sound but asks for something this engine does not compute.
        StorageError: the file cannot be read, or changed while it was read.
    """
    with open_checkpoint(path, i2s_layout=i2s_layout, kernel_config=kernel_config) as checkpoint:
        model = load_checkpoint(checkpoint, numerics)
    return model if mesh is None else model.over(mesh)


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
        c, shapes = self.config, self.config.block_shapes()
        norms = {part: self._norms(part, *shape) for part, shape in shapes.items() if part not in PROJECTIONS}
        matrices = {part: self._linear(part, shapes[part]) for part in PROJECTIONS}
        layers = Layers(
            **matrices,
            attn_norm=norms["attn_norm"],
            attn_q_norm=norms.get("attn_q_norm"),
            attn_k_norm=norms.get("attn_k_norm"),
            attn_sub_norm=norms.get("attn_sub_norm"),
            ffn_norm=norms["ffn_norm"],
            ffn_sub_norm=norms.get("ffn_sub_norm"),
            input_norms={part.removesuffix(NORM_IN): gain for part, gain in norms.items() if part.endswith(NORM_IN)},
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
        return jnp.asarray(read_finite(self.checkpoint, self._checked(part, shape, layer)))

    def _linear(self, part: str, shape: tuple[int, ...]) -> Linear:
        return stack([self._matrix(part, shape, layer) for layer in range(self.config.layers)])

    def _matrix(self, part: str, shape: tuple[int, ...], layer: int) -> Linear:
        name, quantised = self._checked(part, shape, layer), self.config.activation_quant
        kind = self.checkpoint.tensors[name].type
        if quantised and not self.checkpoint.is_ternary(name) and kind not in MASTERS:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{name}' is {kind}, which has lost the trits of its matrix. "
                f"Convert the model with this matrix in F16 or a ternary type."
            )
        paired = is_paired(self.checkpoint, part)
        order = hf_order(shape[0], shape[0] // self.config.head_dim) if paired else None
        found = read_matrix(self.checkpoint, name, master=quantised)
        if isinstance(found, np.ndarray):
            return jnp.asarray(found if order is None else found[order])
        trits = found if order is None else reordered(found, order)
        if (scale := trits.uniform_scale()) is not None:
            return PackedTernary.from_trits(trits.values, scale)
        if quantised and states_activation_quant(self.checkpoint):
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{name}' has several scales; models whose activations are int8 have "
                f"one a matrix."
            )
        return BlockTernary.from_trits(trits.values, trits.scale)

    def _checked(self, part: str, shape: tuple[int, ...], layer: int | None) -> str:
        name = tensor_name(self.checkpoint, part, layer)
        if name not in self.checkpoint.tensors:
            raise FormatError(f"{self.checkpoint.path}: there is no tensor '{name}', which the graph needs.")
        check_shape(self.checkpoint, name, shape)
        self.used.add(name)
        return name

    def refuse_unused(self) -> None:
        """A tensor the graph has no place for (a bias, a norm, a scale) would change the result: say so."""
        used = self.used | packed_scales(self.checkpoint.tensors[name] for name in self.used)
        if self.checkpoint.metadata.get("general.architecture") == "llama":
            used.add(ROPE_FREQS)  # its numbers are in the config
        factors = {name for name in self.checkpoint.tensors if is_factor(self.checkpoint, name)}
        unused = [name for name in self.checkpoint.tensors if name not in used | factors]
        if unused:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{unused[0]}' has no place in the graph"
                + (f" (nor have {len(unused) - 1} others)" if len(unused) > 1 else "")
                + "; running the model without it would give another model's answers."
            )
