"""Ternary weights in memory, four trits a byte, and the two quantisers.

    w = PackedTernary.from_trits(trits, scale)        # trits int8 [out, in] in {-1, 0, 1}
    y = bitlinear(x, w)                               # int8 activations, int32 accumulation, one rescale

Two layouts, neither a file format. Slabs serve XLA: field f of byte (o, j) is the trit + 1 of row o, column
f·in/4 + j, so that unpacking one field gives a contiguous slab of columns and needs no shuffle. Tiles serve the native
kernel (`kernels`). Which one a PackedTernary has is settled when it is made; results are the same bits.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import lcm

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8

from bitnet_engine import buffers, kernels
from bitnet_engine.formats import StoredTrits

FIELDS = 4
_WORD = 4
"""Bytes of codes whose bits are counted together."""
ACTIVATION_LEVELS = 127.0
ABSMAX_FLOOR = 1e-5  # as transformers' ActQuant clamps it; an all-zero row must not divide by zero


class PackedTernary(eqx.Module):
    """A ternary matrix `trits · scale`, or a stack of them with a leading layer axis."""

    codes: UInt8[Array, "*stack rows bytes"]
    scale: Float[Array, "*layer"]
    features: int = eqx.field(static=True)
    """Input features; the packed axis is padded with zero trits."""
    tiled: int | None = eqx.field(static=True, default=None)
    """Output features of a matrix in the native kernel's tiles, which pad them; None where the codes are slabs."""
    layer: Int[Array, ""] | None = None
    """Which matrix of the stack this is, for kernels that find it there: slicing it out would copy it."""

    @classmethod
    def from_trits(cls, trits: np.ndarray, scale: float) -> "PackedTernary":
        """Pack int8 trits [out, in] with their multiply scale, for what multiplies in this process."""
        stack = TernaryStack(1, trits.shape)
        stack.put(0, trits, scale)
        return jax.tree.map(lambda leaf: leaf[0], stack.finish())

    def to_trits(self) -> np.ndarray:
        """Return the int8 trits [*layer, out, in]."""
        if self.tiled is not None:
            return np.asarray(kernels.unpack(self.codes, self.tiled, self.features))
        return _to_trits(self.codes, self.features)

    def at(self, layer: Int[Array, ""]) -> "PackedTernary":
        """Return one matrix of the stack."""
        if self.tiled is not None or kernels.backend().name == "pallas":
            return replace(self, scale=one_of(self.scale, layer), layer=layer)
        return replace(self, codes=one_of(self.codes, layer), scale=one_of(self.scale, layer))

    def cut(self) -> "PackedTernary":
        """Return the same matrices, of which `codes` hold some whole tiles or rows only."""
        return self if self.tiled is None else replace(self, tiled=self.codes.shape[-2] * kernels.BLOCK_ROWS)


