"""Running totals of a comparison, and the summary they end as.

    tally = Tally(near_tie=0.03, top_k=10)
    for row in ...: tally.add(row)
    tally.summary(documents, belief.describe())         # the `metrics` of a report, JSON-ready

Memory: four float64 a token (tau_b, tau_top, kl and delta_p, for exact percentiles: 32 bytes), nothing of the
vocabulary's size. A value that is missing takes the worst place in an order (tau −inf, kl and |delta_p| +inf), so no
percentile skips it. Totals depend on the rows alone, so a run that is taken up again adds the rows it has stored.
"""

import heapq
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitnet_parity.belief import WORST
from bitnet_parity.rows import DocumentRow, TokenRow, finite
from bitnet_parity.statistics import (
    Pairs,
    bootstrap_interval,
    clustered_mean,
    mcnemar,
    percentile,
    wilson_interval,
)

TAU_PERCENTILES = {"median": 0.5, "p10": 0.1, "p05": 0.05, "p01": 0.01}
# As llama.cpp's --kl-divergence prints them; its percentiles are linear between neighbours too.
_TAILS = {"p10": 0.1, "p05": 0.05, "p01": 0.01, "p00.1": 0.001}
KL_PERCENTILES = {"p99.9": 0.999, "p99": 0.99, "p95": 0.95, "p90": 0.9, "median": 0.5, **_TAILS}
DELTA_P_PERCENTILES = {**KL_PERCENTILES, "p75": 0.75, "p25": 0.25}
WORST_FIELDS = ("index", "document", "position", "token", "text", "tau_b", "tau_b_error", "tau_top", "kl")
_COLUMNS = ("tau_b", "tau_top", "kl", "delta_p")
MEANS = ("js", "nmse", "cosine", "max_abs", "overlap")


