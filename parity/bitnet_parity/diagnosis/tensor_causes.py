"""Two stored weights that should be one: the cause that makes one exactly of the other, or none.

    explain_tensor(weights, "blk.0.attn_q.weight", theirs, kind=QuantType.I2_S)     # Named(...) or None

Both are at hand, so that a cause is proved by equality, and nothing is estimated. Files and graphs are not known here.
"""

from dataclasses import dataclass

import numpy as np

from bitnet_engine.diffing import EMBEDDING, HEAD
from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.formats.floats import rounded
from bitnet_engine.masters import absmean
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.matrices import elsewhere, misread
from bitnet_parity.diagnosis.operations import Matrix
from bitnet_parity.diagnosis.rounding import NOTHING
from bitnet_parity.diagnosis.rows import explain_rows
from bitnet_parity.diagnosis.scales import name_scale
from bitnet_parity.diagnosis.single_weights import name_weights
from bitnet_parity.diagnosis.weights import CheckpointWeights

BLOCK_TYPES = {QuantType.Q8_0: (32, 127), QuantType.Q6_K: (256, 31)}
"""Weights that share a largest magnitude, and levels up to it."""
UNRELATED = 0.1
"""Correlation under which two tables have nothing to do with each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A cause between two tensors."""

    name: str
    says: str
    remedy: str
    rows: tuple[int, ...] = ()
    source: str | None = None
    harmless: bool = False


def explain_tensor(
    weights: CheckpointWeights, name: str, mine: Matrix, theirs: Matrix, kind: QuantType | None = None
) -> Named | None:
    """Return what made `theirs` of the reference's `mine`, or None where nothing known did.

    `kind` is what the candidate stores it as, where that is known.
    """
    if isinstance(mine, Trits) and isinstance(theirs, Trits):
        return _ternary(weights, name, mine, theirs)
    a, b = o.dense(mine), o.dense(theirs)
    if a.shape != b.shape:
        return None
    return _vector(weights, name, a, b) if a.ndim == 1 else _table(weights, name, a, b, kind)


def same(mine: Matrix, theirs: Matrix) -> bool:
    """Return whether two weights are the same numbers."""
    if isinstance(mine, Trits) and isinstance(theirs, Trits) and mine.scale.ndim == theirs.scale.ndim == 0:
        equal = float(mine.scale) == float(theirs.scale) or not mine.values.any()
        return equal and np.array_equal(mine.values, theirs.values)
    return np.array_equal(o.dense(mine), o.dense(theirs))


def _ternary(weights: CheckpointWeights, name: str, mine: Trits, theirs: Trits) -> Named | None:
    again = f"convert {name} again; compare the file's sha256 with its publisher's"
    if np.array_equal(mine.values, theirs.values):
        return _scales(weights, name, mine, theirs)
    for variant in misread(weights, name, mine):
        if isinstance(variant.matrix, Trits) and np.array_equal(variant.matrix.values, theirs.values):
            return Named(variant.name, variant.says, variant.remedy)
    for variant in elsewhere(weights, name):
        if isinstance(variant.matrix, Trits) and np.array_equal(variant.matrix.values, theirs.values):
            return Named(variant.name, variant.says, variant.remedy, source=variant.source)
    bad = np.flatnonzero((mine.values != theirs.values).any(1))
    found, expected = theirs.values.astype(np.float32), mine.values.astype(np.float32)
    minus_one = np.full(expected.shape[1], -1, np.float32)
    if (cause := explain_rows(found, expected, minus_one, 0.0, bad)) is not None:
        return Named(cause.name, cause.says, again, cause.rows)
    if (single := name_weights(mine.values, theirs.values)) is not None:
        return Named(single[0], single[1], again, single[2])
    return None


def _scales(weights: CheckpointWeights, name: str, mine: Trits, theirs: Trits) -> Named | None:
    if mine.scale.ndim == theirs.scale.ndim == 0:
        cause = name_scale(weights, name, mine, float(theirs.scale))
        return Named(cause.name, cause.says, cause.remedy, source=cause.source, harmless=cause.harmless)
    if theirs.scale.ndim == 0:
        words = f"has one scale for {mine.scale.size} (bug #21)"
        return Named("scales-merged", words, "store it as TQ1_0 or TQ2_0, which have a scale a block")
    spread = np.broadcast_to(mine.scale, theirs.scale.shape) if mine.scale.ndim == 0 else mine.scale
    if spread.shape != theirs.scale.shape:
        return None
    rows = np.flatnonzero((spread != theirs.scale).any(1))
    ratios = np.unique((theirs.scale / np.where(spread == 0, 1, spread))[spread != theirs.scale])
    if len(ratios) != 1:
        return None
    says = f"has a block of row {rows[0]} with {ratios[0]:.6g} times its scale"
    return Named("scale-of-block", says, f"convert {name} again", tuple(rows.tolist()))


