"""Which known mistake makes one scale of another: inverse, lost, doubled absmean, another matrix's, a gain.

    name_scale(weights, "blk.0.attn_q.weight", matrix, found=0.5)     # ScaleCause("scale-lost", …)

The same answer whether the scale was read out of a file or solved from a product. Mistakes: docs/formats.md §5.
"""

from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np

from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.formats.floats import rounded
from bitnet_engine.naming import PROJECTIONS
from bitnet_engine.tensor_diff import HALF_ULP_BF16, HALF_ULP_F16
from bitnet_parity.diagnosis.weights import CheckpointWeights

EXACT, EXACT_BF16 = 1e-6, 2.0**-9
"""Relative: a few units of float32; half a unit of bfloat16, of a scale that is solved from results of that type."""
LARGEST_SPREAD = 0.05
"""How far the largest of n normal numbers lies from its expectation, relative."""


@dataclass(frozen=True, slots=True)
class ScaleCause:
    """A mistake, and what the candidate then has."""

    name: str
    says: str
    remedy: str
    harmless: bool = False
    source: str | None = None
    """The weight whose scale it is."""


def name_scale(weights: CheckpointWeights, name: str, matrix: Trits, found: float, exact: float = EXACT) -> ScaleCause:
    """Return what makes `found` of the one scale of `matrix`; at last a gain, which is what it is."""
    scale = float(matrix.scale)
    ratio = found / scale
    again = f"take the scale of {name} from the reference: {scale:.7g}"
    if (kind := _rounding(scale, found)) is not None:
        return ScaleCause("scale-rounded", f"has its scale rounded to {kind}", "nothing", harmless=True)
    if abs(found - 1) <= exact:
        return ScaleCause("scale-lost", f"has a scale of 1 for {scale:.7g}: it was lost (bugs #5, #6)", again)
    if abs(ratio + 1) <= exact:
        return ScaleCause("scale-negative", "has its scale, or every trit, with the wrong sign", again)
    if abs(found * scale - 1) <= 2 * HALF_ULP_BF16:
        remedy = f"multiply where the converter divides, or set linear_class in quantization_config; {again}"
        return ScaleCause(
            "scale-inverse", f"has the inverse of its scale, {found:.7g} for {scale:.7g} (bug #3)", remedy
        )
    if (source := _another(weights, name, found, exact)) is not None:
        return ScaleCause("scale-of-another", f"has the scale of {source}", again, source=source)
    density = np.count_nonzero(matrix.values) / matrix.values.size
    if abs(ratio / density - 1) <= 2 * HALF_ULP_BF16:
        says = f"has its scale times {ratio:.4f}, its share of non-zeros: absmean ran twice (bug #2)"
        return ScaleCause("scale-absmean-twice", says, f"pack the trits without a second absmean; {again}")
    if abs(ratio / sqrt(pi * log(2 * matrix.values.size)) - 1) <= LARGEST_SPREAD:
        says = f"has its scale times {ratio:.4g}, the largest over the mean of as many normal weights (bug #3)"
        return ScaleCause("scale-of-largest", says, f"scale by the mean magnitude; {again}")
    return ScaleCause("scale-gain", f"has its scale times {ratio:.7g}", again)


def _rounding(scale: float, found: float) -> str | None:
    if abs(found / scale - 1) <= HALF_ULP_F16 or found == _as(scale, QuantType.F16):
        return "float16"
    return "bfloat16" if abs(found / scale - 1) <= HALF_ULP_BF16 else None


def _as(value: float, kind: QuantType) -> float:
    with np.errstate(over="ignore"):
        return float(rounded(np.array([value], np.float32), kind)[0])


def _another(weights: CheckpointWeights, name: str, found: float, exact: float) -> str | None:
    """Return the matrix of the layer that has this scale."""
    _, layer, part, _ = name.split(".")
    for other in PROJECTIONS:
        tensor = f"blk.{layer}.{other}.weight"
        if other == part or tensor not in weights:
            continue
        matrix = weights.read(tensor)
        if isinstance(matrix, Trits) and matrix.scale.ndim == 0:
            scale = float(matrix.scale)
            spelled = (scale, _as(scale, QuantType.F16), _as(scale, QuantType.BF16))
            if any(value and abs(found / value - 1) <= exact for value in spelled):
                return tensor
    return None