class Tally:
    """Totals over the tokens seen so far.

    A flip whose margin is at most `near_tie` is one that noise alone would make; None where no noise was measured.
    """

    def __init__(self, *, near_tie: float | None, top_k: int) -> None:
        self._near_tie, self._top_k = near_tie, top_k
        self._columns = {name: array("d") for name in _COLUMNS}
        self._means = {name: _Mean() for name in MEANS}
        self._errors = _Mean()
        self._flips = self._near_ties = self._estimated = 0
        self._nll_undefined = self._nll_unequal = 0
        self._nll, self._hits = Pairs(), [0, 0, 0, 0]
        self._worst: list[tuple[float, int, dict[str, Any]]] = []

    def add(self, row: TokenRow) -> None:
        """Count one token."""
        for name, column in self._columns.items():
            column.append(getattr(row, name))
        for name, mean in self._means.items():
            mean.add(getattr(row, name))
        if row.tau_b_error:
            self._estimated += 1
            self._errors.add(row.tau_b_error)
        self._flips += not row.same_top
        self._near_ties += not row.same_top and self._near_tie is not None and row.margin <= self._near_tie
        defined = math.isfinite(row.nll_reference) and math.isfinite(row.nll_candidate)
        self._nll_undefined += not defined
        self._nll_unequal += row.nll_reference != row.nll_candidate
        if defined:
            self._nll.add(row.nll_candidate, row.nll_reference)
        self._hits[2 * _hit(row, "reference") + _hit(row, "candidate")] += 1
        self._keep_worst(row)

    def _keep_worst(self, row: TokenRow) -> None:
        # A heap whose first is the best of the worst: the one that a worse token replaces.
        entry = (math.inf if math.isnan(row.tau_b) else -row.tau_b, -row.index)
        if len(self._worst) < WORST or entry > self._worst[0][:2]:
            kept = (*entry, {name: finite(getattr(row, name)) for name in WORST_FIELDS})
            (heapq.heappush if len(self._worst) < WORST else heapq.heapreplace)(self._worst, kept)

    def summary(self, documents: Sequence[DocumentRow], policy: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metrics of the run; null is a value that is missing.

        | field | meaning |
        |---|---|
        | tokens | tokens scored |
        | tau_b | how it was taken (`policy`, why, ids of the subset and of the union's sides, `estimated` tokens and |
        | | their mean standard `error`); median, p10, p05, p01, min of all tokens; mean of those defined; counts |
        | | undefined, not_one; `worst`: the lowest tokens, exact each |
        | tau_top | tau-b of the union of the best ids, exact on every token; percentiles as tau_b |
        | mean_nll_reference, mean_nll_candidate | nats/token |
        | nll_undefined, nll_unequal | tokens that lack an nll; tokens where the two differ at all |
        | delta_mean_nll | candidate − reference, which is ln(PPL(Q)/PPL(base)), with its 95 % bounds, clustered by |
        | | document, and the percentile interval of a seeded document bootstrap |
        | perplexity_reference, perplexity_candidate | exp of the mean nll, PPL(base) and PPL(Q) |
        | nll_correlation | Pearson's, over tokens: Cor(ln(PPL(Q)), ln(PPL(base))) |
        | kl | KL(reference ‖ candidate), nats; percentiles; `undefined` counts what is not finite |
        | delta_p | probability of the target, candidate − reference; percentiles, rms |
        | js, nmse, cosine, max_abs, overlap | mean, min, max of those defined, `undefined` of the others |
        | same_top | share of tokens with the same best id, and its Wilson interval |
        | flips | the others: count, near_tie (the margin is within the noise floor), real |
        | accuracy | share of targets that are the best id, of each side, and McNemar's exact test of the two |
        """
        tokens = len(self._columns["kl"])
        means = {side: _mean_nll(documents, side) for side in ("reference", "candidate")}
        return {
            "tokens": tokens,
            "tau_b": {**policy, **self._tau_policy(), **self._tau_summary("tau_b"), "worst": self._worst_first()},
            "tau_top": self._tau_summary("tau_top"),
            **{f"mean_nll_{side}": finite(mean) for side, mean in means.items()},
            "nll_undefined": self._nll_undefined,
            "nll_unequal": self._nll_unequal,
            "delta_mean_nll": _delta(documents),
            **{f"perplexity_{side}": finite(_exp(mean)) for side, mean in means.items()},
            "nll_correlation": finite(self._nll.correlation),
            "kl": self._kl_summary(),
            "delta_p": self._delta_p_summary(),
            **{name: mean.to_json() for name, mean in self._means.items()},
            "top_k": self._top_k,
            "same_top": _share(tokens - self._flips, tokens),
            "flips": self._flips_summary(),
            "accuracy": self._accuracy(tokens),
        }

    def _tau_policy(self) -> dict[str, Any]:
        return {"estimated": self._estimated, "error": self._errors.to_json()["mean"] if self._estimated else 0.0}

    def _tau_summary(self, name: str) -> dict[str, Any]:
        values = self._values(name)
        defined = values[~np.isnan(values)]
        ordered = np.sort(np.where(np.isnan(values), -np.inf, values))
        return {
            **_percentiles(ordered, TAU_PERCENTILES),
            "min": finite(percentile(ordered, 0.0)),
            "mean": float(defined.mean()) if len(defined) else None,
            "undefined": len(values) - len(defined),
            "not_one": int((values != 1.0).sum()),
        }

    def _worst_first(self) -> list[dict[str, Any]]:
        return [fields for *_, fields in sorted(self._worst, key=lambda entry: entry[:2], reverse=True)]

    def _kl_summary(self) -> dict[str, Any]:
        values = self._values("kl")
        ordered = np.sort(np.where(np.isnan(values), np.inf, values))
        finite_values = values[np.isfinite(values)]
        return {
            "mean": float(finite_values.mean()) if len(finite_values) else None,
            "max": finite(percentile(ordered, 1.0)),
            **_percentiles(ordered, KL_PERCENTILES),
            "min": finite(percentile(ordered, 0.0)),
            "undefined": len(values) - len(finite_values),
        }

    def _delta_p_summary(self) -> dict[str, Any]:
        values = self._values("delta_p")
        defined = values[~np.isnan(values)]
        # Missing on one side, it could stand at either end: no percentile of such a run is told.
        ordered = np.sort(values) if len(defined) == len(values) else np.empty(0)
        return {
            "mean": float(defined.mean()) if len(defined) else None,
            "rms": math.sqrt(float((defined * defined).mean())) if len(defined) else None,
            "max": finite(percentile(ordered, 1.0)),
            **_percentiles(ordered, DELTA_P_PERCENTILES),
            "min": finite(percentile(ordered, 0.0)),
            "undefined": len(values) - len(defined),
        }

    def _flips_summary(self) -> dict[str, Any]:
        known = self._near_tie is not None
        return {
            "count": self._flips,
            "near_tie": self._near_ties if known else None,
            "real": self._flips - self._near_ties if known else None,
            "near_tie_margin": self._near_tie,
        }

    def _accuracy(self, tokens: int) -> dict[str, Any]:
        _, only_candidate, only_reference, both = self._hits
        return {
            "reference": _share(both + only_reference, tokens),
            "candidate": _share(both + only_candidate, tokens),
            "only_reference": only_reference,
            "only_candidate": only_candidate,
            "mcnemar_p": mcnemar(only_reference, only_candidate),
        }

    def _values(self, name: str) -> np.ndarray:
        column = self._columns[name]
        return np.frombuffer(column) if column else np.empty(0)


class _Mean:
    """Mean and ends of the finite values added, and how many others there were."""

    def __init__(self) -> None:
        self._sum, self._count, self._undefined = 0.0, 0, 0
        self._min, self._max = math.inf, -math.inf

    def add(self, value: float) -> None:
        if not math.isfinite(value):
            self._undefined += 1
            return
        self._sum, self._count = self._sum + value, self._count + 1
        self._min, self._max = min(self._min, value), max(self._max, value)

    def to_json(self) -> dict[str, Any]:
        mean = self._sum / self._count if self._count else None
        return {"mean": mean, "min": finite(self._min), "max": finite(self._max), "undefined": self._undefined}


def _hit(row: TokenRow, side: str) -> bool:
    top = getattr(row, f"top_{side}")
    return bool(top) and top[0][0] == row.token and math.isfinite(top[0][2])


def _percentiles(ordered: np.ndarray, shares: Mapping[str, float]) -> dict[str, float | None]:
    return {name: finite(percentile(ordered, share)) for name, share in shares.items()}


def _share(count: int, total: int) -> dict[str, Any]:
    return {"share": count / total if total else None, "interval": [finite(b) for b in wilson_interval(count, total)]}


def _mean_nll(documents: Sequence[DocumentRow], side: str) -> float:
    sums = [getattr(row, f"nll_{side}") for row in documents]
    return clustered_mean(sums, [row.tokens for row in documents]).estimate


def _delta(documents: Sequence[DocumentRow]) -> dict[str, Any]:
    sums, counts = [row.nll_candidate - row.nll_reference for row in documents], [row.tokens for row in documents]
    mean, bootstrap = clustered_mean(sums, counts), bootstrap_interval(sums, counts)
    return {
        "estimate": finite(mean.estimate),
        "standard_error": finite(mean.standard_error),
        "documents": mean.documents,
        "lower": finite(mean.lower),
        "upper": finite(mean.upper),
        "interval": [finite(bound) for bound in mean.interval],
        "bootstrap": bootstrap.to_json(),
    }


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):  # a perplexity past 1e308 is infinite, and null in JSON
        return float(np.exp(value))
