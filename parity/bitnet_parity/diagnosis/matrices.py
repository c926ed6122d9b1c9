"""What a ternary matrix is known to become when it is misread or put elsewhere: one candidate matrix each.

    for variant in misread(weights, "blk.0.attn_q.weight", matrix):
        np.array_equal(variant.matrix.values, theirs.values)    # in a file; or a product is tried with it

Sources: docs/formats.md §2.7, §2.11, §5. Compares nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bitnet_engine.formats import I2SLayout, Trits
from bitnet_engine.formats.ternary import pack_i2_s, unpack_i2_s
from bitnet_engine.matrices import hf_order, llama_order
from bitnet_engine.naming import PROJECTIONS
from bitnet_parity.diagnosis.operations import Matrix
from bitnet_parity.diagnosis.weights import CheckpointWeights

I2S_BLOCK = 128
"""Columns that layouts A and C come in multiples of."""
FOUR_LEVELS = np.array([-2, -1, 1, 2], np.int8)
"""What BitNet-rs' "QK256" takes the codes 0 to 3 for."""


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """A matrix that another one may have become."""

    name: str
    says: str
    matrix: Matrix
    remedy: str
    source: str | None = None
    """The weight that it is, where it is another one."""


def misread(weights: CheckpointWeights, name: str, matrix: Trits) -> Iterator[Variant]:
    """Yield what the matrix becomes when its bytes are taken for something else, or its rows for another order."""
    values, part = matrix.values, name.split(".")[2]
    yield Variant("signs-flipped", "has every sign turned", Trits(-values, matrix.scale), f"convert {name} again")
    yield from _permuted(weights, part, matrix)
    if values.shape[1] % I2S_BLOCK == 0 and matrix.scale.ndim == 0:
        yield from _as_layouts(matrix)
        fields = np.frombuffer(pack_i2_s(values, 1.0), np.uint8, values.size // 4)[:, None]
        lowest = FOUR_LEVELS[fields >> np.array([0, 2, 4, 6], np.uint8) & 3].reshape(values.shape)
        says = "reads I2_S lowest bits first, with −2, −1, 1, 2 for codes 0 to 3 (bug #23)"
        yield Variant("i2s-lowest-first", says, Trits(lowest, matrix.scale), "read I2_S as docs/formats.md §2.7 says")
    says = "takes codes 0, 1, 2 for weights (bug #17)"
    yield Variant("codes-as-values", says, Trits(values + np.int8(1), matrix.scale), "subtract 1 from every code")
    if values.shape[0] == values.shape[1]:
        yield Variant("transposed", "has it transposed", Trits(values.T.copy(), matrix.scale), "transpose it back")


def _permuted(weights: CheckpointWeights, part: str, matrix: Trits) -> Iterator[Variant]:
    """Rows of q and k in orders that belong to another rope (bug #10)."""
    c, rows = weights.config, len(matrix.values)
    if part not in ("attn_q", "attn_k"):
        return
    heads = c.heads if part == "attn_q" else c.kv_heads
    once, back = llama_order(rows, heads), hf_order(rows, heads)
    orders = {
        "in llama.cpp's interleaved order": once,
        "un-permuted though they were in order": back,
        "in llama.cpp's interleaved order twice over": once[once],
        "un-permuted twice over": back[back],
    }
    for words, order in orders.items():
        scale = matrix.scale[order] if matrix.scale.ndim else matrix.scale
        says = f"has its rows {words}: {cycle(order)} (bug #10)"
        remedy = "permute q and k once for `llama` in GGUF, and never for `bitnet-b1.58` (docs/formats.md §2.11)"
        yield Variant("rope-permuted", says, Trits(matrix.values[order], scale), remedy)


def _as_layouts(matrix: Trits) -> Iterator[Variant]:
    values = matrix.values
    for layout in (I2SLayout.B, I2SLayout.C):
        misread = unpack_i2_s(pack_i2_s(values, 1.0, layout), values.shape).values
        says = f"reads I2_S of layout {layout} as A (bug #4)"
        remedy = f"read the file with --i2s-layout {layout}"
        yield Variant(f"i2s-layout-{layout.lower()}", says, Trits(misread, matrix.scale), remedy)


def elsewhere(weights: CheckpointWeights, name: str) -> Iterator[Variant]:
    """Yield the reference's other matrices of the same shape: of the same layer first, then of the same part."""
    _, layer, part, _ = name.split(".")
    shape = weights.info(name).shape
    here = [f"blk.{layer}.{other}.weight" for other in PROJECTIONS if other != part]
    there = [f"blk.{i}.{part}.weight" for i in range(weights.config.layers) if str(i) != layer]
    for other in here + there:
        if other in weights and weights.info(other).shape == shape:
            remedy = f"put {name} and {other} of the reference into their places"
            yield Variant("tensor-of-another", f"has {other} in its place", weights.read(other), remedy, other)


def cycle(order: np.ndarray, limit: int = 8) -> str:
    """Return the first cycle of a permutation that moves something, `0 → 1 → 2 → … `."""
    moved = np.flatnonzero(order != np.arange(len(order)))
    if not len(moved):
        return "none moved"
    path, at = [int(moved[0])], int(order[moved[0]])
    while at != path[0] and len(path) < limit:
        path.append(at)
        at = int(order[at])
    return f"{' → '.join(map(str, path))} → {path[0] if at == path[0] else '…'}"
