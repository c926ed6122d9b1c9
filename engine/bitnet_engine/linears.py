"""One linear layer for every kind of matrix and every numerics.

    y = linear(x, w, Numerics.EXACT_INT8, "autobitlinear")        # [seq, in] → [seq, out]
    q, k, v = linears(x, [wq, wk, wv], numerics, kind)            # of one x, together

The linear class is the model's: `float` was trained without int8 activations. The numerics decide how the others'
are rounded. The default is `packing.bitlinear`; the rest is here.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bitnet_engine.config import LinearClass
from bitnet_engine.numerics import Numerics
from bitnet_engine.packing import (
    BlockTernary,
    Linear,
    PackedTernary,
    bitlinear,
    bitlinears,
    finite_rows,
    ternary_matmul,
    unpack,
)
from bitnet_engine.sharding import TABLE_STEP

Q8K = 256
"""Activations that share one scale in llama.cpp's Q8_K."""

TABLE_PIECE = 16 * TABLE_STEP
"""Rows of a head that are widened together."""

# Accelerators round float32 operands to bfloat16 or TF32 unless told otherwise.
_dot = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def to_bfloat16(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Round float32 to the nearest bfloat16, still as float32.

    Not two casts: XLA is free to drop such a pair as excess precision.
    """
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


def linear(
    x: Float[Array, "seq features"], w: Linear, numerics: Numerics, kind: LinearClass
) -> Float[Array, "seq out"]:
    """Return x · wᵀ, activations rounded as `numerics` says."""
    if numerics is Numerics.LLAMACPP_Q8K and not isinstance(w, jax.Array):
        return q8k_linear(x, w)
    if isinstance(w, PackedTernary) and kind != "float":
        if numerics is Numerics.EXACT_INT8:
            return bitlinear(x, w)
        if numerics is Numerics.HF_BF16:
            return auto_bit_linear(x, w) if kind == "autobitlinear" else bit_linear(x, w)
    if numerics is Numerics.HF_BF16:
        return to_bfloat16(_dot(x, to_bfloat16(_weights(w)).T))
    return float_linear(x, w)


def linears(
    x: Float[Array, "seq features"], ws: Sequence[Linear], numerics: Numerics, kind: LinearClass
) -> list[Float[Array, "seq _"]]:
    """Return `linear` of x and each matrix: ternary ones in one call, which quantises x once and waits once."""
    ternary = [w for w in ws if isinstance(w, PackedTernary)]
    if numerics is Numerics.EXACT_INT8 and kind != "float" and len(ternary) == len(ws):
        return bitlinears(x, ternary)
    return [linear(x, w, numerics, kind) for w in ws]


def float_linear(x: Float[Array, "seq features"], w: Linear) -> Float[Array, "seq out"]:
    """Return x · wᵀ in float32."""
    if isinstance(w, PackedTernary):
        return _dot(x, unpack(w).astype(jnp.float32).T) * w.scale
    return _dot(x, _weights(w).T)


def table_product(x: Float[Array, "seq features"], table: Float[Array, "rows features"]) -> Float[Array, "seq rows"]:
    """Return x · tableᵀ in float32, widening a table of 16 bits a piece at a time.

    Whole it would be widened whole, 1.3 GB beside 128 256 rows of 2560. Pieces are whole steps of rows, whatever the
    table's type: XLA's order of sums depends on the rest, which is another where devices share the table.
    """
    rows = table.shape[0]
    if rows < TABLE_PIECE:
        padded = jnp.pad(table, ((0, -rows % TABLE_STEP), (0, 0)))
        return _dot(x, padded.astype(jnp.float32).T)[:, :rows]

    def piece(index: Int[Array, ""], total: Float[Array, "seq rows"]) -> Float[Array, "seq rows"]:
        start = jnp.minimum(index * TABLE_PIECE, rows - TABLE_PIECE)  # the last one overlaps
        # XLA slices no bfloat16 on CPU. The barrier makes the table look as if it changed with `start`, without which
        # all of it is widened once, before the loop.
        stored, start = jax.lax.optimization_barrier((table, start))
        part = jax.lax.dynamic_slice_in_dim(stored, start, TABLE_PIECE).astype(jnp.float32)
        return jax.lax.dynamic_update_slice(total, _dot(x, part.T), (0, start))

    zeros = jnp.zeros((x.shape[0], rows), jnp.float32)
    return jax.lax.fori_loop(0, -(-rows // TABLE_PIECE), piece, zeros)


def _weights(w: Linear) -> Float[Array, "out features"]:
    if isinstance(w, PackedTernary):
        return unpack(w) * w.scale
    if isinstance(w, BlockTernary):
        return unpack(w) * jnp.repeat(w.scale, w.features // w.scale.shape[-1], axis=-1)
    return w


def quantize_q8k(
    x: Float[Array, "seq features"],
) -> tuple[Float[Array, "seq blocks q8k"], Float[Array, "seq blocks"]]:
    """Quantise blocks of 256 to whole numbers: returns q (as float32, −127 to 127) and d with x ≈ q · d.

    d is −max / 127, max the value of the largest magnitude with its sign; half rounds to even. Source: llama.cpp's
    ggml-quants.c, quantize_row_q8_K_ref.
    """
    blocks = x.reshape(x.shape[0], -1, Q8K)
    largest = jnp.take_along_axis(blocks, jnp.argmax(jnp.abs(blocks), -1, keepdims=True), -1)
    inverse = jnp.where(largest == 0, 0, -127.0 / jnp.where(largest == 0, 1, largest))
    q = jnp.minimum(127, jnp.round(inverse * blocks))
    return q, jnp.where(inverse == 0, 0, 1 / jnp.where(inverse == 0, 1, inverse))[..., 0]


def q8k_linear(x: Float[Array, "seq features"], w: PackedTernary | BlockTernary) -> Float[Array, "seq out"]:
    """Return x · wᵀ as llama.cpp's dot of TQ2_0 and Q8_K: exact sums in a block, float32 sums of blocks."""
    q, steps = quantize_q8k(x)
    count = q.shape[1]
    # [block, out, 256]: float32 is exact here, |sum| ≤ 127 · 256.
    trits = unpack(w).astype(jnp.float32).reshape(-1, count, Q8K).swapaxes(0, 1)
    blocked = w if isinstance(w, BlockTernary) else None
    scales = jnp.full((trits.shape[1], 1), w.scale) if blocked is None else blocked.scale
    scales = jnp.repeat(scales, count // scales.shape[-1], axis=-1)

    def add(
        total: Float[Array, "seq out"], block: tuple[Array, Array, Array, Array]
    ) -> tuple[Float[Array, "seq out"], None]:
        rows, step, columns, scale = block
        return total + _dot(rows, columns.T) * (step[:, None] * scale), None

    start = jnp.zeros((x.shape[0], trits.shape[1]), jnp.float32)
    return jax.lax.scan(add, start, (q.swapaxes(0, 1), steps.T, trits, scales.T))[0]


def auto_bit_linear(x: Float[Array, "seq features"], w: PackedTernary) -> Float[Array, "seq out"]:
    """Return transformers' AutoBitLinear in bfloat16: only the codes are computed in float32."""
    # torch computes 127 / tensor as its reciprocal, rounded, times 127; so below in bfloat16.
    scale = 127 * (1 / jnp.maximum(jnp.max(jnp.abs(x), axis=-1, keepdims=True), 1e-5))
    rounded = to_bfloat16(jnp.clip(jnp.round(x * scale), -128, 127) / scale)
    total = to_bfloat16(_dot(rounded, unpack(w).astype(jnp.float32).T))
    return to_bfloat16(total * to_bfloat16(w.scale))


def bit_linear(x: Float[Array, "seq features"], w: PackedTernary) -> Float[Array, "seq out"]:
    """Return transformers' BitLinear in bfloat16: even the codes of the activations are computed in it."""
    floor = to_bfloat16(jnp.float32(1e-5))
    largest = jnp.maximum(jnp.max(jnp.abs(x), axis=-1, keepdims=True), floor)
    scale = jnp.where(finite_rows(x)[:, None], to_bfloat16(127 * to_bfloat16(1 / largest)), jnp.nan)
    q = jnp.clip(jnp.round(to_bfloat16(x * scale)), -128, 127).astype(jnp.int8)
    total = to_bfloat16(ternary_matmul(q, w).astype(jnp.float32))
    # The file holds the reciprocal of our scale, in bfloat16: rounding gets it back.
    return to_bfloat16(total / to_bfloat16(scale * to_bfloat16(1 / w.scale)))