class TernaryStack:
    """The ternary matrices of all layers while they are read: each is packed where it stays, so that none is copied.

    stack = TernaryStack(30, (2560, 2560))
    stack.put(layer, trits, scale)              # of each layer, in any order, from any thread
    weights = stack.finish()                    # a PackedTernary [layer, …]; the stack is not touched again
    """

    def __init__(self, layers: int, shape: tuple[int, ...]) -> None:
        self._shape = shape[0], shape[1]
        self.tiled = kernels.backend().name == "native"
        """Whether it takes what a file holds as it is; slabs take trits only."""
        each = kernels.tiles_shape(*self._shape) if self.tiled else (shape[0], -(-shape[1] // FIELDS))
        self._codes = buffers.empty((layers, *each), np.dtype(np.uint8))
        self._scales = np.zeros(layers, np.float32)

    def put(self, layer: int, trits: np.ndarray, scale: float) -> None:
        """Pack int8 trits [out, in] as the matrix of `layer`."""
        self._scales[layer] = scale
        if self.tiled:
            kernels.pack("trits", np.ascontiguousarray(trits, np.int8), self._shape, self._codes[layer])
        else:
            self._codes[layer] = pack(trits)

    def put_stored(self, layer: int, stored: StoredTrits, order: np.ndarray | None) -> bool:
        """Pack what a file holds as the matrix of `layer`, its row `order[n]` as row n; for tiles only.

        Returns False, with nothing packed that means anything, where a code is no trit's.
        """
        self._scales[layer] = stored.scale
        data = np.frombuffer(stored.data, np.uint8)
        return kernels.pack(stored.packing, data, self._shape, self._codes[layer], order)

    def finish(self) -> PackedTernary:
        """Return the stack, over the memory that was filled."""
        tiled = self._shape[0] if self.tiled else None
        return PackedTernary(buffers.hand_over(self._codes), jnp.asarray(self._scales), self._shape[1], tiled)


class BlockTernary(eqx.Module):
    """A ternary matrix with a scale for each of a row's equal blocks, or a stack of them.

    Models trained in parallel shards (TriLM) have a scale a shard, along rows or along columns.
    """

    codes: UInt8[Array, "*layer out in_packed"]
    scale: Float[Array, "*layer out blocks"]
    features: int = eqx.field(static=True)

    @classmethod
    def from_trits(cls, trits: np.ndarray, scale: np.ndarray) -> "BlockTernary":
        """Pack int8 trits [out, in] with multiply scales that broadcast to [out, blocks]."""
        rows = np.broadcast_to(scale, (trits.shape[0], scale.shape[-1] if scale.ndim else 1))
        return cls(jnp.asarray(pack(trits)), jnp.asarray(rows, jnp.float32), trits.shape[1])

    def to_trits(self) -> np.ndarray:
        """Return the int8 trits [*layer, out, in]."""
        return _to_trits(self.codes, self.features)

    def split(self, blocks: int) -> "BlockTernary":
        """Return the same matrix with every row in `blocks` blocks, a multiple of those it has."""
        finer = jnp.repeat(self.scale, blocks // self.scale.shape[-1], axis=-1)
        return BlockTernary(self.codes, finer, self.features)


Linear = PackedTernary | BlockTernary | Array
"""A matrix [*layer, out, in] that `linears.linear` multiplies with: an Array is dense, float32."""


def one_of(stacked: Shaped[Array, " layer *part"], layer: Int[Array, ""]) -> Shaped[Array, " *part"]:
    """Return one layer's part of a stack."""
    return jax.lax.dynamic_index_in_dim(stacked, layer, keepdims=False)


def stack(matrices: list[Linear]) -> Linear:
    """Stack the matrices of all layers, as the least general kind that holds each of them exactly."""
    if any(isinstance(matrix, jax.Array) for matrix in matrices):
        return jnp.stack([_dense(matrix) for matrix in matrices])
    if any(isinstance(matrix, BlockTernary) for matrix in matrices):
        blocked = [_blocked(matrix) for matrix in matrices]
        blocks = lcm(*(matrix.scale.shape[-1] for matrix in blocked))
        matrices = [matrix.split(blocks) for matrix in blocked]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *matrices)


def _blocked(matrix: Linear) -> BlockTernary:
    assert not isinstance(matrix, jax.Array)
    if isinstance(matrix, BlockTernary):
        return matrix
    return BlockTernary.from_trits(matrix.to_trits(), np.asarray(matrix.scale))


def _dense(matrix: Linear) -> Array:
    if isinstance(matrix, jax.Array):
        return matrix
    blocked = _blocked(matrix)
    scale = jnp.repeat(blocked.scale, matrix.features // blocked.scale.shape[-1], axis=-1)
    return jnp.asarray(matrix.to_trits(), jnp.float32) * scale


def pack(trits: np.ndarray) -> np.ndarray:
    """Return the uint8 codes [out, ceil(in / 4)] of int8 trits [out, in]."""
    columns = -trits.shape[1] % FIELDS
    codes = np.pad(trits, ((0, 0), (0, columns))).astype(np.uint8) + np.uint8(1)
    slabs = codes.reshape(codes.shape[0], FIELDS, -1)
    return slabs[:, 0] | slabs[:, 1] << 2 | slabs[:, 2] << 4 | slabs[:, 3] << 6


def _to_trits(codes: Array, features: int) -> np.ndarray:
    planes = [(np.asarray(codes) >> 2 * field & 3).astype(np.int8) - 1 for field in range(FIELDS)]
    return np.concatenate(planes, axis=-1)[..., :features]


def unpack(w: PackedTernary | BlockTernary) -> Int[Array, "out features"]:
    """Return the int8 trits of one matrix, inside a compiled program."""
    codes = w.codes
    if isinstance(w, PackedTernary):
        codes = codes if w.layer is None else one_of(codes, w.layer)
        if w.tiled is not None:
            return kernels.unpack(codes, w.tiled, w.features)
    planes = [(codes >> 2 * field & 3).astype(jnp.int8) - jnp.int8(1) for field in range(FIELDS)]
    return jnp.concatenate(planes, axis=-1)[:, : w.features]


def finite_rows(x: Float[Array, "seq features"]) -> Bool[Array, " seq"]:
    """Return which rows hold neither NaN nor infinity.

    Asked wherever codes are made: XLA's max drops NaN on some shapes and int8 has none, so that an overflow would
    come out as a number.
    """
    return jnp.all(jnp.isfinite(x), axis=-1)


def quantize_activations(
    x: Float[Array, "seq features"],
) -> tuple[Int[Array, "seq features"], Float[Array, " seq"]]:
    """Quantise each row by its absmax to int8: returns q and s with x ≈ q / s.

    Half rounds to even; source: transformers' integrations/bitnet.py, ActQuant. A row that is not finite has a NaN
    scale, and its q means nothing.
    """
    scale = ACTIVATION_LEVELS / jnp.maximum(jnp.max(jnp.abs(x), axis=-1), ABSMAX_FLOOR)
    scale = jnp.where(finite_rows(x), scale, jnp.nan)
    q = jnp.clip(jnp.round(x * scale[:, None]), -ACTIVATION_LEVELS - 1, ACTIVATION_LEVELS)
    return q.astype(jnp.int8), scale


def ternary_matmul(q: Int[Array, "seq features"], w: PackedTernary | BlockTernary) -> Int[Array, "seq out"]:
    """Return the exact integer sums q · tritsᵀ in int32 (|sum| ≤ 128 · features).

    Of slabs, one int8 dot a field. XLA on CPU has no fast path for one row: it is counted bit by bit, or computed
    beside a row of zeros where its slabs are no whole words.
    """
    if isinstance(w, PackedTernary) and w.tiled is not None:
        return kernels.ternary_matmul(q, w.codes, _layer(w), w.tiled)
    if isinstance(w, PackedTernary) and kernels.backend().name == "pallas":
        from bitnet_engine import pallas_kernels  # half a second that nobody without a TPU should wait

        return pallas_kernels.ternary_matmul(q, w.codes, _layer(w))
    rows, slab = q.shape[0], w.codes.shape[-1]
    if rows == 1 and slab % _WORD == 0 and jax.default_backend() == "cpu":
        return _counted(jnp.pad(q[0], (0, FIELDS * slab - w.features)), w.codes)[None]
    padded = jnp.pad(q, ((0, 1 if rows == 1 else 0), (0, FIELDS * slab - w.features)))
    total = jnp.zeros((padded.shape[0], w.codes.shape[-2]), jnp.int32)
    for field in range(FIELDS):
        trits = (w.codes >> 2 * field & 3).astype(jnp.int8) - jnp.int8(1)
        columns = padded[:, field * slab : (field + 1) * slab]
        total += jax.lax.dot_general(columns, trits, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)
    return total[:rows]


def _counted(q: Int[Array, " features"], codes: UInt8[Array, "out bytes"]) -> Int[Array, " out"]:
    """Return the sums of one row by counting bits: for each bit of the activations, in how many trits + 1 it meets one.

    A code becomes as many ones as it counts (00, 01, 11), so that one AND and one count serve four trits of a byte.
    """
    out, slab = codes.shape
    words = jax.lax.bitcast_convert_type(codes.reshape(out, slab // _WORD, _WORD), jnp.uint32)
    ones = words | (words >> 1 & jnp.uint32(0x55555555))
    fields, total = q.reshape(FIELDS, slab).astype(jnp.uint8), jnp.zeros(ones.shape, jnp.int32)
    for bit in range(8):
        low = fields >> bit & 1
        low = low[0] | low[1] << 2 | low[2] << 4 | low[3] << 6
        mask = jax.lax.bitcast_convert_type((low | low << 1).reshape(slab // _WORD, _WORD), jnp.uint32)
        # Two's complement: the highest bit counts −128.
        count = jax.lax.population_count(ones & mask).astype(jnp.int32) << bit
        total = total - count if bit == 7 else total + count
    return jnp.sum(total, axis=-1) - jnp.sum(q.astype(jnp.int32))


def bitlinear(x: Float[Array, "seq features"], w: PackedTernary) -> Float[Array, "seq out"]:
    """Return the b1.58 linear layer of x: (Σ trit · q) / scale_x · scale_w, the sum exact; NaN for a row with one.

    The activations' scale first and the weights' second, as transformers does: one factor scale_w / scale_x rounds
    differently, and half an ulp can move a code of the next layer. By the reciprocal, because XLA makes that of a
    division by a broadcast anyway.
    """
    if w.tiled is not None:
        return bitlinears(x, [w])[0]
    q, scale = quantize_activations(x)
    y = ternary_matmul(q, w).astype(jnp.float32) * (1 / scale)[:, None] * w.scale
    # Changes nothing but that y is used twice, without which LLVM rounds it and the residual's addition as one: other
    # bits than transformers' and the native kernel's. XLA removes its own barriers before that.
    return jnp.where(jnp.isnan(y), jnp.nan, y)


def bitlinears(x: Float[Array, "seq features"], ws: Sequence[PackedTernary]) -> list[Float[Array, "seq _"]]:
    """Return `bitlinear` of x and each matrix; the native kernel multiplies all of them in one call."""
    tiles = [(w.codes, w.scale, _layer(w), w.tiled) for w in ws if w.tiled is not None]
    if len(tiles) == len(ws):
        return kernels.bitlinears(x, tiles)
    return [bitlinear(x, w) for w in ws]


def _layer(w: PackedTernary) -> Int[Array, ""]:
    return jnp.int32(0) if w.layer is None else w.layer
