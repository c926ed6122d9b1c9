"""Means over tokens that are not independent, and the percentiles reports print.

    mean = clustered_mean(sums=[3.1, 2.7], counts=[100, 90])      # one sum and one count a document
    mean.estimate, mean.standard_error, mean.lower, mean.upper

Tokens of one document share its difficulty, so the document is the sampling unit: an interval from the
standard error of independent tokens, as perplexity tools print it, covers the truth 22 to 39 % of the time
where it claims 95 % (docs/parity.md §3). Knows no model, no metric and no limit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ClusteredMean:
    """A token-weighted mean and its 95 % bounds; bounds are NaN for fewer than two documents.

    `lower` and `upper` are each a one-sided bound; `interval` is the two-sided one, which is wider.
    """

    estimate: float
    standard_error: float
    documents: int
    lower: float
    upper: float
    interval: tuple[float, float]


def clustered_mean(sums: Sequence[float], counts: Sequence[int]) -> ClusteredMean:
    """Return the ratio estimate Σ sums / Σ counts with a standard error clustered by document.

    The linearised ratio estimator: with residuals e_d = S_d − r·n_d over D documents,
    SE² = D/(D−1) · Σ e_d² / (Σ n_d)²; bounds from Student's t with D−1 degrees of freedom
    (Cochran, Sampling Techniques, chapter 6). Documents without a token don't count. All NaN where
    there is no token, or a sum is not finite.
    """
    s, n = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    s, n = s[n > 0], n[n > 0]
    documents, tokens = len(n), float(n.sum())
    estimate = float(s.sum() / tokens) if documents else math.nan
    error = _standard_error(s, n, estimate) if documents > 1 and math.isfinite(estimate) else math.nan
    one, two = (_margin(error, documents, tail) for tail in (1 - CONFIDENCE, (1 - CONFIDENCE) / 2))
    return ClusteredMean(estimate, error, documents, estimate - one, estimate + one, (estimate - two, estimate + two))


def documents_needed(mean: ClusteredMean, limit: float) -> int | None:
    """Estimate how many documents settle whether |mean| is under `limit`; None if that cannot be told.

    The bound moves with 1/√D: it reaches the limit at D·(margin / distance to the limit)².
    """
    margin, distance = mean.upper - mean.estimate, abs(limit - abs(mean.estimate))
    if not math.isfinite(margin) or distance == 0:
        return None
    return math.ceil(mean.documents * (margin / distance) ** 2)


def percentile(ordered: np.ndarray, fraction: float) -> float:
    """Return the quantile of a sorted vector, linear between neighbours as numpy's; NaN for an empty one.

    Infinities stand for values that are missing at that end: between a number and an infinity the answer
    is the infinity, where numpy's would be NaN with a warning.
    """
    if not len(ordered):
        return math.nan
    below, share = divmod(fraction * (len(ordered) - 1), 1.0)
    low = float(ordered[int(below)])
    high = float(ordered[min(int(below) + 1, len(ordered) - 1)])
    if share == 0 or low == high:
        return low
    if math.isinf(low) or math.isinf(high):
        return low if math.isinf(low) else high
    return low + (high - low) * share


def _standard_error(sums: np.ndarray, counts: np.ndarray, ratio: float) -> float:
    residuals = sums - ratio * counts
    documents = len(counts)
    return math.sqrt(documents / (documents - 1) * float(residuals @ residuals)) / float(counts.sum())


def _margin(error: float, documents: int, tail: float) -> float:
    if math.isnan(error):
        return math.nan
    from scipy.special import stdtrit

    return float(stdtrit(documents - 1, 1 - tail)) * error
