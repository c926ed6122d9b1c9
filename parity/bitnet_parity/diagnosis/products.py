"""What goes wrong in a matrix product, seen from its results alone: scale, quantiser, matrix, rows, columns, weights.

Ternary products are exact sums of whole numbers, so that a single wrong weight shows, and which. What is solved (a
gain, cut-off columns, single weights) is put into a matrix and tried like everything else.
"""

from collections.abc import Iterator

import numpy as np

from bitnet_engine.config import LinearClass
from bitnet_engine.formats import Trits
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.graph import weight_name
from bitnet_parity.diagnosis.hypotheses import Alternative, permuted
from bitnet_parity.diagnosis.matrices import elsewhere, misread
from bitnet_parity.diagnosis.replay import Case, Compute
from bitnet_parity.diagnosis.rows import differing, explain_rows
from bitnet_parity.diagnosis.scales import EXACT, EXACT_BF16, name_scale
from bitnet_parity.diagnosis.single_weights import solved_columns, solved_weights

QUANTISERS = {
    "none": ("quantiser-missing", "takes activations as they are"),
    "tensor": ("quantiser-per-tensor", "rounds activations by one scale for all tokens"),
    "truncated": ("quantiser-truncates", "cuts activations where it should round them"),
    "wrapped": ("quantiser-wraps", "has 128 levels and no clamp: the largest activation wraps to −128"),
    "unscaled": ("quantiser-unscaled", "never takes the activations' scale out again"),
    "row": ("quantiser-added", "rounds activations to int8"),
}
GAIN_SPREAD = 1e-3
"""A gain is tried where all results are one multiple of the expected ones, nearly."""


def of_product(case: Case) -> Iterator[Alternative]:
    """Yield what may have been multiplied instead, or how."""
    matrix = case.reference.matrix(case.op, case.layer)
    if not case.found.any():
        yield _with(case, "kernel-empty", "writes zeros whatever its input is", lambda _, __: 0 * case.expected)
        return
    if case.features is not None and isinstance(matrix, Trits) and case.op.name in ("ffn_up", "ffn_down"):
        order, by = case.features, case.reference.quantiser(matrix)
        values = matrix.values[order] if case.op.name == "ffn_up" else matrix.values[:, order]
        other = Trits(values, matrix.scale)
        yield permuted(lambda inputs, like: case.reference.product(inputs[0], other, by, like, case.keep))
    yield from _scaled(case, matrix)
    if not isinstance(matrix, Trits):
        yield from _elsewhere(case)
        return
    own = case.reference.quantiser(matrix)
    for quantiser, (name, says) in QUANTISERS.items():
        if quantiser != own:
            yield _multiplied(case, name, says, matrix, "round each row by its absmax to int8", quantiser=quantiser)
    for variant in misread(case.reference.weights, weight_name(case.op, case.layer), matrix):
        yield _multiplied(case, variant.name, variant.says, variant.matrix, variant.remedy)
    yield from _rows(case, matrix)
    yield from _elsewhere(case)
    yield from _columns_and_weights(case, matrix)


def _with(case: Case, name: str, says: str, compute: Compute, remedy: str = "") -> Alternative:
    return Alternative(
        name=name,
        says=says,
        should=f"the reference multiplies by {weight_name(case.op, case.layer)}",
        compute=compute,
        remedy=remedy or "run the candidate's engine on a processor its kernels are built for (bug #20)",
    )


def _multiplied(
    case: Case,
    name: str,
    says: str,
    matrix: o.Matrix,
    remedy: str,
    *,
    quantiser: str | None = None,
    rows: tuple[int, ...] = (),
    source: str | None = None,
    order: np.ndarray | None = None,
    harmless: bool = False,
    kind: LinearClass | None = None,
) -> Alternative:
    """Return the alternative of another matrix, or of another quantiser before it."""
    by = case.reference.quantiser(matrix) if quantiser is None else quantiser
    return Alternative(
        name=name,
        says=says,
        should=f"the reference has {weight_name(case.op, case.layer)}",
        compute=lambda inputs, like: case.reference.product(inputs[0], matrix, by, like, case.keep, kind),
        rows=rows,
        source=source,
        order=order,
        of_weight=matrix is not case.reference.matrix(case.op, case.layer),
        harmless=harmless,
        remedy=remedy,
    )


