"""What else an operation could have computed: every known alternative, tried on the candidate's own input.

    for alternative in alternatives(case):
        alternative.name, alternative.compute(case.inputs, case.found)

An alternative is a proposal. Only `explain`, which finds the one whose residual drops to the operation's tolerance,
makes a cause of it; continuous quantities (a gain, eps, theta) are solved from what was found and judged like the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.replay import Case, Compute


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
    from bitnet_parity.diagnosis import attending, gating, norming, products, rounding, tables, turning

    families: dict[str, tuple[Callable[[Case], Iterator[Alternative]], ...]] = {
        "norm": (norming.of_norm,),
        "rope": (turning.of_rope,),
        "attention": (attending.of_attention,),
        "gated": (gating.of_gate,),
        "sum": (gating.of_sum,),
        "product": (products.of_product,),
        "embedding": (tables.of_embedding,),
        "head": (tables.of_head,),
    }
    loosest = (tables.of_head_in_steps,) if case.op.kind == "head" else ()
    for family in (*families[case.op.kind], rounding.of_any, *loosest):
        yield from family(case)


def explain(case: Case) -> Explained | None:
    """Return the first alternative that gives what was found to the operation's tolerance, or None."""
    for alternative in alternatives(case):
        given = alternative.compute(case.inputs, case.flat)
        distance = o.residual(case.found, given.reshape(case.found.shape))
        if distance <= (case.tolerance if alternative.tolerance is None else alternative.tolerance):
            return Explained(alternative, distance)
    return None
