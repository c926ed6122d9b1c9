"""The parts of a forward pass, each alone in one compiled program over the index of a layer.

    body(config, numerics, layers, inputs)        # every ternary matrix, nothing else

A part is fed noise of the right shape and returns one number, so that its time is its own: results are neither read
back nor handed to what follows. Knows the model's operations, no clock.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bitnet_engine.attending import KVCache, attend
from bitnet_engine.config import Config
from bitnet_engine.layers import rms_norm
from bitnet_engine.linears import linears
from bitnet_engine.model import GATE_UP, QKV, Graph, Layers, Weights, last_head
from bitnet_engine.numerics import Numerics
from bitnet_engine.packing import Linear, PackedTernary, one_of, ternary_matmul


def widths(layers: Layers) -> tuple[int, ...]:
    """Return the input widths of the matrices, each once."""
    return tuple(sorted({_features(matrix) for matrix in layers.linears().values()}))


def _features(matrix: Linear) -> int:
    return matrix.shape[-1] if isinstance(matrix, jax.Array) else matrix.features


def _one(values: Float[Array, "*shape"]) -> Float[Array, ""]:
    # Behind the barrier: XLA would compute only the element that is looked at.
    return jax.lax.optimization_barrier(values).reshape(-1)[0]


@partial(jax.jit, static_argnames=("config", "numerics"))
def body(
    config: Config, numerics: Numerics, layers: Layers, inputs: dict[int, Float[Array, "seq features"]]
) -> Float[Array, ""]:
    """Multiply every matrix of every block with the rows of its width in `inputs`, together as the model does."""
    groups = (QKV, ("attn_output",), GATE_UP, ("ffn_down",))
    together = groups if config.input_norm_eps is None else [(part,) for part in layers.linears()]

    def block(total: Float[Array, ""], index: Int[Array, ""]) -> tuple[Float[Array, ""], None]:
        matrices = layers.at(index).linears()
        for group in together:
            x = inputs[_features(matrices[group[0]])]
            for y in linears(x, [matrices[part] for part in group], numerics, config.linear_class):
                total += _one(y)
        return total, None

    return jax.lax.scan(block, jnp.float32(0), jnp.arange(config.layers))[0]


@partial(jax.jit, static_argnames=("config", "numerics"), donate_argnames="cache")
def attention(
    config: Config,
    numerics: Numerics,
    q: Float[Array, "1 heads head_dim"],
    rows: tuple[Float[Array, "1 kv_heads head_dim"], Float[Array, "1 kv_heads head_dim"]],
    cache: KVCache,
) -> tuple[Float[Array, ""], KVCache]:
    """Do what decoding does between the matrices of every block: write one row of keys and values, attend to all.

    The cache passed in is consumed; the one returned is of the same length.
    """
    graph, positions = Graph(config, numerics, phase="decoding"), cache.length[None]

    def block(
        carry: tuple[Float[Array, ""], Array, Array], index: Int[Array, ""]
    ) -> tuple[tuple[Float[Array, ""], Array, Array], None]:
        total, *caches = carry
        mixed, k, v = attend(graph.phase, graph.native, graph.keep, q, *rows, (caches[0], caches[1]), positions, index)
        return (total + _one(mixed), k, v), None

    start = jnp.float32(0), cache.k, cache.v
    (total, k, v), _ = jax.lax.scan(block, start, jnp.arange(config.layers))
    return total, KVCache(k, v, cache.length)


@partial(jax.jit, static_argnames=("config", "numerics"))
def logits(
    config: Config, numerics: Numerics, weights: Weights, hidden: Float[Array, "1 embed"]
) -> Float[Array, " vocab"]:
    """Return the logits of one row: all of them, which is what a step has to write."""
    return last_head(Graph(config, numerics, phase="decoding"), weights, hidden)


@partial(jax.jit, static_argnames=("config", "numerics"))
def norms(
    config: Config, numerics: Numerics, layers: Layers, inputs: dict[int, Float[Array, "seq features"]]
) -> Float[Array, ""]:
    """Compute the norms of every block on rows of their width in `inputs`."""
    keep = Graph(config, numerics).keep
    gains = [layers.attn_norm, layers.attn_sub_norm, layers.ffn_norm, layers.ffn_sub_norm]

    def block(total: Float[Array, ""], index: Int[Array, ""]) -> tuple[Float[Array, ""], None]:
        for gain in gains:
            if gain is not None:
                total += _one(rms_norm(inputs[gain.shape[-1]], one_of(gain, index), config.rms_eps, keep))
        return total, None

    return jax.lax.scan(block, jnp.float32(0), jnp.arange(config.layers))[0]


@jax.jit
def fallback(q: Int[Array, "1 features"], w: PackedTernary) -> Int[Array, "1 out"]:
    """Return the sums of one row as they are computed from slabs, where no native kernel runs."""
    return ternary_matmul(q, w)


@jax.jit
def int8_dot(q: Int[Array, "1 features"], trits: Int[Array, "out features"]) -> Int[Array, "1 out"]:
    """Return the same sums from unpacked trits, by the dot that anybody would write first."""
    return jax.lax.dot_general(q, trits, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)
