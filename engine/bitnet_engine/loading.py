"""From a path to a Model that runs: the only place where files meet arrays.

    model = load("model-I2_S.gguf")

Tensors are read one at a time and packed at once, so the peak is one matrix over the model's own size. Names
are GGUF's inside; `naming` says what Hugging Face calls them.
"""

import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bitnet_engine.config import Config
from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint, QuantType, open_checkpoint
from bitnet_engine.model import Layers, Model, Weights
from bitnet_engine.naming import tensor_name
from bitnet_engine.packing import PackedTernary, absmean
from bitnet_engine.tokenizer import load_tokenizer

ROUNDING = {QuantType.BF16: np.dtype(jnp.bfloat16), QuantType.F16: np.dtype(np.float16)}


def load(path: str | os.PathLike[str]) -> Model:
    """Load the model at `path`, whatever its format.

    Raises:
        FormatError: the file is bad or lacks a tensor, or a tensor has the wrong shape.
        UnsupportedError: the file is sound but asks for something this engine does not compute.
        StorageError: the file cannot be read, or changed while it was read.
    """
    with open_checkpoint(path) as checkpoint:
        return load_checkpoint(checkpoint)


def load_checkpoint(checkpoint: Checkpoint) -> Model:
    """Load the model of an open checkpoint; raises as `load`."""
    config = Config.from_checkpoint(checkpoint)
    tokenizer = load_tokenizer(checkpoint)
    reader = _Reader(checkpoint, config)
    weights = reader.weights()
    reader.refuse_unused()
    return Model(config, weights, tokenizer)


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
            attn_q=self._ternary("attn_q", (q, c.embed)),
            attn_k=self._ternary("attn_k", (kv, c.embed)),
            attn_v=self._ternary("attn_v", (kv, c.embed)),
            attn_sub_norm=self._norms("attn_sub_norm", q),
            attn_output=self._ternary("attn_output", (c.embed, q)),
            ffn_norm=self._norms("ffn_norm", c.embed),
            ffn_gate=self._ternary("ffn_gate", (c.ffn, c.embed)),
            ffn_up=self._ternary("ffn_up", (c.ffn, c.embed)),
            ffn_sub_norm=self._norms("ffn_sub_norm", c.ffn),
            ffn_down=self._ternary("ffn_down", (c.embed, c.ffn)),
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

    def _ternary(self, part: str, shape: tuple[int, int]) -> PackedTernary:
        matrices = [self._matrix(part, shape, layer) for layer in range(self.config.layers)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *matrices)

    def _matrix(self, part: str, shape: tuple[int, int], layer: int) -> PackedTernary:
        name = self._checked(part, shape, layer)
        if not self.checkpoint.is_ternary(name):
            return PackedTernary.from_trits(*self._ternarise(name))
        trits = self.checkpoint.read_ternary(name)
        if (scale := trits.uniform_scale()) is None:
            raise UnsupportedError(
                f"{self.checkpoint.path}: tensor '{name}' has several scales; this engine runs one scale a matrix."
            )
        return PackedTernary.from_trits(trits.values, scale)

    def _ternarise(self, name: str) -> tuple[np.ndarray, float]:
        """Trits and scale of a float matrix: a master by absmean, a ternary one stored as floats as it is."""
        values = self._finite(name)
        largest = float(np.abs(values).max(initial=0))
        small = np.abs(values) <= 1e-6 * largest
        if largest and np.all(small | (np.abs(values) == largest)):
            # A second absmean would shrink the scale to its share of non-zeros (microsoft/BitNet 3b04140).
            return np.where(small, 0, np.sign(values)).astype(np.int8), largest
        trits, scale = absmean(values)
        # Transformers casts trits · scale back to the master's own type, and so rounds the scale.
        rounding = ROUNDING.get(self.checkpoint.tensors[name].type, np.dtype(np.float32))
        return trits, float(np.asarray(scale).astype(rounding))

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
