"""The ternary product as a Pallas kernel for TPUs.

    sums = ternary_matmul(q, codes, layer)              # int8 [seq, in] × the slabs of `packing` → int32 [seq, out]

Packed weights stay in device memory and are unpacked in VMEM, a block of output rows at a time. The slabs are what
makes that cheap: one shift and one mask give a contiguous quarter of a row's columns, and no lane moves. The whole
stack is an operand and the layer a prefetched scalar, which chooses blocks: a slice would be copied first.
Elsewhere than on a TPU it is interpreted, which is for tests. It has been run in no other way: on no TPU yet.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Int, UInt8

FIELDS = 4
ROWS, COLUMNS = 256, 256
"""Of the block of sums that one step of the grid computes. With 6912 input features its operands take 6 MiB."""
ROW_STEP = 32
"""Rows of an int8 tile of a TPU."""


def ternary_matmul(
    q: Int[Array, "seq features"],
    codes: UInt8[Array, "*stack out slab"],
    layer: Int[Array, ""],
    *,
    interpret: bool | None = None,
) -> Int[Array, "seq out"]:
    """Return `packing.ternary_matmul` of q and matrix `layer` of the stack. `interpret` is None for: not on a TPU."""
    seq, (out, slab) = q.shape[0], codes.shape[-2:]
    rows = seq + -seq % ROW_STEP
    padded = jnp.pad(q, ((0, rows - seq), (0, FIELDS * slab - q.shape[1])))
    grid = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=1,
        grid=(pl.cdiv(rows, ROWS), pl.cdiv(out, COLUMNS)),
        in_specs=[
            pl.BlockSpec((FIELDS, min(rows, ROWS), slab), lambda i, _j, _layer: (0, i, 0)),
            pl.BlockSpec((None, min(out, COLUMNS), slab), lambda _i, j, layer: (layer[0], j, 0)),
        ],
        out_specs=pl.BlockSpec((min(rows, ROWS), min(out, COLUMNS)), lambda i, j, _layer: (i, j)),
    )
    call = pl.pallas_call(
        _block,
        grid_spec=grid,
        out_shape=jax.ShapeDtypeStruct((rows, out), jnp.int32),
        interpret=jax.default_backend() != "tpu" if interpret is None else interpret,
        name="bitnet_ternary_matmul",
    )
    # [field, row, slab]: each field's columns are a block of their own, for lanes are not to be cut within a tile.
    fields = padded.reshape(rows, FIELDS, slab).swapaxes(0, 1)
    return call(layer.reshape(1), fields, codes.reshape(-1, out, slab))[:seq]


def _block(_layer: Any, q: Any, codes: Any, sums: Any) -> None:
    # Shifts of 32 bits: TPUs have none of 8.
    wide = codes[...].astype(jnp.int32)
    dot = partial(jax.lax.dot_general, dimension_numbers=(((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)
    sums[...] = sum(
        (dot(q[field], ((wide >> 2 * field & 3) - 1).astype(jnp.int8)) for field in range(FIELDS)),
        start=jnp.zeros(sums.shape, jnp.int32),
    )