def _scaled(case: Case, matrix: o.Matrix) -> Iterator[Alternative]:
    """One gain on all results: solved, then named by what makes it of the scale."""
    found = case.found[case.sure]
    for kind in _classes(case):
        expected = _as_class(case, matrix, kind)[case.sure]
        size = float(np.square(expected).sum())
        gain = float((found * expected).sum() / size) if size else 1.0
        spread = max(GAIN_SPREAD, 2 * case.slack)
        if not np.isfinite(gain) or not gain or o.residual(found, gain * expected) > spread * abs(gain):
            continue
        if isinstance(matrix, Trits) and matrix.scale.ndim == 0:
            scale, exact = gain * float(matrix.scale), EXACT if case.keep is o.as_is else EXACT_BF16
            cause = name_scale(case.reference.weights, weight_name(case.op, case.layer), matrix, scale, exact)
            other = Trits(matrix.values, np.asarray(scale))
            yield _multiplied(
                case,
                cause.name,
                cause.says,
                other,
                cause.remedy,
                source=cause.source,
                harmless=cause.harmless,
                kind=kind,
            )
        else:
            yield _multiplied(case, "scale-gain", f"has it times {gain:.7g}", o.dense(matrix) * gain, "scale it back")


def _classes(case: Case) -> tuple[LinearClass | None, ...]:
    """Return transformers' classes that the product may be of: each rounds in its own way, in bfloat16 only.

    A config that names the wrong one has its scales divide where they multiply (bug #3).
    """
    own = case.reference.weights.config.linear_class
    others: dict[str, LinearClass] = {"bitlinear": "autobitlinear", "autobitlinear": "bitlinear"}
    return (None,) if case.keep is o.as_is or own not in others else (None, others[own])


def _as_class(case: Case, matrix: o.Matrix, kind: LinearClass | None) -> np.ndarray:
    if kind is None:
        return case.kept
    return case.reference.product(case.inputs[0], matrix, case.reference.quantiser(matrix), None, case.keep, kind)


def _elsewhere(case: Case) -> Iterator[Alternative]:
    for variant in elsewhere(case.reference.weights, weight_name(case.op, case.layer)):
        yield _multiplied(case, variant.name, variant.says, variant.matrix, variant.remedy, source=variant.source)


def _rows(case: Case, matrix: Trits) -> Iterator[Alternative]:
    """Some results are those of other rows, of none, or of rows of −1."""
    found, expected = case.found[case.sure].T, case.kept[case.sure].T
    bad = differing(found, expected, case.slack)
    if not len(bad):
        return
    quantiser = case.reference.quantiser(matrix)
    like = Trits(np.full((1, matrix.values.shape[1]), -1, np.int8), matrix.scale)
    one = matrix.scale.ndim == 0
    minus_one = o.multiply(case.inputs[0][case.sure], like, quantiser)[:, 0] if one else np.full(len(case.sure), np.inf)
    cause = explain_rows(found, expected, minus_one, case.slack, bad)
    if cause is None:
        return
    values = matrix.values.copy()
    fill = {"rows-zero": 0, "rows-minus-one": -1}
    other = values[list(cause.rows if cause.source is None else cause.source)] * cause.sign
    values[list(cause.rows)] = fill.get(cause.name, other)
    name = weight_name(case.op, case.layer)
    remedy = f"convert {name} again, in one thread; compare the file's sha256 with its publisher's"
    order = None
    if cause.name == "rows-permuted" and cause.source is not None:
        order = np.arange(len(values))
        order[list(cause.rows)] = cause.source
    yield _multiplied(case, cause.name, cause.says, Trits(values, matrix.scale), remedy, rows=cause.rows, order=order)


def _columns_and_weights(case: Case, matrix: Trits) -> Iterator[Alternative]:
    """Columns that are cut off, a block with another scale, and single wrong weights, where results are exact sums."""
    if matrix.scale.ndim or case.keep is not o.as_is:
        return
    name = weight_name(case.op, case.layer)
    for solved in (*solved_weights(case, matrix), *solved_columns(case, matrix)):
        remedy = f"convert {name} again; compare the file's sha256 with its publisher's"
        yield _multiplied(case, solved.name, solved.says, solved.matrix, remedy, quantiser="row", rows=solved.rows)
