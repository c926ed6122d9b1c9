"""The graphs of BitNet and Llama in plain numpy, float64, with a switch for each known mistake of an engine.

    model = NumpyModel(tensors, Shape(heads=4, kv_heads=2, head_dim=64), [Choices("relu2", 1e-5, 1e4)] * 7)
    model.logits(tokens)                                    # a LogitSource
    for operation in model.trace(tokens):                   # in graph order, one in memory at a time
        operation.name, operation.inputs, operation.output  # "blk.0.attn_q", ([seq, in],), [seq, out]

Shares no code with the engine, so that a mistake of the engine cannot hide itself here. Sources: transformers'
models/{bitnet,llama,qwen3}/modeling_*.py and docs/formats.md §4. It is a specification, not a way to run models:
every weight is float64 while it is used, and there is no cache.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Quantiser = Literal["row", "tensor", "block", "truncated", "wrapped", "unscaled", "none"]
Pairing = Literal["halves", "neighbours", "reversed", "none"]

BLOCK = 256
"""Activations that share one step in llama.cpp's Q8_K."""
FLOOR = 1e-5
"""The least absmax that transformers' ActQuant divides by."""

Ternary = tuple[np.ndarray, np.ndarray]
"""int8 trits [out, in] and multiply scales, `()` or [out, blocks]."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the columns of queries, keys and values divide into heads."""

    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class Choices:
    """What one block computes. The first three are the model's own; a default of the rest is what is right."""

    activation: Literal["relu2", "silu", "relu"]
    eps: float
    theta: float
    quantiser: Quantiser = "row"
    """How inputs of ternary matrices are rounded: `row` is int8 by each row's absmax; `none` leaves them."""
    pairing: Pairing = "halves"
    """Which two features rope turns: `halves` (j, j + head_dim/2) or `neighbours` (2j, 2j + 1)."""
    query_offset: int = 0
    """Positions by which queries are ahead of the keys they stand beside."""
    kv_map: Literal["groups", "modulo"] = "groups"
    """Key/value head of query head h: h // (heads / kv_heads), or h % kv_heads."""
    mask: bool = True
    attention_scale: Literal["root", "dimension", "one"] = "root"
    """What scores are divided by: √head_dim, head_dim, or nothing."""
    padded_keys: int = 0
    """Rows of zeros behind the keys that every query sees."""
    centred: bool = False
    """Norms subtract the mean first, as LayerNorm does."""
    activated: Literal["gate", "up"] = "gate"
    float16_ffn: bool = False
    """The gated product is computed in float16."""
    skipped: frozenset[str] = frozenset()
    """Operations that hand on their first input."""
    empty: frozenset[str] = frozenset()
    """Operations that give zeros."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation as it was computed."""

    name: str
    """A tensor's name without `.weight`, or `blk.N.` and one of rope_q, rope_k, attention, attn_residual,
    ffn_activation, ffn_residual."""
    inputs: tuple[np.ndarray, ...]
    output: np.ndarray


