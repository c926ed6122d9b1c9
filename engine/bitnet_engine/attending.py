"""Attention in a model: the cache of keys and values, and who reads it how.

    mixed, all_k, all_v = attend("prompt", True, as_is, q, k, v, (cache.k, cache.v), positions, layer)

| phase | rows of q | attend to | on CPU computed by |
|---|---|---|---|
| scoring | a sequence's | one another | XLA, for the same bits whatever multiplies trits |
| prompt | a sequence's | one another | the native kernel |
| decoding | one | the cache, itself included | the native kernel, to the bit as that row of a prompt |

Where the native kernel cannot run, or the numerics round on the way, all is XLA's. Knows no weights; `model` makes q, k
and v, and `layers` and `kernels` compute.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bitnet_engine import kernels
from bitnet_engine.config import Config
from bitnet_engine.layers import Keep, attention
from bitnet_engine.numerics import CacheType
from bitnet_engine.packing import one_of

Phase = Literal["scoring", "prompt", "decoding"]
Rows = Float[Array, "seq kv_heads head_dim"]


class KVCache(eqx.Module):
    """Keys (rotated) and values of every position so far; rows from `length` on mean nothing yet.

    In float16 each is rounded once, as it is written; what is read is widened, and sums are float32's.
    """

    k: Float[Array, "layer kv_seq kv_heads head_dim"]
    v: Float[Array, "layer kv_seq kv_heads head_dim"]
    length: Int[Array, ""]

    @classmethod
    def empty(cls, config: Config, max_len: int, kind: CacheType = CacheType.FLOAT32) -> "KVCache":
        """Return a cache of zeros for `max_len` positions."""
        shape, dtype = (config.layers, max_len, config.kv_heads, config.head_dim), jnp.dtype(kind.value)
        zeros = kernels.zeros if kernels.backend().name == "native" else jnp.zeros
        return cls(zeros(shape, dtype), zeros(shape, dtype), jnp.int32(0))


def attend(
    phase: Phase,
    native: bool,
    keep: Keep,
    q: Float[Array, "seq heads head_dim"],
    k: Rows,
    v: Rows,
    caches: tuple[Array, Array],
    positions: Int[Array, " seq"],
    index: Int[Array, ""],
) -> tuple[Float[Array, "seq heads_x_dim"], Array, Array]:
    """Write k and v into block `index` of the caches, and attend to all that is visible; return mixed, caches.

    What is attended to is what a cache holds, also where its rows are still at hand: a text has one meaning, however
    it is cut into prompt and steps.
    """
    native = native and q.shape[-1] % kernels.HEAD_STEP == 0
    k, v = (rows.astype(cache.dtype) for rows, cache in zip((k, v), caches, strict=True))
    if phase == "decoding" and native:
        mixed, all_k, all_v = kernels.attend_decode(q[0], k[0], v[0], *caches, index, positions[0])
        return mixed.reshape(1, -1), all_k, all_v
    at = (index, positions[0], 0, 0)
    all_k, all_v = (jax.lax.dynamic_update_slice(rows, new[None], at) for rows, new in zip(caches, (k, v), strict=True))
    if phase == "prompt" and native:
        return kernels.attend_prompt(q, k, v).reshape(q.shape[0], -1), all_k, all_v
    if phase == "decoding":
        k, v = one_of(all_k, index), one_of(all_v, index)
    return attention(q, _widened(k), _widened(v), positions, keep), all_k, all_v


def _widened(rows: Array) -> Array:
    # Behind the barrier: XLA drops a pair of casts as excess precision.
    return rows if rows.dtype == jnp.float32 else jax.lax.optimization_barrier(rows).astype(jnp.float32)
