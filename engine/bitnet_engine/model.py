"""A language model of the BitNet or Llama kind: weights, cache, and the three ways to run it.

    logits = model.logits(tokens)                            # every position, for scoring
    logits, cache = model.prefill(tokens, max_len=512)       # the last position, and a cache
    logits, cache = model.decode(token, cache)               # one more

All three are one function, `forward`: scoring is a prefill whose every row is kept. It knows nothing of files
(`load` builds a Model), of text beyond holding the tokenizer, or of sampling (`generate`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from bitnet_engine import kernels
from bitnet_engine.attending import KVCache, Phase, Rows, attend
from bitnet_engine.config import Config
from bitnet_engine.errors import BitnetError
from bitnet_engine.layers import Keep, activate, as_is, rms_norm, rope, rope_tables
from bitnet_engine.linears import linears, table_product, to_bfloat16
from bitnet_engine.naming import PROJECTIONS
from bitnet_engine.numerics import CacheType, Numerics
from bitnet_engine.packing import Linear, PackedTernary, one_of
from bitnet_engine.sharding import ONE_DEVICE, WHOLE, Split
from bitnet_engine.tokenizer import Tokenizer

QKV, GATE_UP = ("attn_q", "attn_k", "attn_v"), ("ffn_gate", "ffn_up")
"""Matrices that multiply one input, and are multiplied together."""
SMALLEST_BUCKET = 32
Tap = Callable[[str, Array], Array]
"""Sees a result by name, and hands it on; `capturing` keeps what it sees."""
RESULTS: dict[str, str] = {part: part for part in PROJECTIONS} | {
    "attn_q": "Qcur",
    "attn_k": "Kcur",
    "attn_v": "Vcur",
    "attn_output": "attn_out",
}
"""What llama.cpp calls the product of each matrix."""


class Layers(eqx.Module):
    """The weights of all blocks, stacked along a leading layer axis."""

    attn_norm: Float[Array, "layer embed"]
    attn_q: Linear
    attn_k: Linear
    attn_v: Linear
    attn_q_norm: Float[Array, "layer head_dim"] | None
    attn_k_norm: Float[Array, "layer head_dim"] | None
    attn_sub_norm: Float[Array, "layer heads_x_dim"] | None
    attn_output: Linear
    ffn_norm: Float[Array, "layer embed"]
    ffn_gate: Linear
    ffn_up: Linear
    ffn_sub_norm: Float[Array, "layer ffn"] | None
    ffn_down: Linear
    input_norms: dict[str, Float[Array, "layer _"]]
    """By matrix: the gain of the norm of its own input. Empty where the matrices have none."""

    def linears(self) -> dict[str, Linear]:
        """Return the matrices by name."""
        return {name: getattr(self, name) for name in PROJECTIONS}

    def at(self, layer: Int[Array, ""]) -> "Layers":
        """Return the weights of one block."""
        return jax.tree.map(partial(_at, layer), self, is_leaf=lambda leaf: isinstance(leaf, PackedTernary))


def _at(layer: Int[Array, ""], stacked: PackedTernary | Array) -> PackedTernary | Array:
    return stacked.at(layer) if isinstance(stacked, PackedTernary) else one_of(stacked, layer)


class Weights(eqx.Module):
    """Everything a forward pass reads. `output` is None where the head is tied to the embedding.

    Both tables are in the type of their file where that has 16 bits; a row is widened where it is read.
    """

    token_embd: Float[Array, "vocab embed"]
    layers: Layers
    output_norm: Float[Array, " embed"]
    output: Float[Array, "vocab embed"] | None


@dataclass(frozen=True)
class Model:
    """A loaded model: config + weights + tokenizer. A `LogitSource` for parity."""

    config: Config
    weights: Weights
    tokenizer: Tokenizer
    numerics: Numerics = Numerics.EXACT_INT8
    split: Split = ONE_DEVICE
    """Over which devices `weights` are shared."""
    cache: CacheType = CacheType.FLOAT32
    """What keys and values are kept in, and so attended to as."""

    def over(self, mesh: Mesh) -> "Model":
        """Return the same model shared by the devices of `mesh` (`sharding.mesh_of`). Its logits are the same bits."""
        split = Split.over(mesh, self.config)
        return replace(self, weights=split.place(self.weights), split=split)

    def on(self, device: Any) -> "Model":
        """Return the same model on one of `jax.devices()`, to run there beside others."""
        return replace(self, weights=jax.device_put(self.weights, device))

    def logits(self, tokens: Sequence[int]) -> Float[np.ndarray, "seq vocab"]:
        """Return the next-token logits after every prefix of `tokens`, float32.

        Raises:
            BitnetError: no tokens, more than the model has positions for, or an id outside the vocabulary.
        """
        padded = self._padded(tokens, self.config.max_positions)
        return np.asarray(score(self.config, self.numerics, self.weights, padded, self.split, self.cache))[
            : len(tokens)
        ]

    def prefill(self, tokens: Sequence[int], max_len: int) -> tuple[Float[Array, " vocab"], KVCache]:
        """Run a prompt; return the logits after its last token and a cache with room for `max_len` positions.

        Raises:
            BitnetError: as `logits`, or the prompt is longer than `max_len`.
        """
        limit = min(max_len, self.config.max_positions)
        return _prefill(
            self.config,
            self.numerics,
            limit,
            self.weights,
            self._padded(tokens, limit),
            jnp.int32(len(tokens)),
            self.split,
            self.cache,
        )

    def decode(self, token: int, cache: KVCache) -> tuple[Float[Array, " vocab"], KVCache]:
        """Run one more token. The cache passed in is consumed: its memory becomes the returned one's.

        Raises:
            BitnetError: the cache is full (it takes `max_len` tokens in all, prompt included), or the id is
                outside the vocabulary.
        """
        if int(cache.length) >= cache.k.shape[1]:
            raise BitnetError(f"The cache is full: it was made for {cache.k.shape[1]} positions.")
        self._check_ids(np.asarray([token]))
        return _decode(self.config, self.numerics, self.weights, jnp.asarray([token], jnp.int32), cache, self.split)

    def compile_scoring(self, count: int) -> None:
        """Compile what `logits` of `count` tokens runs, so that the first call takes no longer than the others."""
        ids = jax.ShapeDtypeStruct((bucket(count, self.config.max_positions),), jnp.int32)
        score.lower(self.config, self.numerics, self.weights, ids, self.split, self.cache).compile()

    def compile_generation(self, count: int, max_len: int) -> None:
        """Compile what `prefill` of `count` tokens with this `max_len` runs, and `decode` after it."""
        limit = min(max_len, self.config.max_positions)
        ids, number = (jax.ShapeDtypeStruct(shape, jnp.int32) for shape in ((bucket(count, limit),), ()))
        prefill = _prefill.lower(self.config, self.numerics, limit, self.weights, ids, number, self.split, self.cache)
        # Decode takes the cache as prefill leaves it: on a mesh, where it leaves it.
        places = prefill.compile().output_shardings[1]
        cache = jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.split.mesh and place),
            jax.eval_shape(partial(KVCache.empty, self.config, limit, self.cache)),
            places,
        )
        token = jax.ShapeDtypeStruct((1,), jnp.int32)
        _decode.lower(self.config, self.numerics, self.weights, token, cache, self.split).compile()

    def _padded(self, tokens: Sequence[int], limit: int) -> Int[Array, " bucket"]:
        ids = np.asarray(tokens, np.int64)
        if not 0 < ids.size <= limit:
            raise BitnetError(f"{ids.size} tokens cannot be run at once; 1 to {limit} positions are allowed here.")
        self._check_ids(ids)
        padded = np.zeros(bucket(ids.size, limit), np.int32)
        padded[: ids.size] = ids
        return jnp.asarray(padded)

    def _check_ids(self, ids: np.ndarray) -> None:
        # XLA would clamp the index and answer for another token.
        outside = ids[(ids < 0) | (ids >= self.config.vocab)]
        if outside.size:
            raise BitnetError(f"Token {outside[0]} is outside the vocabulary of {self.config.vocab}.")


def bucket(length: int, limit: int) -> int:
    """Return the padded length for `length` tokens: 32, 128, 512, … but never over `limit`.

    Few shapes mean few compilations. Padding follows the tokens, where causality hides it from them.
    """
    size = SMALLEST_BUCKET
    while size < length:
        size *= 4
    return min(size, limit)


def untapped(_name: str, value: Array) -> Array:
    """Hand on a result that nobody looks at."""
    return value


@dataclass(frozen=True)
class Graph:
    """One model's choices, and the operations as it has them. Results are named as llama.cpp's eval-callback does."""

    config: Config
    numerics: Numerics
    tap: Tap = untapped
    split: Split = ONE_DEVICE
    """Over which devices; the config is then that of one of them (`Split.local`)."""
    phase: Phase = "scoring"
    """In decoding one token follows a cache; else the tokens are the first ones, and attend to one another."""

    @property
    def keep(self) -> Keep:
        """What is done to every result that the numerics do not keep in float32."""
        return to_bfloat16 if self.numerics is Numerics.HF_BF16 else as_is

    @property
    def native(self) -> bool:
        """Whether the native kernel may compute floats too: the head of one row, and attention where none is scored."""
        return self.numerics is not Numerics.HF_BF16 and kernels.backend().name == "native"

    def linears(
        self, x: Float[Array, "seq features"], layer: Layers, parts: Sequence[str]
    ) -> list[Float[Array, "seq _"]]:
        """Return x, through the norm of its own where a matrix has one, times each of these matrices of `layer`."""
        if (eps := self.config.input_norm_eps) is None:
            return self._products(x, layer, parts)
        products = []
        for part in parts:
            own = self.tap(f"{part}_norm_in", rms_norm(x, layer.input_norms[part], eps, self.keep))
            products += self._products(own, layer, [part])
        return products

    def _products(
        self, x: Float[Array, "seq features"], layer: Layers, parts: Sequence[str]
    ) -> list[Float[Array, "seq _"]]:
        matrices, outs = layer.linears(), self.config.block_shapes()
        products = linears(x, [matrices[part] for part in parts], self.numerics, self.config.linear_class)
        whole = [
            self.split.whole(y, outs[part][0]) if self.split.gathers(part) else y
            for part, y in zip(parts, products, strict=True)
        ]
        return [self.tap(RESULTS[part], y) for part, y in zip(parts, whole, strict=True)]

    def norm(self, name: str, x: Float[Array, "*rows features"], gain: Array | None) -> Float[Array, "*rows features"]:
        """Return the norm of x, the result `name`; x itself where the graph has no such norm."""
        return x if gain is None else self.tap(name, rms_norm(x, gain, self.config.rms_eps, self.keep))


Carry = tuple[Float[Array, "seq embed"], Array, Array]
"""What one block hands to the next: hidden states, and the keys and values of all layers."""


def forward(
    graph: Graph, weights: Weights, tokens: Int[Array, " seq"], cache: KVCache
) -> tuple[Float[Array, "seq embed"], KVCache]:
    """Run `tokens`; return final hidden states and the grown cache.

    Their positions follow the cache: of a graph that is decoding, which runs one token, or of an empty one.
    """
    config = graph.config
    positions = cache.length + jnp.arange(tokens.shape[0])
    tables = rope_tables(positions, config.head_dim, config.rope_theta, config.rope_factors, graph.keep)
    start = graph.split.rows(weights.token_embd, tokens), cache.k, cache.v
    (hidden, k, v), _ = jax.lax.scan(
        lambda carry, index: (block(graph, weights.layers, positions, tables, carry, index), None),
        start,
        jnp.arange(config.layers),
    )
    return hidden, KVCache(k, v, cache.length + tokens.shape[0])


def block(
    graph: Graph,
    layers: Layers,
    positions: Int[Array, " seq"],
    tables: tuple[Array, Array],
    carry: Carry,
    index: Int[Array, ""],
) -> Carry:
    """Run block number `index`: attention, then the feed-forward, each added to the hidden states.

    By the index of a layer, not its slices: the kernel reads the stack in place, where slices would be copies, and
    rows are written into the one cache that is carried, where stacking each layer's would copy it all.
    """
    hidden, all_k, all_v = carry
    layer = layers.at(index)
    q, k, v = _qkv(graph, layer, hidden, tables)
    mixed, all_k, all_v = attend(graph.phase, graph.native, graph.keep, q, k, v, (all_k, all_v), positions, index)
    mixed = graph.split.whole_heads(mixed)
    mixed = graph.norm("attn_sub_norm", graph.tap("kqv_out", mixed), layer.attn_sub_norm)
    hidden = graph.tap("ffn_inp", graph.keep(hidden + graph.linears(mixed, layer, ["attn_output"])[0]))
    hidden = graph.tap("l_out", graph.keep(hidden + _feed_forward(graph, layer, hidden)))
    return hidden, all_k, all_v


def _qkv(
    graph: Graph, layer: Layers, hidden: Float[Array, "seq embed"], tables: tuple[Array, Array]
) -> tuple[Float[Array, "seq heads head_dim"], Rows, Rows]:
    c, x = graph.config, graph.norm("attn_norm", hidden, layer.attn_norm)
    q, k, v = (y.reshape(y.shape[0], -1, c.head_dim) for y in graph.linears(x, layer, QKV))
    q, k = graph.norm("Qcur_normed", q, layer.attn_q_norm), graph.norm("Kcur_normed", k, layer.attn_k_norm)
    return graph.tap("q_rope", rope(q, *tables, graph.keep)), graph.tap("k_rope", rope(k, *tables, graph.keep)), v


def _feed_forward(graph: Graph, layer: Layers, hidden: Float[Array, "seq embed"]) -> Float[Array, "seq embed"]:
    x = graph.norm("ffn_norm", hidden, layer.ffn_norm)
    gate, up = graph.linears(x, layer, GATE_UP)
    gate = activate(gate, graph.config.activation, graph.keep)
    gated = graph.split.whole(graph.keep(gate * up), graph.config.ffn)
    gated = graph.tap("ffn_gate_par", gated)
    return graph.linears(graph.norm("ffn_sub_norm", gated, layer.ffn_sub_norm), layer, ["ffn_down"])[0]


def head(graph: Graph, weights: Weights, hidden: Float[Array, "seq embed"]) -> Float[Array, "seq vocab"]:
    """Return the logits of final hidden states."""
    # Neither side is quantised in the head.
    table = weights.token_embd if weights.output is None else weights.output
    x = graph.norm("result_norm", hidden, weights.output_norm)
    logits = graph.keep(table_product(x, table))
    return graph.tap("result_output", graph.split.whole(logits, graph.config.vocab))


def last_head(graph: Graph, weights: Weights, hidden: Float[Array, "1 embed"]) -> Float[Array, " vocab"]:
    """Return the logits of one row of final hidden states."""
    if not graph.native:
        return head(graph, weights, hidden)[0]
    table = weights.token_embd if weights.output is None else weights.output
    logits = kernels.lm_head(graph.norm("result_norm", hidden, weights.output_norm)[0], table)
    return graph.split.whole(logits[None], graph.config.vocab)[0]


@partial(jax.jit, static_argnames="split")
def embedded(weights: Weights, tokens: Int[Array, " seq"], split: Split) -> Float[Array, "seq embed"]:
    """Return what the first block is fed: the rows of `tokens`."""
    return split.run(lambda weights, tokens: split.rows(weights.token_embd, tokens), WHOLE, weights, tokens)


@partial(jax.jit, static_argnames=("config", "numerics", "split", "cache_type"))
def score(
    config: Config,
    numerics: Numerics,
    weights: Weights,
    tokens: Int[Array, " seq"],
    split: Split = ONE_DEVICE,
    cache_type: CacheType = CacheType.FLOAT32,
) -> Float[Array, "seq vocab"]:
    """Return the logits after every id of one padded sequence."""
    graph = Graph(split.local(config), numerics, split=split)

    def run(weights: Weights, tokens: Int[Array, " seq"]) -> Float[Array, "seq vocab"]:
        hidden, _ = forward(graph, weights, tokens, KVCache.empty(graph.config, tokens.shape[0], cache_type))
        return head(graph, weights, hidden)

    return split.run(run, WHOLE, weights, tokens)


@partial(jax.jit, static_argnames=("config", "numerics", "max_len", "split", "cache_type"))
def _prefill(
    config: Config,
    numerics: Numerics,
    max_len: int,
    weights: Weights,
    tokens: Int[Array, " seq"],
    length: Int[Array, ""],
    split: Split,
    cache_type: CacheType,
) -> tuple[Float[Array, " vocab"], KVCache]:
    graph = Graph(split.local(config), numerics, split=split, phase="prompt")

    def run(
        weights: Weights, tokens: Int[Array, " seq"], length: Int[Array, ""]
    ) -> tuple[Float[Array, " vocab"], KVCache]:
        hidden, cache = forward(graph, weights, tokens, KVCache.empty(graph.config, max_len, cache_type))
        last = jax.lax.dynamic_slice_in_dim(hidden, length - 1, 1)
        # Rows behind the prompt hold padding; decode overwrites each before any query can see it.
        return last_head(graph, weights, last), KVCache(cache.k, cache.v, length)

    cache = split.cache_specs(jax.eval_shape(partial(KVCache.empty, config, max_len, cache_type)))
    return split.run(run, (WHOLE, cache), weights, tokens, length)


@partial(jax.jit, static_argnames=("config", "numerics", "split"), donate_argnames="cache")
def _decode(
    config: Config, numerics: Numerics, weights: Weights, token: Int[Array, " one"], cache: KVCache, split: Split
) -> tuple[Float[Array, " vocab"], KVCache]:
    graph = Graph(split.local(config), numerics, split=split, phase="decoding")

    def run(weights: Weights, token: Int[Array, " one"], cache: KVCache) -> tuple[Float[Array, " vocab"], KVCache]:
        hidden, cache = forward(graph, weights, token, cache)
        return last_head(graph, weights, hidden), cache

    return split.run(run, (WHOLE, split.cache_specs(cache)), weights, token, cache)
