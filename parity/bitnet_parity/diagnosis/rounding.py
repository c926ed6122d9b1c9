"""Rounding that every engine may do, and that is no fault: bfloat16 and float16 results, blocks of Q8_K."""

from collections.abc import Iterator

import numpy as np

from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.formats.floats import rounded
from bitnet_engine.linears import Q8K
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.hypotheses import Alternative
from bitnet_parity.diagnosis.replay import BF16_TOLERANCE, Case, Compute

NOTHING = "nothing: it is how another engine rounds"


def of_any(case: Case) -> Iterator[Alternative]:
    """Yield the roundings that this operation may have had."""
    if case.op.kind == "product":
        matrix = case.reference.matrix(case.op, case.layer)
        if isinstance(matrix, Trits) and case.inputs[0].shape[1] % Q8K == 0:
            yield Alternative(
                name="activations-q8k",
                says=f"rounds activations in blocks of {Q8K}, as llama.cpp's Q8_K does",
                should="the reference rounds a row at a time",
                compute=lambda inputs, like: o.multiply(inputs[0], matrix, "block", like),
                harmless=True,
                remedy=NOTHING,
            )
    if case.keep is o.bfloat16:
        for compute in _in_bfloat16(case):
            yield Alternative(
                name="bfloat16",
                says="keeps results in bfloat16, as transformers does",
                should="the reference computes in float32",
                compute=compute,
                tolerance=BF16_TOLERANCE,
                harmless=True,
                remedy=NOTHING,
            )
    if np.array_equal(case.found, _in_float16(case.found)):
        yield Alternative(
            name="float16",
            says="keeps the result in float16",
            should="the reference computes in float32",
            compute=lambda inputs, like: _in_float16(case.reference.compute(case.op, case.layer, inputs, like)),
            tolerance=BF16_TOLERANCE / 8,
            harmless=True,
            remedy=NOTHING,
        )


def _in_bfloat16(case: Case) -> Iterator[Compute]:
    yield lambda inputs, like: case.reference.compute(case.op, case.layer, inputs, like, o.bfloat16)
    if case.op.kind == "attention":
        # Not fused, it keeps its scores in the model's type too.
        yield lambda inputs, _: o.attend(*inputs, keep=o.bfloat16, fused=False)


def _in_float16(values: np.ndarray) -> np.ndarray:
    return rounded(values.astype(np.float32), QuantType.F16).astype(np.float64)