Step = Generator[Operation, None, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class NumpyModel:
    """A model: weights by GGUF name (`blk.0.attn_q.weight`), and the choices of every block and of the head."""

    tensors: Mapping[str, "np.ndarray | Ternary"]
    """float32 vectors and matrices, or `Ternary`. A norm that is absent is not in the graph; an absent
    `output.weight` is the embedding."""
    shape: Shape
    choices: Sequence[Choices]
    """One a block, and one more for the last norm and the head."""

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return float32 [seq, vocab]; row i follows tokens[: i + 1]."""
        output = np.empty(0)
        for operation in self.trace(tokens):
            output = operation.output
        return output.astype(np.float32)

    def trace(self, tokens: Sequence[int]) -> Iterator[Operation]:
        """Yield every operation of the graph in order; the last one's output is the logits, float64."""
        ids = np.asarray(tokens, np.int64)
        hidden = yield from self._step("token_embd", self.choices[-1], lambda ids: self._floats("token_embd")[ids], ids)
        for layer in range(len(self.choices) - 1):
            hidden = yield from self._attention_block(layer, hidden)
            hidden = yield from self._ffn_block(layer, hidden)
        last = self.choices[-1]
        hidden = yield from self._norm("output_norm", last, hidden)
        head = "output" if "output.weight" in self.tensors else "token_embd"
        yield from self._step("output", last, lambda x: x @ self._floats(head).T, hidden)

    def _attention_block(self, layer: int, hidden: np.ndarray) -> Step:
        c, at = self.choices[layer], f"blk.{layer}."
        x = yield from self._norm(f"{at}attn_norm", c, hidden)
        q = yield from self._linear(f"{at}attn_q", c, x)
        k = yield from self._linear(f"{at}attn_k", c, x)
        v = yield from self._linear(f"{at}attn_v", c, x)
        q, k, v = (flat.reshape(len(x), -1, self.shape.head_dim) for flat in (q, k, v))
        q = yield from self._norm(f"{at}attn_q_norm", c, q)
        k = yield from self._norm(f"{at}attn_k_norm", c, k)
        q = yield from self._step(f"{at}rope_q", c, lambda heads: rotate(heads, c, c.query_offset), q)
        k = yield from self._step(f"{at}rope_k", c, lambda heads: rotate(heads, c, 0), k)
        mixed = yield from self._step(f"{at}attention", c, lambda q, k, v: self._attend(c, q, k, v), q, k, v)
        mixed = yield from self._norm(f"{at}attn_sub_norm", c, mixed)
        branch = yield from self._linear(f"{at}attn_output", c, mixed)
        return (yield from self._step(f"{at}attn_residual", c, np.add, hidden, branch))

    def _ffn_block(self, layer: int, hidden: np.ndarray) -> Step:
        c, at = self.choices[layer], f"blk.{layer}."
        x = yield from self._norm(f"{at}ffn_norm", c, hidden)
        gate = yield from self._linear(f"{at}ffn_gate", c, x)
        up = yield from self._linear(f"{at}ffn_up", c, x)
        gated = yield from self._step(f"{at}ffn_activation", c, lambda gate, up: glu(gate, up, c), gate, up)
        gated = yield from self._norm(f"{at}ffn_sub_norm", c, gated)
        branch = yield from self._linear(f"{at}ffn_down", c, gated)
        return (yield from self._step(f"{at}ffn_residual", c, np.add, hidden, branch))

    def _step(self, name: str, c: Choices, compute: Callable[..., np.ndarray], *inputs: np.ndarray) -> Step:
        part = name.rpartition(".")[2]
        output = inputs[0] if part in c.skipped else compute(*inputs)
        output = np.zeros_like(output) if part in c.empty else output
        yield Operation(name, inputs, output)
        return output

    def _norm(self, name: str, c: Choices, x: np.ndarray) -> Step:
        if f"{name}.weight" not in self.tensors:
            return x
        return (yield from self._step(name, c, lambda x: norm(x, self._floats(name), c), x))

    def _linear(self, name: str, c: Choices, x: np.ndarray) -> Step:
        return (yield from self._step(name, c, lambda x: linear(x, self.tensors[f"{name}.weight"], c.quantiser), x))

    def _floats(self, name: str) -> np.ndarray:
        return weights(self.tensors[f"{name}.weight"])

    def _attend(self, c: Choices, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return [seq, heads · head_dim] of queries [seq, heads, head_dim] over keys and values."""
        seq, heads = len(q), np.arange(self.shape.heads)
        group = self.shape.heads // self.shape.kv_heads
        source = heads % self.shape.kv_heads if c.kv_map == "modulo" else heads // group
        padding = ((0, c.padded_keys), (0, 0), (0, 0))
        keys, values = np.pad(k, padding)[:, source], np.pad(v, padding)[:, source]
        dim = self.shape.head_dim
        divisor = {"root": np.sqrt(dim), "dimension": dim, "one": 1}[c.attention_scale]
        scores = np.einsum("shd,thd->hst", q, keys) / divisor
        if c.mask:
            columns = np.arange(seq + c.padded_keys)
            hidden = (columns > np.arange(seq)[:, None]) & (columns < seq)
            scores = np.where(hidden, -np.inf, scores)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return np.einsum("hst,thd->shd", shares, values).reshape(seq, -1)


def weights(tensor: "np.ndarray | Ternary") -> np.ndarray:
    """Return a tensor's numbers as float64."""
    if isinstance(tensor, tuple):
        trits, scale = tensor
        if scale.ndim:
            scale = np.repeat(scale, trits.shape[1] // scale.shape[1], axis=1)
        return trits.astype(np.float64) * scale
    return tensor.astype(np.float64)


def norm(x: np.ndarray, gain: np.ndarray, c: Choices) -> np.ndarray:
    """Return x / √(mean x² + eps) · gain over the last axis."""
    x = x - x.mean(-1, keepdims=True) if c.centred else x
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + c.eps) * gain


def linear(x: np.ndarray, tensor: "np.ndarray | Ternary", quantiser: Quantiser) -> np.ndarray:
    """Return x · Wᵀ; the inputs of a ternary matrix are rounded first."""
    rounded = quantised(x, quantiser) if isinstance(tensor, tuple) else x
    return rounded @ weights(tensor).T


def quantised(x: np.ndarray, quantiser: Quantiser) -> np.ndarray:
    """Return activations [seq, in] as they are after quantising and rescaling them."""
    if quantiser == "none":
        return x
    if quantiser == "block":
        return _q8k(x)
    axis = None if quantiser == "tensor" else -1
    largest = np.maximum(np.abs(x).max(axis, keepdims=True), FLOOR)
    if quantiser == "wrapped":
        # 128 levels and no clamp: int8 makes −128 of the largest positive value.
        return ((np.rint(x * 128 / largest) + 128) % 256 - 128) * largest / 128
    step = largest / 127
    codes = np.trunc(x / step) if quantiser == "truncated" else np.rint(x / step)
    return codes if quantiser == "unscaled" else codes * step


def _q8k(x: np.ndarray) -> np.ndarray:
    """Return x by llama.cpp's Q8_K: blocks of 256, d = −max / 127 with max the signed value farthest from 0."""
    blocks = x.reshape(len(x), -1, BLOCK)
    farthest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    step = np.where(farthest == 0, 1, farthest) / -127
    return (np.minimum(127, np.rint(blocks / step)) * step).reshape(x.shape)


def rotate(x: np.ndarray, c: Choices, offset: int) -> np.ndarray:
    """Return [seq, heads, head_dim] with each pair of features turned by position · theta^(−2j / head_dim)."""
    if c.pairing == "none":
        return x
    seq, heads, dim = x.shape
    angle = (np.arange(seq) + offset)[:, None] * c.theta ** (-np.arange(0, dim, 2) / dim)
    turn = np.exp((-1j if c.pairing == "reversed" else 1j) * angle)[:, None]
    if c.pairing == "neighbours":
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        return np.stack([turned.real, turned.imag], -1).reshape(seq, heads, dim)
    turned = (x[..., : dim // 2] + 1j * x[..., dim // 2 :]) * turn
    return np.concatenate([turned.real, turned.imag], -1)


def glu(gate: np.ndarray, up: np.ndarray, c: Choices) -> np.ndarray:
    """Return activation(gate) · up."""
    if c.activated == "up":
        gate, up = up, gate
    if c.float16_ffn:
        with np.errstate(over="ignore", invalid="ignore"):
            return (activated(gate.astype(np.float16), c) * up.astype(np.float16)).astype(np.float64)
    return activated(gate, c) * up


def activated(gate: np.ndarray, c: Choices) -> np.ndarray:
    """Return relu(gate)² for `relu2`, gate · sigmoid(gate) for `silu`, relu(gate) for `relu`."""
    if c.activation == "silu":
        with np.errstate(over="ignore"):  # exp of much becomes infinite, and the quotient 0, as it should
            return gate / (1 + np.exp(-gate))
    positive = np.maximum(gate, 0)
    return positive if c.activation == "relu" else positive * positive
