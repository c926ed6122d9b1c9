"""Matrices stored as floats: which of them are ternary, and the trits inside.

    ternary_blocks(values)              # trits · scale, or TriLM's few scales in blocks; None for real floats
    ternarise(values, stored)           # a b1.58 master

numpy only: converting and comparing need it as much as loading does. Reads no file.
"""

import numpy as np

from bitnet_engine.formats import QuantType
from bitnet_engine.formats.floats import rounded

ABSMEAN_FLOOR = 1e-5  # as transformers' WeightQuant clamps it; a matrix of zeros must not divide by zero
TINY = 1e-6
"""Magnitudes up to this share of the largest are zeros."""
MOST_MAGNITUDES = 6
"""Shards that TriLM's largest model was trained in (docs/formats.md §1.7)."""
WIDTHS = (256, 128, 64, 32)


def ternarise(values: np.ndarray, stored: QuantType) -> tuple[np.ndarray, float]:
    """Return int8 trits `[out, in]` and the multiply scale of a float32 master, which a file stores as `stored`.

    Not for a matrix that is ternary already: a second absmean would shrink its scale to its share of non-zeros
    (microsoft/BitNet 3b04140). Ask `ternary_blocks` first.
    """
    trits, scale = absmean(values)
    # Transformers casts trits · scale back to the master's own type, and so rounds the scale.
    narrow = stored if stored in (QuantType.BF16, QuantType.F16) else QuantType.F32
    return trits, float(rounded(np.array([scale], np.float32), narrow)[0])


def absmean(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Ternarise a float32 master matrix [out, in]: returns int8 trits and the multiply scale.

    trits = clip(round_half_even(W / mean|W|), −1, 1), the mean over the whole matrix and not under 1e-5;
    source: transformers' integrations/bitnet.py, WeightQuant. The reciprocal is taken first, as there.
    """
    mean = np.float32(max(np.mean(np.abs(weights), dtype=np.float64), ABSMEAN_FLOOR))
    inverse = np.float32(1.0) / mean
    trits = np.clip(np.rint(weights * inverse), -1, 1).astype(np.int8)
    return trits, float(np.float32(1.0) / inverse)


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