def _vector(weights: CheckpointWeights, name: str, a: np.ndarray, b: np.ndarray) -> Named | None:
    """The gain of a norm."""
    again = f"take {name} from the reference"
    if (kind := _rounding(a, b)) is not None:
        return Named("gain-rounded", f"has it rounded to {kind}", NOTHING, harmless=True)
    rows = tuple(np.flatnonzero(a != b).tolist())
    rows = () if len(rows) == len(a) else rows
    if np.array_equal(b, np.ones_like(a)):
        return Named("gain-ones", "has a gain of 1", again)
    if np.abs(b - (a + 1)).max() <= 2e-7 * np.abs(b).max() or _rounding(a + 1, b) is not None:
        return Named("gain-plus-one", "has 1 more than the gain, as Gemma's norms add it", again)
    if not b.any():
        return Named("gain-zero", "has a gain of 0", again)
    for other in weights.names:
        norm = other != name and "norm" in other and weights.info(other).shape == a.shape
        if norm and np.array_equal(o.dense(weights.read(other)), b):
            return Named("gain-of-another", f"has the gain of {other}", again, source=other)
    if len(gains := np.unique(b / np.where(a == 0, 1, a))) == 1:
        return Named("gain-scaled", f"has it times {gains[0]:.6g}", again)
    return None


def _rounding(a: np.ndarray, b: np.ndarray) -> str | None:
    for kind in (QuantType.F16, QuantType.BF16):
        with np.errstate(over="ignore"):
            if np.array_equal(rounded(a.astype(np.float32), kind).astype(np.float64), b):
                return kind.value
    return None


def _table(weights: CheckpointWeights, name: str, a: np.ndarray, b: np.ndarray, kind: QuantType | None) -> Named | None:
    """The embedding, the head, or a matrix of floats."""
    again = f"take {name} from the reference"
    place = "embedding" if name == EMBEDDING else "head" if name == HEAD else "matrix"
    if (half := _rounding(a, b)) is not None:
        return Named(f"{place}-rounded", f"has it rounded to {half}", NOTHING, harmless=True)
    # A file of another type has no such steps: what lies within them there is a change, and none that is known.
    for block in BLOCK_TYPES if kind is None else (kind,) if kind in BLOCK_TYPES else ():
        if within_steps(a, b, block):
            return Named(f"{place}-rounded", f"has it within the steps of {block}", NOTHING, harmless=True)
    for shift in (1, -1):
        if np.array_equal(np.roll(a, shift, axis=0), b):
            return Named(f"{place}-shifted", f"has its rows moved by {shift}", again)
    nonzero = a != 0
    if np.array_equal(nonzero, b != 0) and len(gains := np.unique((b[nonzero] / a[nonzero]).round(6))) == 1:
        return Named(f"{place}-scaled", f"has it times {gains[0]:.6g}", again)
    if name == HEAD and len(np.unique(np.abs(b[:64]))) <= 2:
        trits, _ = absmean(a.astype(np.float32))
        if np.array_equal(trits, np.sign(b)):
            return Named("head-ternary", "has a ternary head (bug #7)", "leave the head out of the ternary tensors")
    bad = np.flatnonzero((a != b).any(1))
    if (cause := explain_rows(b, a, np.full(a.shape[1], np.inf), 0.0, bad)) is not None:
        return Named(cause.name, cause.says, again, cause.rows)
    return _foreign(weights, name, place, a, b)


def _foreign(weights: CheckpointWeights, name: str, place: str, a: np.ndarray, b: np.ndarray) -> Named | None:
    """A table that is none of the reference's: a stale head beside a tied one, as in bug #19."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    correlation = float((a * b).sum()) / size if size else 0.0
    if abs(correlation) > UNRELATED:
        return None
    tied = "; the reference's head is its embedding (bug #19)" if name == HEAD and weights.tied else ""
    says = f"has another model's, correlation {correlation:.3f}{tied}"
    remedy = f"remove {name}" if tied else f"take {name} from the reference"
    return Named(f"{place}-replaced", says, remedy)


def within_steps(a: np.ndarray, b: np.ndarray, kind: QuantType) -> bool:
    """Return whether every b is as near to a as block type `kind` keeps it: within one step of its block's largest.

    A step is the largest magnitude of the block over the type's levels; half of it is rounding, the rest the
    rounding of the block's own scale.
    """
    width, levels = BLOCK_TYPES[kind]
    if a.shape[-1] % width:
        return False
    blocks, others = a.reshape(-1, width), b.reshape(-1, width)
    step = np.abs(blocks).max(1) / levels
    return bool((np.abs(others - blocks).max(1) <= step * (1 + 1e-3) + 1e-30).all())
