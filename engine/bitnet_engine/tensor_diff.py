"""Two stored tensors that should be one: equal or not, where not, and the known mistake that would explain it.

    compare("blk.0.attn_q.weight", Side(a, "model.layers.0.self_attn.q_proj.weight"), Side(b, "blk.0.attn_q.weight"))

A float matrix beside a ternary one is ternarised as it would be on loading. Floats are read some rows at a time.
Mistakes and their numbers: docs/formats.md §5.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitnet_engine.formats import Checkpoint, TensorInfo, Trits
from bitnet_engine.matrices import hf_order, read_matrix, reordered

SHOWN_ROWS = 8
"""Differing rows that a result names."""

CHUNK = 1 << 21
"""Floats of each side in memory at a time."""

HALF_ULP_F16, HALF_ULP_BF16 = 2**-11, 2**-9


@dataclass(frozen=True, slots=True)
class Side:
    """A tensor in its checkpoint."""

    checkpoint: Checkpoint
    name: str
    """As the checkpoint spells it."""
    heads: int | None = None
    """Heads that the rows of q or k are made of, where they are known; None for other tensors."""
    interleaved: bool = False
    """Whether the rows are in GGUF `llama`'s order, pairs (2i, 2i + 1), and not in Hugging Face's."""

    @property
    def info(self) -> TensorInfo:
        """What the header says of it."""
        return self.checkpoint.info(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDiff:
    """How one tensor compares. Numbers that a kind of tensor does not have are None."""

    name: str
    equal: bool
    ternary: bool
    """Compared as trits and scale; else as floats."""
    reference_type: str
    candidate_type: str
    reference_shape: tuple[int, ...]
    candidate_shape: tuple[int, ...]
    different: int | None
    """Trits or floats that differ; None where the shapes do."""
    rows: tuple[int, ...]
    """The first rows with a difference, at most 8."""
    reference_scale: float | None
    candidate_scale: float | None
    """The one scale of the matrix; None where there are several."""
    max_abs: float | None
    """Largest |candidate - reference|, of floats, and of matrices with equal trits and several scales."""
    max_rel: float | None
    """The same over the largest |reference|."""
    note: str
    """The known mistake that these numbers fit, and how a float side was read; empty for neither."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN and infinity as None."""
        values = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def compare(name: str, reference: Side, candidate: Side) -> TensorDiff:
    """Compare one tensor of two files.

    Raises:
        FormatError: code 3, a scale that is missing or not finite, or a float matrix to ternarise that is not finite.
        UnsupportedError: a type that is not decoded here.
        StorageError: a file changed, or cannot be read.
    """
    ternary = any(side.checkpoint.is_ternary(side.name) for side in (reference, candidate))
    if reference.info.shape != candidate.info.shape:
        return _result(name, reference, candidate, ternary=ternary, equal=False, note="the shapes differ")
    return (_compare_trits if ternary else _compare_floats)(name, reference, candidate)


def _result(name: str, reference: Side, candidate: Side, *, equal: bool, ternary: bool, **found: Any) -> TensorDiff:
    empty: dict[str, Any] = dict.fromkeys(("different", "reference_scale", "candidate_scale", "max_abs", "max_rel"))
    return TensorDiff(
        name=name,
        equal=equal,
        ternary=ternary,
        reference_type=reference.info.type.value,
        candidate_type=candidate.info.type.value,
        reference_shape=reference.info.shape,
        candidate_shape=candidate.info.shape,
        **({"rows": (), "note": ""} | empty | found),
    )


def _compare_trits(name: str, reference: Side, candidate: Side) -> TensorDiff:
    a, b = _trits(reference), _trits(candidate)
    wrong = a.values != b.values
    different = int(np.count_nonzero(wrong))
    rows = np.flatnonzero(wrong.any(axis=1))[:SHOWN_ROWS].tolist() if different else []
    scales = a.uniform_scale(), b.uniform_scale()
    apart = _apart(a, b) if None in scales and not different else None
    notes = [f"the {who} is float, read as trits" for who, side in _named(reference, candidate) if _is_float(side)]
    notes += [hint] if (hint := _explain(a, b, different, candidate.heads)) else []
    return _result(
        name,
        reference,
        candidate,
        ternary=True,
        equal=not different and _same_scales(a, b),
        different=different,
        rows=tuple(rows),
        reference_scale=scales[0],
        candidate_scale=scales[1],
        max_abs=None if apart is None else apart[0],
        max_rel=None if apart is None else apart[1],
        note="; ".join(notes),
    )


