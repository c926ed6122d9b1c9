"""What goes wrong in a norm: left out, centred, another eps, another gain.

eps and gain are solved: from y = x / √(mean(x²) + eps) · gain a gain is the least-squares ratio of each channel, and an
eps what each row's ratio leaves over its mean square.
"""

from collections.abc import Iterator

import numpy as np

from bitnet_engine.formats import Trits
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.graph import weight_name
from bitnet_parity.diagnosis.hypotheses import Alternative, permuted
from bitnet_parity.diagnosis.replay import Case

EPSILONS = (1e-5, 1e-6, 1e-8, 1e-12, 0.0)
CLOSE, CLOSE_BF16 = 1e-4, 2.0**-8
"""How well a solved gain must be one that is known, relative to the largest; and where the results are bfloat16."""


def of_norm(case: Case) -> Iterator[Alternative]:
    """Yield what a norm may have been instead."""
    c = case.reference.weights.config
    own = case.op.name.endswith("_norm_in") and c.input_norm_eps is not None
    eps = c.input_norm_eps if own and c.input_norm_eps is not None else c.rms_eps
    gain = case.reference.matrix(case.op, case.layer)
    assert isinstance(gain, np.ndarray)
    wide, x = gain.astype(np.float64), case.inputs[0]
    yield Alternative(
        name="norm-skipped",
        says="hands on its input",
        should=f"the graph has {case.op.name} there",
        compute=lambda inputs, _: inputs[0],
        remedy=f"compute {case.op.name} in the candidate's graph",
    )
    yield Alternative(
        name="norm-centred",
        says="subtracts the mean first (LayerNorm)",
        should="the graph has RMSNorm",
        compute=lambda inputs, _: o.normalise(inputs[0], wide, eps, centred=True, keep=case.keep),
        remedy="compute RMSNorm: no mean is subtracted",
    )
    if case.features is not None and case.op.name == "ffn_sub_norm":
        order = case.features
        yield permuted(lambda inputs, _: o.normalise(inputs[0], wide[order], eps, keep=case.keep))
    yield from _other_eps(case, wide, eps)
    yield from _other_gain(case, wide, eps, x)


def _other_eps(case: Case, gain: np.ndarray, eps: float) -> Iterator[Alternative]:
    x = case.inputs[0]
    shaped = x * gain
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (case.found * shaped).sum(-1) / np.square(shaped).sum(-1)
        left = 1 / np.square(ratio) - np.square(x).mean(-1)
    solved = left[np.isfinite(left)]
    # The row with the smallest mean square says most about what is added to it.
    guess = float(np.median(solved)) if solved.size else eps
    for other in (*EPSILONS, float(f"{guess:.1g}"), guess):
        if other != eps and np.isfinite(other) and other >= 0:
            yield Alternative(
                name="eps-other",
                says=f"computes with eps {other:.3g}",
                should=f"config says {eps:.3g}",
                compute=lambda inputs, _, other=other: o.normalise(inputs[0], gain, other, keep=case.keep),
                remedy=f"set eps to {eps:.3g} in the candidate's config or graph",
            )


def _other_gain(case: Case, gain: np.ndarray, eps: float, x: np.ndarray) -> Iterator[Alternative]:
    plain = o.normalise(x, np.ones(gain.size), eps).reshape(-1, gain.size)
    weight = np.square(plain).sum(0)
    solved = (case.found.reshape(plain.shape) * plain).sum(0) / np.where(weight == 0, 1, weight)
    close = CLOSE if case.keep is o.as_is else CLOSE_BF16
    known = (*_known_gains(case, gain), ("gain-other", "multiplies by another gain", None, solved))
    for name, says, source, other in known:
        if np.abs(solved - other).max() <= close * max(np.abs(other).max(), 1e-30):
            different = np.flatnonzero(np.abs(other - gain) > close * np.abs(gain).max())
            yield Alternative(
                name=name,
                says=says,
                should=f"the reference has {weight_name(case.op, case.layer)}",
                compute=lambda inputs, _, other=other: o.normalise(inputs[0], other, eps, keep=case.keep),
                rows=tuple(different.tolist()) if 0 < len(different) < len(gain) else (),
                source=source,
                of_weight=True,
                remedy=f"take {weight_name(case.op, case.layer)} from the reference",
            )


def _known_gains(case: Case, gain: np.ndarray) -> Iterator[tuple[str, str, str | None, np.ndarray]]:
    yield "gain-ones", "has a gain of 1", None, np.ones(gain.size)
    yield "gain-plus-one", "adds 1 to the gain, as Gemma's norm does", None, gain + 1
    weights = case.reference.weights
    mine = weight_name(case.op, case.layer)
    for other in weights.names:
        if other != mine and "norm" in other and weights.info(other).shape == gain.shape:
            values = weights.read(other)
            assert not isinstance(values, Trits)
            yield "gain-of-another", f"has the gain of {other}", other, values.astype(np.float64)
