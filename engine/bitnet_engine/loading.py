"""From a path to a Model that runs: the only place where files meet arrays.

    model = load("model-I2_S.gguf")

Every weight lands where it stays (`buffers`): matrices are packed there as they are read, one a thread, and tables keep
the 16 bits they are stored in. So the peak is one matrix a thread over the model's own size; only stacks of floats, or
of several scales a matrix, are made twice. Names are GGUF's inside; `naming.py` says what Hugging Face calls them.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from bitnet_engine import buffers
from bitnet_engine.allocator import give_back
from bitnet_engine.config import ROPE_FREQS, Config, states_activation_quant
from bitnet_engine.devices import on_host
from bitnet_engine.errors import FormatError, SettingError, UnsupportedError
from bitnet_engine.formats import Checkpoint, I2SLayout, QuantType, Trits, open_checkpoint
from bitnet_engine.formats.hf import packed_scales
from bitnet_engine.linears import Q8K, to_bfloat16
from bitnet_engine.matrices import (
    check_shape,
    hf_order,
    is_factor,
    is_paired,
    read_finite,
    read_matrix,
    read_packed,
    read_rows,
    reordered,
)
from bitnet_engine.model import Layers, Model, Weights
from bitnet_engine.naming import NORM_IN, PROJECTIONS, tensor_name
from bitnet_engine.numerics import CacheType, Numerics
from bitnet_engine.packing import BlockTernary, Linear, PackedTernary, TernaryStack, stack
from bitnet_engine.tokenizer import load_tokenizer

_NARROW = {QuantType.F16: np.float16, QuantType.BF16: jnp.bfloat16}

_PIECE = 4 << 20
"""Bytes of a table that a thread reads at a time."""

MASTERS = (QuantType.F32, QuantType.F16, QuantType.BF16, QuantType.F64)


def load(
    path: str | os.PathLike[str],
    numerics: str = Numerics.EXACT_INT8,
    *,
    cache: str = CacheType.FLOAT32,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
    mesh: Mesh | None = None,
) -> Model:
    """Load the model at `path`, whatever its format, to run with the numerics and the type of cache of these names.

    A model trained without quantised activations has nothing for `exact-int8` to round: it becomes `float`.
    `i2s_layout` and `kernel_config` are those of `open_checkpoint`. The devices of `mesh` share the model (`sharding`).

    Raises:
        SettingError: there are no such numerics or cache, the two do not go together, or `i2s_layout` or
            `kernel_config` is of no tensor of the file.
        FormatError: the file is bad or lacks a tensor, or a tensor has the wrong shape.
        UnsupportedError: the file is sound but asks for something this engine does not compute.
        StorageError: the file cannot be read, or changed while it was read.
    """
    with open_checkpoint(path, i2s_layout=i2s_layout, kernel_config=kernel_config) as checkpoint:
        if mesh is None:
            return load_checkpoint(checkpoint, numerics, cache)
        with on_host():
            model = load_checkpoint(checkpoint, numerics, cache)
        return model.over(mesh)


def load_checkpoint(
    checkpoint: Checkpoint, numerics: str = Numerics.EXACT_INT8, cache: str = CacheType.FLOAT32
) -> Model:
    """Load the model of an open checkpoint; raises as `load`."""
    chosen, cache_type = Numerics.named(numerics), CacheType.named(cache)
    if chosen is Numerics.HF_BF16 and cache_type is CacheType.FLOAT16:
        raise SettingError(
            f"A cache of {cache_type} holds no bfloat16, which {chosen} computes in. Choose another type or numerics."
        )
    config = Config.from_checkpoint(checkpoint)
    tokenizer = load_tokenizer(checkpoint)
    reader = _Reader(checkpoint, config)
    weights = reader.weights()
    reader.refuse_unused()
    give_back()
    config = _settled(config, weights.layers)
    if chosen is Numerics.EXACT_INT8 and not config.activation_quant:
        chosen = Numerics.FLOAT
    _check_numerics(chosen, config, weights.layers, checkpoint)
    rounded = _rounded(weights) if chosen is Numerics.HF_BF16 else weights
    return Model(config, rounded, tokenizer, chosen, cache=cache_type)


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

    def rounded(leaf: Linear) -> Linear:
        if isinstance(leaf, ternary):
            return leaf
        return to_bfloat16(leaf) if leaf.dtype == jnp.float32 else leaf.astype(jnp.bfloat16)

    return jax.tree.map(rounded, weights, is_leaf=lambda leaf: isinstance(leaf, ternary))


Result = TypeVar("Result")


def _in_threads(work: Callable[[int], Result], items: Iterable[int]) -> list[Result]:
    """Return the results of `work` on each item, done side by side; of several errors the first item's is raised."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in running]
        finally:
            for future in running:
                future.cancel()


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
        token_embd = self._table("token_embd")
        return Weights(token_embd, layers, jnp.asarray(self._dense("output_norm", (c.embed,))), self._output())

    def _output(self) -> jax.Array | None:
        """The head where the file holds one; a config that unties it from the embedding must bring it."""
        name = tensor_name(self.checkpoint, "output")
        if name in self.checkpoint.tensors:
            return self._table("output")
        if self.checkpoint.format == "safetensors" and self.checkpoint.metadata.get("tie_word_embeddings") is not True:
            raise FormatError(
                f"{self.checkpoint.path}: config.json does not tie the word embeddings, and there is no tensor "
                f"'{name}'. Set tie_word_embeddings to true, or convert the model again with its head."
            )
        return None

    def _table(self, part: str) -> jax.Array:
        """A row a token, in the type it is stored in where that has 16 bits: who reads a row widens it, exactly."""
        name = self._checked(part, (self.config.vocab, self.config.embed), None)
        vocab, embed = self.config.vocab, self.config.embed
        table = buffers.empty((vocab, embed), np.dtype(_NARROW.get(self.checkpoint.tensors[name].type, np.float32)))
        if self.checkpoint.is_ternary(name):
            table[:] = read_finite(self.checkpoint, name)
            return buffers.hand_over(table)
        step = max(1, _PIECE // table[:1].nbytes)

        def read(start: int) -> None:
            read_rows(self.checkpoint, name, table, start, min(start + step, vocab))

        _in_threads(read, range(0, vocab, step))
        return buffers.hand_over(table)

    def _norms(self, part: str, features: int) -> jax.Array:
        return jnp.asarray(np.stack([self._dense(part, (features,), layer) for layer in range(self.config.layers)]))

    def _dense(self, part: str, shape: tuple[int, ...], layer: int | None = None) -> np.ndarray:
        return read_finite(self.checkpoint, self._checked(part, shape, layer))

    def _linear(self, part: str, shape: tuple[int, ...]) -> Linear:
        names = [self._matrix_name(part, shape, layer) for layer in range(self.config.layers)]
        order = hf_order(shape[0], shape[0] // self.config.head_dim) if is_paired(self.checkpoint, part) else None
        landing = TernaryStack(len(names), shape)
        # The first by itself: where it is not a matrix of one scale, no other is read twice.
        if self._land(landing, 0, names[0], order) and all(
            _in_threads(lambda layer: self._land(landing, layer, names[layer], order), range(1, len(names)))
        ):
            return landing.finish()
        return stack([self._matrix(name, order) for name in names])

    def _matrix_name(self, part: str, shape: tuple[int, ...], layer: int) -> str:
        name = self._checked(part, shape, layer)
        kind = self.checkpoint.tensors[name].type
        if self.config.activation_quant and not self.checkpoint.is_ternary(name) and kind not in MASTERS:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{name}' is {kind}, which has lost the trits of its matrix. "
                f"Convert the model with this matrix in F16 or a ternary type."
            )
        return name

    def _land(self, landing: TernaryStack, layer: int, name: str, order: np.ndarray | None) -> bool:
        """Read a matrix into its place; return False where it is none of trits and one scale."""
        stored = read_packed(self.checkpoint, name) if landing.tiled else None
        if stored is not None and landing.put_stored(layer, stored, order):
            return True
        trits = self._read(name, order)
        if isinstance(trits, np.ndarray) or (scale := trits.uniform_scale()) is None:
            return False
        landing.put(layer, trits.values, scale)
        return True

    def _read(self, name: str, order: np.ndarray | None) -> Trits | np.ndarray:
        found = read_matrix(self.checkpoint, name, master=self.config.activation_quant)
        if order is None:
            return found
        return found[order] if isinstance(found, np.ndarray) else reordered(found, order)

    def _matrix(self, name: str, order: np.ndarray | None) -> Linear:
        trits = self._read(name, order)
        if isinstance(trits, np.ndarray):
            return jnp.asarray(trits)
        if (scale := trits.uniform_scale()) is not None:
            return PackedTernary.from_trits(trits.values, scale)
        if self.config.activation_quant and states_activation_quant(self.checkpoint):
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
