"""The operations of a block, each a pure function of one sequence in float32.

    rms_norm, rope, attention, feed_forward activations

`keep` is called on every result that transformers holds in the model's own type: it rounds to bfloat16, or does
nothing. Nothing here knows of layers, caches' growth or files; `model` strings these together. Sources: transformers'
models/bitnet/modeling_bitnet.py, and llama.cpp's graphs where the two agree.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bitnet_engine.config import Activation

# Accelerators round float32 operands to bfloat16 or TF32 unless told otherwise.
_einsum = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)

Keep = Callable[[Array], Array]


def as_is(x: Array) -> Array:
    """Return x: float32 stays float32."""
    return x


def rms_norm(
    x: Float[Array, "*rows features"], gain: Float[Array, " features"], eps: float, keep: Keep = as_is
) -> Float[Array, "*rows features"]:
    """Return x / sqrt(mean(x²) + eps) · gain, the mean over the last axis."""
    mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return keep(keep(x / jnp.sqrt(mean_square + eps)) * gain)


def rope_tables(
    positions: Int[Array, " seq"], head_dim: int, theta: float, factors: tuple[float, ...] = (), keep: Keep = as_is
) -> tuple[Float[Array, "seq half"], Float[Array, "seq half"]]:
    """Return cos and sin of position · theta^(−2j / head_dim) / factors[j], all in float32; no factors are ones.

    bfloat16 would do harm here: it rounds position 257 to 256, and sin(257) is nowhere near sin(256).
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = np.float32(1.0) / np.float32(theta) ** exponents
    frequencies = frequencies / np.array(factors, np.float32) if factors else frequencies
    angles = positions.astype(jnp.float32)[:, None] * frequencies
    return keep(jnp.cos(angles)), keep(jnp.sin(angles))


def rope(
    x: Float[Array, "seq heads head_dim"],
    cos: Float[Array, "seq half"],
    sin: Float[Array, "seq half"],
    keep: Keep = as_is,
) -> Float[Array, "seq heads head_dim"]:
    """Rotate pairs (j, j + head_dim/2), the convention ggml calls NEOX."""
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = cos[:, None], sin[:, None]
    left = keep(first * cos) - keep(second * sin)
    right = keep(second * cos) + keep(first * sin)
    return keep(jnp.concatenate([left, right], axis=-1))


def attention(
    q: Float[Array, "seq heads head_dim"],
    k: Float[Array, "kv_seq kv_heads head_dim"],
    v: Float[Array, "kv_seq kv_heads head_dim"],
    positions: Int[Array, " seq"],
    keep: Keep = as_is,
) -> Float[Array, "seq heads_x_dim"]:
    """Causal grouped-query attention: query head h reads key/value head h // (heads / kv_heads).

    Row j of k and v holds position j; rows after a query's own position are masked out, so a cache may
    hold anything there but NaN.
    """
    seq, heads, head_dim = q.shape
    kv_seq, kv_heads, _ = k.shape
    grouped = q.reshape(seq, kv_heads, heads // kv_heads, head_dim)
    scores = keep(keep(_einsum("skgd,tkd->kgst", grouped, k)) / np.float32(np.sqrt(head_dim)))
    visible = jnp.arange(kv_seq)[None, :] <= positions[:, None]
    weights = keep(jax.nn.softmax(jnp.where(visible, scores, -jnp.inf), axis=-1))
    return keep(_einsum("kgst,tkd->skgd", weights, v)).reshape(seq, heads * head_dim)


def activate(gate: Float[Array, "seq ffn"], name: Activation, keep: Keep = as_is) -> Float[Array, "seq ffn"]:
    """Return relu(gate)² for `relu2`, gate · sigmoid(gate) for `silu`."""
    if name == "relu2":
        return keep(jnp.square(jnp.maximum(gate, 0)))
    return keep(gate * jax.nn.sigmoid(gate))
