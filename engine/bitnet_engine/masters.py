"""Matrices stored as floats: which of them are ternary, and the trits inside.

    ternarise(values, rounding)         # a b1.58 master, or trits · scale: always ternary
    ternary_blocks(values)              # TriLM, whose few scales lie in blocks; None for a matrix of real floats

Knows arrays only: no file and no model.
"""

import numpy as np

from bitnet_engine.packing import absmean

TINY = 1e-6
"""Magnitudes up to this share of the largest are zeros."""
MOST_MAGNITUDES = 6
"""Shards that TriLM's largest model was trained in (docs/formats.md §1.7)."""
WIDTHS = (256, 128, 64, 32)


def ternarise(values: np.ndarray, rounding: np.dtype) -> tuple[np.ndarray, float]:
    """Return int8 trits and the scale: of a master by absmean, of a matrix that is ternary already as it is.

    Transformers casts trits · scale back to the master's own type, `rounding`, and so rounds the scale.
    """
    largest = float(np.abs(values).max(initial=0))
    small = np.abs(values) <= TINY * largest
    if largest and np.all(small | (np.abs(values) == largest)):
        # A second absmean would shrink the scale to its share of non-zeros (microsoft/BitNet 3b04140).
        return np.where(small, 0, np.sign(values)).astype(np.int8), largest
    trits, scale = absmean(values)
    return trits, float(np.asarray(scale).astype(rounding))


def ternary_blocks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return int8 trits [out, in] and float32 scales, or None where the matrix is not ternary.

    Scales are `()` for one, [out, 1] for one a row, [out, in / width] for blocks of 256 to 32 in a row.
    """
    magnitudes = np.abs(values)
    # One row and one column settle it for nearly every dense matrix without a look at the rest.
    if max(_distinct(magnitudes[0]), _distinct(magnitudes[:, 0])) > MOST_MAGNITUDES:
        return None
    largest = magnitudes.max()
    small = magnitudes <= TINY * largest
    trits = np.where(small, 0, np.sign(values)).astype(np.int8)
    if largest and np.all(small | (magnitudes == largest)):
        return trits, np.asarray(largest, np.float32)
    rows, columns = values.shape
    for width in (columns, *(width for width in WIDTHS if columns % width == 0)):
        blocks = np.where(small, 0, magnitudes).reshape(rows, -1, width)
        scale = blocks.max(-1)
        if np.all((blocks == 0) | (blocks == scale[..., None])):
            return trits, scale
    return None


def _distinct(magnitudes: np.ndarray) -> int:
    return len(np.unique(magnitudes[magnitudes > TINY * magnitudes.max(initial=0)]))
