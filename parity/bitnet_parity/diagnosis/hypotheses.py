"""What else an operation could have computed: every known alternative, tried on the candidate's own input.

    for alternative in alternatives(case):
        alternative.name, alternative.compute(case.inputs, case.found)

An alternative is a proposal. Only `explain`, which finds the one whose residual drops to the operation's tolerance,
makes a cause of it; continuous quantities (a gain, eps, theta) are solved from what was found and judged like the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.replay import Case, Compute

BETTER = 2.0
"""Times nearer than the reference: of results in bfloat16, whose edges are wide, less could be chance."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Alternative:
    """Something else that an operation may have done."""

    name: str
    says: str
    """What the candidate then computes, after "candidate"."""
    should: str
    compute: Compute
    rows: tuple[int, ...] = ()
    """Rows of the weight that are concerned, where not all are."""
    tolerance: float | None = None
    """Where another than the operation's proves it: rounding to bfloat16 has edges of its own."""
    harmless: bool = False
    source: str | None = None
    """The weight that is in the place of the right one, by canonical name."""
    of_weight: bool = False
    """Whether the operation's weight is another, and not what is done with it."""
    order: np.ndarray | None = None
    """Row of the reference that each row is, of a matrix whose rows are in another order."""
    remedy: str


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """An alternative that was proved."""

    alternative: Alternative
    residual: float


def permuted(compute: Compute) -> Alternative:
    """Return the alternative that a weight has the feed-forward's features in the order that ffn_gate showed."""
    return Alternative(
        name="features-permuted",
        says="has the features of the feed-forward in the order that ffn_gate has",
        should="the sums are the same",
        compute=compute,
        harmless=True,
        of_weight=True,
        remedy="nothing: the order of features is free where all weights have one",
    )


def alternatives(case: Case) -> Iterator[Alternative]:
    """Yield what is known to be done in place of this operation, what explains most precisely first."""
    from bitnet_parity.diagnosis import rounding

    yield from _of_kind(case)
    yield from rounding.of_any(case)
    yield from _loosest(case)


def _of_kind(case: Case) -> Iterator[Alternative]:
    from bitnet_parity.diagnosis import attending, gating, norming, products, tables, turning

    families: dict[str, Callable[[Case], Iterator[Alternative]]] = {
        "norm": norming.of_norm,
        "rope": turning.of_rope,
        "attention": attending.of_attention,
        "gated": gating.of_gate,
        "sum": gating.of_sum,
        "product": products.of_product,
        "embedding": tables.of_embedding,
        "head": tables.of_head,
    }
    return families[case.op.kind](case)


def _loosest(case: Case) -> Iterator[Alternative]:
    from bitnet_parity.diagnosis import tables

    if case.op.kind == "head":
        yield from tables.of_head_in_steps(case)


def explain(case: Case) -> Explained | None:
    """Return the first alternative that gives what was found to the operation's tolerance, or None.

    Of results in bfloat16 a rounding explains before anything else does: what is within it cannot be told apart.
    """
    if case.keep is o.as_is or case.op.kind == "embedding":
        return _first(case, alternatives(case))
    from bitnet_parity.diagnosis import rounding

    harmless = _first(case, rounding.of_any(case))
    return harmless or _nearest(case, _of_kind(case)) or _first(case, _loosest(case))


def _first(case: Case, offered: Iterator[Alternative]) -> Explained | None:
    for alternative in offered:
        distance = _distance(case, alternative)
        if distance <= (case.tolerance if alternative.tolerance is None else alternative.tolerance):
            return Explained(alternative, distance)
    return None


def _nearest(case: Case, offered: Iterator[Alternative]) -> Explained | None:
    """Return the nearest of what gives the found bfloat16 numbers, and far better than the reference gives them."""
    most = min(case.slack, o.residual(case.found, case.kept) / BETTER)
    best: Explained | None = None
    for alternative in offered:
        given = replace(alternative, compute=_kept(case.keep, alternative.compute))
        distance = _distance(case, given)
        if distance <= most and (best is None or distance < best.residual):
            best = Explained(given, distance)
            if distance <= case.tolerance:
                break  # the very bits, or nearly
    return best


def _kept(keep: o.Keep, compute: Compute) -> Compute:
    return lambda inputs, like: keep(compute(inputs, like))


def _distance(case: Case, alternative: Alternative) -> float:
    given = alternative.compute(case.inputs, case.flat)
    return o.residual(case.found, given.reshape(case.found.shape))