def _apart(a: Trits, b: Trits) -> tuple[float, float]:
    """Return the largest |b − a|, and that over the largest |a|."""
    weights = a.dense()
    farthest, largest = float(np.abs(b.dense() - weights).max()), float(np.abs(weights).max())
    return farthest, farthest / largest if largest else math.inf


def _named(reference: Side, candidate: Side) -> tuple[tuple[str, Side], tuple[str, Side]]:
    return ("reference", reference), ("candidate", candidate)


def _is_float(side: Side) -> bool:
    return not side.checkpoint.is_ternary(side.name)


def _trits(side: Side) -> Trits:
    trits = read_matrix(side.checkpoint, side.name, master=True)
    assert isinstance(trits, Trits)  # a master's always are
    return reordered(trits, hf_order(len(trits.values), side.heads)) if side.interleaved else trits


def _same_scales(a: Trits, b: Trits) -> bool:
    """Whether equal trits mean equal weights; where there is no trit but 0, any scale does."""
    one, other = a.uniform_scale(), b.uniform_scale()
    if one is not None and other is not None:
        return one == other or not a.values.any()
    return np.array_equal(a.dense(), b.dense())


def _explain(a: Trits, b: Trits, different: int, heads: int | None) -> str:
    """Return the known mistake that would make b of a, or an empty text."""
    if different:
        order = hf_order(len(b.values), heads)
        if heads and np.array_equal(a.values, b.values[order]):
            return "the candidate's rows are in GGUF llama's interleaved order (bug #10)"
        if heads and np.array_equal(a.values[order], b.values):
            return "the reference's rows are in GGUF llama's interleaved order (bug #10)"
        return ""
    s, t = a.uniform_scale(), b.uniform_scale()
    if s is None or t is None or s == t or not s or not t:
        return ""
    density = np.count_nonzero(a.values) / a.values.size
    if abs(t / s - 1) <= HALF_ULP_BF16:
        return f"the scales are within the rounding of {'float16' if abs(t / s - 1) <= HALF_ULP_F16 else 'bfloat16'}"
    if t == 1 or s == 1:
        return f"the {'candidate' if t == 1 else 'reference'}'s scale is exactly 1: it may have been lost (bug #6)"
    if abs(s * t - 1) <= 2 * HALF_ULP_BF16:
        return "one scale is the other's inverse: one side divides where it should multiply (bug #3)"
    if min(abs(t / s / density - 1), abs(s / t / density - 1)) <= 2 * HALF_ULP_BF16:
        return "the scales' ratio is the share of non-zeros: absmean ran twice (bug #2)"
    return ""


def _compare_floats(name: str, reference: Side, candidate: Side) -> TensorDiff:
    different, rows, largest, farthest = 0, [], 0.0, 0.0
    for start, a, b in _chunks(reference, candidate):
        wrong = (a != b) & ~(np.isnan(a) & np.isnan(b))
        if wrong.any():
            by_row = wrong.reshape(len(wrong), -1).any(axis=1) if wrong.ndim > 1 else wrong
            different += int(np.count_nonzero(wrong))
            rows += (start + np.flatnonzero(by_row)[: SHOWN_ROWS - len(rows)]).tolist()
            with np.errstate(invalid="ignore", over="ignore"):
                # Not Python's max(), which loses a NaN that comes second.
                farthest = float(np.maximum(farthest, np.abs(b - a)[wrong].max()))
        largest = float(np.maximum(largest, np.abs(a).max(initial=0)))
    relative = farthest / largest if largest else (math.inf if different else 0.0)
    note = "within the rounding of float16" if different and relative <= HALF_ULP_F16 else ""
    return _result(
        name,
        reference,
        candidate,
        ternary=False,
        equal=not different,
        different=different,
        rows=tuple(rows),
        max_abs=farthest,
        max_rel=relative,
        note=note,
    )


def _chunks(reference: Side, candidate: Side) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (first row, reference's rows, candidate's rows); rows of a vector are its numbers."""
    shape = reference.info.shape
    if len(shape) < 2 or reference.interleaved or candidate.interleaved or 0 in shape:
        yield 0, _floats(reference), _floats(candidate)
        return
    step = max(1, CHUNK // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        a, b = (side.checkpoint.read_rows(side.name, start, stop) for side in (reference, candidate))
        yield start, a, b


def _floats(side: Side) -> np.ndarray:
    values = side.checkpoint.read_dense(side.name)
    return values[hf_order(len(values), side.heads)] if side.interleaved else values
