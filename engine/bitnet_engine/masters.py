"""Float matrices that mean ternary ones: a training master, or trits · scale written out as floats.

    trits, scale = ternarise(checkpoint.read_dense(name), checkpoint.info(name).type)

numpy only: converting and comparing need it as much as loading does. Reads no file.
"""

import numpy as np

from bitnet_engine.formats import QuantType
from bitnet_engine.formats.floats import rounded

ABSMEAN_FLOOR = 1e-5  # as transformers' WeightQuant clamps it; a matrix of zeros must not divide by zero


def ternarise(values: np.ndarray, stored: QuantType) -> tuple[np.ndarray, float]:
    """Return int8 trits `[out, in]` and the multiply scale of float32 `values`, which a file stores as `stored`.

    A master is ternarised by `absmean`; a matrix of one magnitude is ternary already and is taken as it is.
    """
    largest = float(np.abs(values).max(initial=0))
    small = np.abs(values) <= 1e-6 * largest
    if largest and np.all(small | (np.abs(values) == largest)):
        # A second absmean would shrink the scale to its share of non-zeros (microsoft/BitNet 3b04140).
        return np.where(small, 0, np.sign(values)).astype(np.int8), largest
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
