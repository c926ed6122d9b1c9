"""What goes wrong between the matrices: another activation, or of the wrong factor; a sum that leaves a part out."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.hypotheses import Alternative
from bitnet_parity.diagnosis.replay import Case, Compute

FLOAT16_TOLERANCE = 1e-4
"""Gate and up were captured in float32: rounded twice, a few of them end a unit of float16 off."""
ACTIVATIONS = ("silu", "relu2", "relu", "gelu", "gelu_tanh", "identity")


def of_gate(case: Case) -> Iterator[Alternative]:
    """Yield what may have been computed of gate and up."""
    right = case.reference.weights.config.activation

    def other(name: str, says: str, compute: Compute, *, remedy: str = "") -> Alternative:
        return Alternative(
            name=name,
            says=says,
            should=f"config says {right}",
            compute=compute,
            remedy=remedy or f"compute {right}(gate)·up in the candidate's graph",
        )

    for kind in ACTIVATIONS:
        if kind != right:
            name = "activation-relu" if kind == "relu" and right == "relu2" else "activation-other"
            remedy = _architecture(kind, right)
            compute = lambda inputs, _, kind=kind: o.gated(inputs[0], inputs[1], kind, keep=case.keep)  # noqa: E731
            yield other(name, f"computes {kind}(gate)·up", compute, remedy=remedy)
    compute = lambda inputs, _: o.gated(inputs[1], inputs[0], right, keep=case.keep)  # noqa: E731
    yield other("activation-of-up", f"computes {right}(up)·gate", compute)
    half = "compute gate and up in float32 or bfloat16: float16 ends at 65504"
    compute = lambda inputs, _: o.gated_float16(inputs[0], inputs[1], right)  # noqa: E731
    words = "computes the gated product in float16"
    yield replace(other("activation-float16", words, compute, remedy=half), tolerance=FLOAT16_TOLERANCE)
    yield other("up-left-out", f"computes {right}(gate) alone", lambda inputs, _: o.activated(inputs[0], right))


def _architecture(found: str, right: str) -> str:
    """A GGUF says its activation by its architecture alone (microsoft/BitNet #588, #602)."""
    if {found, right} != {"relu2", "silu"}:
        return ""
    name = "bitnet-b1.58" if right == "relu2" else "bitnet"
    return (
        f"compute {right}(gate)·up. In a GGUF the architecture decides: general.architecture must be {name}; convert "
        f"the model again, `bitnet-tui convert REF OUT.gguf --type I2_S`"
    )


def of_sum(case: Case) -> Iterator[Alternative]:
    """Yield what may have been added to the residual stream."""
    stream, branch = case.inputs
    what = "attention" if case.op.name == "attn_residual" else "the feed-forward"
    yield Alternative(
        name="branch-dropped",
        says=f"does not add the result of {what}",
        should="the graph adds it to the residual stream",
        compute=lambda inputs, _: inputs[0],
        remedy=f"add the result of {what}",
    )
    yield Alternative(
        name="residual-dropped",
        says=f"hands on the result of {what} alone",
        should="the graph adds it to the residual stream",
        compute=lambda inputs, _: inputs[1],
        remedy="add the residual stream",
    )
    size = float(np.square(branch).sum())
    factor = float(((case.found - stream) * branch).sum() / size) if size else 1.0
    yield Alternative(
        name="branch-scaled",
        says=f"adds {factor:.6g} times the result of {what}",
        should="the graph adds it as it is",
        compute=lambda inputs, _: inputs[0] + factor * inputs[1],
        remedy=f"add the result of {what} unscaled",
    )
