"""What goes wrong in rope: the other pairs, the other way, other positions, another base, no factors, nothing at all.

The base is solved: pair j of a row at position 1 is turned by base^(−2j / head_dim).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.hypotheses import Alternative
from bitnet_parity.diagnosis.replay import Case

BASES = (10_000.0, 500_000.0, 1_000_000.0, 100_000.0, 1_000_042.0)
OFFSETS = (1, -1)
BLURRED = 0.3
"""How far the logarithm of a base may be off that is solved from one turn in bfloat16."""


def of_rope(case: Case) -> Iterator[Alternative]:
    """Yield how else queries or keys may have been turned."""
    c = case.reference.weights.config
    which = "queries" if case.op.name == "rope_q" else "keys"

    def turned(name: str, says: str, should: str, theta: float = c.rope_theta, **changes: Any) -> Alternative:
        factors = changes.pop("factors", c.rope_factors)
        return Alternative(
            name=name,
            says=says,
            should=should,
            compute=lambda inputs, _: o.rotate(inputs[0], theta, factors, keep=case.keep, **changes),
            remedy=f"in the candidate's rope: {should}",
        )

    yield Alternative(
        name="rope-skipped",
        says=f"does not turn {which}",
        should="the graph turns them by their position",
        compute=lambda inputs, _: inputs[0],
        remedy="apply rope to queries and keys",
    )
    halves = "pairs are (j, j + head_dim/2), ggml's NEOX"
    yield turned("rope-neighbours", "turns pairs (2j, 2j + 1)", halves, pairing="neighbours")
    yield turned("rope-reversed", "turns the other way", "angles are positive", sign=-1)
    for offset in OFFSETS:
        says = f"counts the position of {which} from {offset}"
        yield turned("rope-offset", says, "positions count from 0", offset=offset)
    if c.rope_factors:
        yield turned("rope-unscaled", "leaves the frequencies unscaled", "config scales them", factors=())
    for theta in (*BASES, *_solved(case)):
        if theta != c.rope_theta:
            yield turned("theta-other", f"computes with base {theta:.7g}", f"config says {c.rope_theta:.7g}", theta)


def _solved(case: Case) -> Iterator[float]:
    """Yield the base that the second pair's turn at position 1 says, rounded and not."""
    x, y = case.inputs[0], case.found
    half = x.shape[-1] // 2
    if len(x) < 2 or half < 2 or case.reference.weights.config.rope_factors:
        return
    before = x[1, :, 1] + 1j * x[1, :, 1 + half]
    after = y[1, :, 1] + 1j * y[1, :, 1 + half]
    angle = float(np.angle((after * before.conj()).sum()))
    if angle > 0:
        base = _refined(case, angle ** (-half))
        if np.isfinite(base):
            yield float(f"{base:.2g}")
            yield float(f"{base:.4g}")
            yield base


def _refined(case: Case, base: float) -> float:
    """Return the base near `base` whose result is nearest, where bfloat16 has blurred the one turn that it is from."""
    if case.keep is o.as_is or not np.isfinite(base):
        return base
    near = np.log(base) - BLURRED, np.log(base) + BLURRED
    best = minimize_scalar(
        lambda log: o.residual(case.found, o.rotate(case.inputs[0], float(np.exp(log)))), bounds=near, method="bounded"
    )
    return float(np.exp(best.x))
