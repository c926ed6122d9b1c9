"""What a model computes on the way to its logits: the result of every operation, one layer in memory at a time.

    for part in capture(model, tokens):                  # the embedding, each layer, the head
        part.layer, part.values["Qcur"]                  # None or its number; float32 [seq, …]

Names are those of llama.cpp's eval-callback where it has one (docs/formats.md §4.2), without the layer's number; what
it calls twice has a name of its own here:

| value | of |
|---|---|
| inp_embd | the embedding |
| attn_norm, Qcur, Kcur, Vcur | the norm, and the three products |
| Qcur_normed, Kcur_normed | the norms of heads, where the graph has them |
| q_rope, k_rope | what attention multiplies |
| attn_q_norm_in … | the norm of one matrix's own input, where the graph has them |
| kqv_out, attn_sub_norm, attn_out, ffn_inp | attention, its norm, its product, and the sum with the layer's input |
| ffn_norm, ffn_gate, ffn_up, ffn_gate_par | the norm, two products, and activation(gate) · up |
| ffn_sub_norm, ffn_down, l_out | its norm, its product, and the sum |
| result_norm, result_output | the last norm, and the logits |

Runs the very block that `forward` scans over, compiled once and called a layer at a time. It writes no file and
compares nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bitnet_engine.attending import KVCache
from bitnet_engine.config import Config
from bitnet_engine.errors import BitnetError
from bitnet_engine.layers import rope_tables
from bitnet_engine.model import Carry, Graph, Model, Tap, Weights, block, embedded, head
from bitnet_engine.numerics import Numerics


@dataclass(frozen=True, eq=False)
class Captured:
    """The results of one part of a model, in the order they were computed."""

    layer: int | None
    """None of the embedding, before the layers, and of the head, behind them."""
    values: dict[str, np.ndarray]
    """float32 [seq, features], or [seq, heads, head_dim]."""


def capture(model: Model, tokens: Sequence[int]) -> Iterator[Captured]:
    """Run `tokens` and yield every result: first of the embedding, then of each layer, last of the head.

    `result_output` of the last part is what `model.logits` returns.

    Raises:
        BitnetError: no tokens, more than the model has positions for, or an id outside the vocabulary; or the model
            is split over several devices, none of which has a whole result.
    """
    if model.split.mesh is not None:
        raise BitnetError(f"The model is split ({model.split.describe()}). Load it without a mesh to capture results.")
    config, numerics, weights = model.config, model.numerics, model.weights
    padded = model._padded(tokens, config.max_positions)
    cache = KVCache.empty(config, padded.shape[0], model.cache)
    carry: Carry = (embedded(weights, padded, model.split), cache.k, cache.v)
    count = len(tokens)
    yield Captured(None, {"inp_embd": np.asarray(carry[0][:count])})
    for index in range(config.layers):
        carry, values = _layer(config, numerics, weights, carry, jnp.int32(index))
        yield Captured(index, _rows(values, count))
    yield Captured(None, _rows(_last(config, numerics, weights, carry[0]), count))


def _rows(values: dict[str, Array], count: int) -> dict[str, np.ndarray]:
    """Return the results without the rows of padding, which follow the tokens."""
    return {name: np.asarray(value[:count]) for name, value in values.items()}


@partial(jax.jit, static_argnames=("config", "numerics"))
def _layer(
    config: Config, numerics: Numerics, weights: Weights, carry: Carry, index: Int[Array, ""]
) -> tuple[Carry, dict[str, Array]]:
    seen: dict[str, Array] = {}
    graph = Graph(config, numerics, _into(seen))
    positions = jnp.arange(carry[0].shape[0])
    tables = rope_tables(positions, config.head_dim, config.rope_theta, config.rope_factors, graph.keep)
    return block(graph, weights.layers, positions, tables, carry, index), seen


@partial(jax.jit, static_argnames=("config", "numerics"))
def _last(config: Config, numerics: Numerics, weights: Weights, hidden: Float[Array, "seq embed"]) -> dict[str, Array]:
    seen: dict[str, Array] = {}
    head(Graph(config, numerics, _into(seen)), weights, hidden)
    return seen


def _into(seen: dict[str, Array]) -> Tap:
    def tap(name: str, value: Array) -> Array:
        seen[name] = value
        return value

    return tap
