"""What goes wrong in attention: no mask, another temperature, other heads, keys that are only padding.

The divisor of scores and the number of padded keys are solved. The first token sees itself alone, so that its result is
v · 1 / (1 + n · e^−score) where n keys of zeros take a share.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.hypotheses import Alternative
from bitnet_parity.diagnosis.replay import Case

MOST_PADDING = 1 << 20


def of_attention(case: Case) -> Iterator[Alternative]:
    """Yield what attention may have been instead."""
    q, k, _ = case.inputs
    dim = q.shape[-1]

    def other(name: str, says: str, should: str, **changes: Any) -> Alternative:
        return Alternative(
            name=name,
            says=says,
            should=should,
            compute=lambda inputs, _: o.attend(*inputs, keep=case.keep, **changes),
            remedy=f"in the candidate's attention: {should}",
        )

    yield other("mask-missing", "lets every token see those after it", "attention is causal", causal=False)
    if k.shape[1] not in (1, q.shape[1]):
        groups = f"query head h reads key head h // {q.shape[1] // k.shape[1]}"
        yield other("kv-modulo", f"reads key head h % {k.shape[1]} for query head h", groups, modulo=True)
    root = f"scores are divided by √{dim}"
    yield other("attention-scale-dimension", f"divides scores by {dim}, not its root", root, divisor=float(dim))
    yield other("attention-scale-missing", "does not divide scores", root, divisor=1.0)
    if (padded := _padding(case)) is not None:
        yield other("keys-padded", f"sees {padded} keys of zeros behind the last", "padding is masked", padded=padded)
    divisor = _divisor(case)
    yield other("attention-scale", f"divides scores by {divisor:.6g}", root, divisor=divisor)


def _padding(case: Case) -> int | None:
    """Return how many keys of zeros explain the first token's result, or None."""
    q, k, v = (values[0] for values in case.inputs)
    source = np.arange(len(q)) // (len(q) // len(k))
    score = (q * k[source]).sum(-1) / np.sqrt(q.shape[-1])
    found, seen = case.found[0].reshape(v[source].shape), v[source]
    share = (found * seen).sum() / np.square(seen).sum() if seen.any() else 1.0
    if not 0 < share < 1:
        return None
    shares = (found * seen).sum(-1) / np.maximum(np.square(seen).sum(-1), 1e-300)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        counts = (1 / shares - 1) * np.exp(score)
    count = float(np.median(counts))
    return round(count) if np.isfinite(count) and 1 <= round(count) <= MOST_PADDING else None


def _divisor(case: Case) -> float:
    """Return the divisor whose result is nearest to what was found."""
    root = np.sqrt(case.inputs[0].shape[-1])

    def distance(log: float) -> float:
        # A number where a result is not finite: what looks for the least of them cannot take infinity.
        return min(o.residual(case.found, o.attend(*case.inputs, divisor=float(np.exp(log)))), 1e30)

    best = minimize_scalar(distance, bounds=(np.log(root / 64), np.log(root * 64)), method="bounded")
    near = minimize_scalar(distance, bounds=(best.x - 0.1, best.x + 0.1), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(near.x))
