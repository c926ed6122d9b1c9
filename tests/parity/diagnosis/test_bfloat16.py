"""Operations of an engine in bfloat16: what is its rounding, and what is a fault behind it.

The results are made with ml_dtypes, which rounds after each operation as transformers does, and by no code of ours.
"""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.graph import layer_ops, weight_name
from bitnet_parity.diagnosis.hypotheses import explain
from bitnet_parity.diagnosis.replay import Case, Reference

SEQ = 24
HALF = ml_dtypes.bfloat16


def case(sound, name, found_of, family="bitnet"):
    """Return the operation `name` of layer 1 on random inputs, whose result is what `found_of` makes of them."""
    weights, model = sound[family]
    reference, random = Reference(weights), np.random.default_rng(3)
    op = next(op for op in layer_ops(model.config) if op.name == name)
    width = model.config.heads * model.config.head_dim if op.kind == "rope" else model.config.embed
    given = [random.normal(0, 1, (SEQ, width)).astype(HALF) for _ in op.inputs]
    inputs = reference.shaped(op, tuple(x.astype(np.float64) for x in given))
    found = found_of(
        *(x.astype(HALF) for x in inputs), reference.weights.read(weight_name(op, 1)) if op.kind == "norm" else None
    )
    return Case(reference, op, 1, inputs, np.asarray(found).astype(np.float64), tuple(range(SEQ)))


def normed(x, gain, eps):
    """RMSNorm as transformers writes it: in float32 up to the division."""
    wide = x.astype(np.float32)
    return (wide / np.sqrt(np.square(wide).mean(-1, keepdims=True) + np.float32(eps))).astype(HALF) * gain.astype(HALF)


def turned(x, theta):
    """Rope as transformers writes it: tables in float32, then all in the model's type."""
    dim = x.shape[-1]
    angle = np.arange(SEQ)[:, None] * theta ** (-np.arange(0, dim, 2) / dim)
    cos, sin = (np.tile(f(angle), 2).astype(HALF)[:, None] for f in (np.cos, np.sin))
    return x * cos + np.concatenate([-x[..., dim // 2 :], x[..., : dim // 2]], -1) * sin


@given(st.floats(width=32, allow_nan=False))
def test_rounding_is_that_of_ml_dtypes(value):
    """Red when a half is not rounded to even, or a large number does not overflow."""
    x = np.array([value], np.float32)
    assert o.bfloat16(x.astype(np.float64))[0] == float(x.astype(HALF)[0])


@pytest.mark.parametrize(
    ("name", "found_of"),
    [("attn_norm", lambda x, gain: normed(x, gain, 1e-5)), ("rope_q", lambda x, _: turned(x, 10000.0))],
)
def test_a_sound_operation_is_its_rounding(sound, name, found_of):
    """Red when an alternative whose effect is below bfloat16's edges is named before the rounding itself."""
    explained = explain(case(sound, name, found_of))
    assert explained is not None
    assert (explained.alternative.name, explained.alternative.harmless) == ("bfloat16", True)
    assert explained.residual < 1e-4


@pytest.mark.parametrize(
    ("name", "found_of", "expected", "says"),
    [
        ("attn_norm", lambda x, gain: normed(x, gain, 0.05), "eps-other", "eps 0.05"),
        ("attn_norm", lambda x, gain: normed(x, gain, 1e-5) / gain.astype(HALF), "gain-ones", "a gain of 1"),
        ("rope_k", lambda x, _: turned(x, 500000.0), "theta-other", "base 500000"),
        ("rope_q", lambda x, _: turned(x, 12345.0), "theta-other", "base 1234"),
    ],
)
def test_a_fault_behind_the_rounding_is_named(sound, name, found_of, expected, says):
    """Red when a fault of a bfloat16 engine is "nothing known", as its residual never gets down to float32's."""
    explained = explain(case(sound, name, found_of))
    assert explained is not None
    assert explained.alternative.name == expected
    assert says in explained.alternative.says


@pytest.mark.parametrize("family", ["bitnet", "llama"])
def test_a_scale_that_divides_where_it_multiplies_is_named_in_the_other_class(sound, family):
    """Red when a config that names the wrong linear class (bug #3) hides behind that class's own rounding."""
    weights, _ = sound[family]
    matrix = weights.read("blk.1.attn_q.weight")

    def other_class(x, _):
        wide, scale = x.astype(np.float32), np.float32(matrix.scale)
        largest = np.abs(wide).max(-1, keepdims=True)
        if family == "bitnet":  # published with weights that multiply, run by BitLinear
            step = (127 * (1 / largest).astype(HALF).astype(np.float32)).astype(HALF).astype(np.float32)
            codes = np.clip(np.rint((wide * step).astype(HALF).astype(np.float32)), -128, 127)
            sums = (codes @ matrix.values.T.astype(np.float32)).astype(HALF).astype(np.float32)
            return (sums / (step * scale).astype(HALF).astype(np.float32)).astype(HALF)
        step = 127 * (1 / largest)
        taken = (np.clip(np.rint(wide * step), -128, 127) / step).astype(HALF).astype(np.float32)
        return ((taken @ matrix.values.T.astype(np.float32)).astype(HALF).astype(np.float32) / scale).astype(HALF)

    explained = explain(case(sound, "attn_q", other_class, family))
    assert explained is not None
    assert explained.alternative.name == "scale-inverse"
