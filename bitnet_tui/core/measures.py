"""By which number a run's tokens are judged on the screen: tau-b, KL, |Δlogit| or Δrank.

    KL.beyond(values, 0.05)            # which tokens are over it, bool [tokens]
    TAU.after()                        # the measure that `m` turns to next

A verdict is not made of these: the gates have their own limits. An undefined value is never taken for a good one.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Measure:
    """A number a token."""

    name: str
    column: str
    """Its column in the token table."""
    rising: bool
    """Whether more of it is worse."""
    about: str

    def beyond(self, values: np.ndarray, limit: float | None) -> np.ndarray:
        """Return which of float64 [tokens] are undefined or on the wrong side of `limit`, bool [tokens]."""
        undefined = np.isnan(values)
        if limit is None:
            return undefined
        return undefined | (values > limit if self.rising else values < limit)

    def worst_first(self, values: np.ndarray) -> np.ndarray:
        """Return `values` so that the smallest is the worst, an undefined one below all."""
        return np.nan_to_num(-values if self.rising else values, nan=-np.inf)

    def drifts(self, value: float, limit: float) -> bool:
        """Return whether a value within `limit` is nearer to it than to agreement."""
        return value > limit / 2 if self.rising else value < (limit + 1) / 2

    def after(self) -> "Measure":
        """Return the next measure, the first one after the last."""
        return MEASURES[(MEASURES.index(self) + 1) % len(MEASURES)]


TAU = Measure("τ-b", "tau_b", rising=False, about="rank correlation of both sides' logits; 1 is the same order")
KL = Measure("KL", "kl", rising=True, about="KL(reference ‖ candidate) of the next token, in nats")
SHIFT = Measure("|Δlogit|", "shift", rising=True, about="median difference of the logits that both lists hold")
RANK = Measure("Δrank", "rank", rising=True, about="ranks that the reference's first choice loses in the other list")

MEASURES = (TAU, KL, SHIFT, RANK)
