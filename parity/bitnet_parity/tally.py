"""Running totals of a comparison, and the summary they end as.

    tally = Tally()
    for window in ...: tally.add(window)
    tally.summary(documents)                            # the `metrics` of a report, JSON-ready

Memory: two float64 a token (tau_b and kl, for exact percentiles), nothing of the vocabulary's size. A value
that is missing takes the worst place in an order (tau_b −inf, kl +inf), so no percentile skips it.
"""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitnet_parity.metrics import WindowMetrics
from bitnet_parity.rows import DocumentRow, finite
from bitnet_parity.statistics import clustered_mean, percentile

_TAU_PERCENTILES = {"median": 0.5, "p10": 0.1, "p05": 0.05, "p01": 0.01}
# As llama.cpp's --kl-divergence prints them.
_KL_PERCENTILES = {"p99.9": 0.999, "p99": 0.99, "p95": 0.95, "p90": 0.9, "median": 0.5}


class Tally:
    """Totals over the tokens seen so far."""

    def __init__(self) -> None:
        self._tau_b, self._kl = array("d"), array("d")
        self._same_top = self._nll_undefined = self._nll_unequal = 0

    def add(self, window: WindowMetrics) -> None:
        """Count the tokens of one window."""
        self._tau_b.frombytes(window.tau_b.tobytes())
        self._kl.frombytes(window.kl.tobytes())
        self._same_top += int(window.same_top.sum())
        both = np.isfinite(window.nll_reference) & np.isfinite(window.nll_candidate)
        self._nll_undefined += int((~both).sum())
        self._nll_unequal += int((window.nll_reference != window.nll_candidate).sum())

    def summary(self, documents: Sequence[DocumentRow]) -> dict[str, Any]:
        """Return the metrics of the run; null is a value that is missing.

        | field | meaning |
        |---|---|
        | tokens | tokens scored |
        | tau_b | median, p10, p05, p01, min of all tokens; mean of those defined; counts undefined, not_one |
        | mean_nll_reference, mean_nll_candidate | nats/token |
        | nll_undefined, nll_unequal | tokens that lack an nll; tokens where the two differ at all |
        | delta_mean_nll | candidate − reference with its 95 % bounds, clustered by document |
        | perplexity_reference, perplexity_candidate | exp of the mean nll |
        | kl | KL(reference ‖ candidate), nats; `undefined` counts what is not finite |
        | same_top, flips | share of tokens with the same best id; count of the others |
        """
        tokens = len(self._tau_b)
        means = {side: _mean_nll(documents, side) for side in ("reference", "candidate")}
        return {
            "tokens": tokens,
            "tau_b": self._tau_b_summary(),
            **{f"mean_nll_{side}": finite(mean) for side, mean in means.items()},
            "nll_undefined": self._nll_undefined,
            "nll_unequal": self._nll_unequal,
            "delta_mean_nll": _delta(documents),
            **{f"perplexity_{side}": finite(_exp(mean)) for side, mean in means.items()},
            "kl": self._kl_summary(),
            "same_top": self._same_top / tokens if tokens else None,
            "flips": tokens - self._same_top,
        }

    def _tau_b_summary(self) -> dict[str, Any]:
        values = np.frombuffer(self._tau_b) if self._tau_b else np.empty(0)
        defined = values[~np.isnan(values)]
        ordered = np.sort(np.where(np.isnan(values), -np.inf, values))
        return {
            **{name: finite(percentile(ordered, share)) for name, share in _TAU_PERCENTILES.items()},
            "min": finite(percentile(ordered, 0.0)),
            "mean": float(defined.mean()) if len(defined) else None,
            "undefined": len(values) - len(defined),
            "not_one": int((values != 1.0).sum()),
        }

    def _kl_summary(self) -> dict[str, Any]:
        values = np.frombuffer(self._kl) if self._kl else np.empty(0)
        ordered = np.sort(np.where(np.isnan(values), np.inf, values))
        finite_values = values[np.isfinite(values)]
        return {
            "mean": float(finite_values.mean()) if len(finite_values) else None,
            "max": finite(percentile(ordered, 1.0)),
            **{name: finite(percentile(ordered, share)) for name, share in _KL_PERCENTILES.items()},
            "undefined": len(values) - len(finite_values),
        }


def _mean_nll(documents: Sequence[DocumentRow], side: str) -> float:
    sums = [getattr(row, f"nll_{side}") for row in documents]
    return clustered_mean(sums, [row.tokens for row in documents]).estimate


def _delta(documents: Sequence[DocumentRow]) -> dict[str, Any]:
    sums = [row.nll_candidate - row.nll_reference for row in documents]
    mean = clustered_mean(sums, [row.tokens for row in documents])
    return {
        "estimate": finite(mean.estimate),
        "standard_error": finite(mean.standard_error),
        "documents": mean.documents,
        "lower": finite(mean.lower),
        "upper": finite(mean.upper),
        "interval": [finite(bound) for bound in mean.interval],
    }


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):  # a perplexity past 1e308 is infinite, and null in JSON
        return float(np.exp(value))
