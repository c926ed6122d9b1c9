"""Rounding that every engine may do, and that is no fault: bfloat16 and float16 results, blocks of Q8_K.

The candidate's operation is computed as `bitnet_engine` computes it with the numerics of that name.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from bitnet_engine import layers
from bitnet_engine.formats import QuantType, Trits
from bitnet_engine.formats.floats import rounded
from bitnet_engine.linears import Q8K, linear, to_bfloat16
from bitnet_engine.numerics import Numerics
from bitnet_engine.packing import PackedTernary
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.hypotheses import Alternative
from bitnet_parity.diagnosis.replay import Case, Inputs

BF16_TOLERANCE = 2e-3
"""Another order of sums moves some results over an edge of bfloat16, which is 2⁻⁸ wide."""
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
    if _is_rounded(case.found, QuantType.BF16):
        yield Alternative(
            name="bfloat16",
            says="keeps results in bfloat16, as transformers does",
            should="the reference computes in float32",
            compute=lambda inputs, _: _in_bfloat16(case, inputs),
            tolerance=BF16_TOLERANCE,
            harmless=True,
            remedy=NOTHING,
        )
    if _is_rounded(case.found, QuantType.F16):
        yield Alternative(
            name="float16",
            says="keeps the result in float16",
            should="the reference computes in float32",
            compute=lambda inputs, like: _kept(
                case.reference.compute(case.op, case.layer, inputs, like), QuantType.F16
            ),
            tolerance=BF16_TOLERANCE / 8,
            harmless=True,
            remedy=NOTHING,
        )


def _is_rounded(values: np.ndarray, kind: QuantType) -> bool:
    return bool(np.array_equal(values, _kept(values, kind)))


def _kept(values: np.ndarray, kind: QuantType) -> np.ndarray:
    return rounded(values.astype(np.float32), kind).astype(np.float64)


def _in_bfloat16(case: Case, inputs: Inputs) -> np.ndarray:
    """Return the operation as the engine's hf-bf16 computes it."""
    c = case.reference.weights.config
    given = [jnp.asarray(x, jnp.float32) for x in inputs if x.dtype.kind == "f"]
    if case.op.kind == "norm":
        gain = to_bfloat16(jnp.asarray(case.reference.matrix(case.op, case.layer)))
        return np.asarray(layers.rms_norm(given[0], gain, c.rms_eps, to_bfloat16), np.float64)
    if case.op.kind == "product":
        matrix = case.reference.matrix(case.op, case.layer)
        packed = (
            PackedTernary.from_trits(matrix.values, float(matrix.scale))
            if isinstance(matrix, Trits) and matrix.scale.ndim == 0
            else jnp.asarray(o.dense(matrix), jnp.float32)
        )
        return np.asarray(linear(given[0], packed, Numerics.HF_BF16, c.linear_class), np.float64)
    if case.op.kind == "rope":
        tables = layers.rope_tables(jnp.arange(len(inputs[0])), c.head_dim, c.rope_theta, c.rope_factors, to_bfloat16)
        return np.asarray(layers.rope(given[0], *tables, to_bfloat16), np.float64)
    if case.op.kind == "attention":
        positions = jnp.arange(len(inputs[0]))
        return np.asarray(layers.attention(given[0], given[1], given[2], positions, to_bfloat16), np.float64)
    if case.op.kind == "gated":
        gate = layers.activate(given[0], c.activation, to_bfloat16)
        return np.asarray(to_bfloat16(gate * given[1]), np.float64)
    return _kept(case.reference.compute(case.op, case.layer, inputs), QuantType.BF16)
