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
from typing import Any

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Resamples of a bootstrap: its 2.5 % quantile is then the 50th lowest value."""
# Resampled counts of documents are held for about this many documents at once: 8 MiB.
_RESAMPLED = 1 << 20


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


@dataclass(frozen=True)
class Bootstrap:
    """A two-sided 95 % percentile interval; NaN for fewer than two documents, or a sum that is not finite."""

    interval: tuple[float, float]
    resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON, null for a bound that is missing."""
        interval = [bound if math.isfinite(bound) else None for bound in self.interval]
        return {"interval": interval, "resamples": self.resamples, "seed": self.seed}


def bootstrap_interval(
    sums: Sequence[float], counts: Sequence[int], *, resamples: int = RESAMPLES, seed: int = 0
) -> Bootstrap:
    """Return the percentile interval of Σ sums / Σ counts over documents drawn with replacement.

    Shown beside the clustered interval, not judged by: with 40 documents it is the narrower of the two (Efron and
    Tibshirani, An Introduction to the Bootstrap, chapter 13). Memory does not grow with documents × resamples.
    """
    s, n = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    s, n = s[n > 0], n[n > 0]
    if len(n) < 2 or not np.isfinite(s).all():
        return Bootstrap((math.nan, math.nan), resamples, seed)
    generator, ratios, step = np.random.default_rng(seed), np.empty(resamples), max(1, _RESAMPLED // len(n))
    for start in range(0, resamples, step):
        part = ratios[start : start + step]
        # How often each document is drawn is multinomial: no index of any draw is needed.
        drawn = generator.multinomial(len(n), np.full(len(n), 1 / len(n)), size=len(part)).astype(np.float64)
        part[:] = (drawn @ s) / (drawn @ n)
    ratios.sort()
    tail = (1 - CONFIDENCE) / 2
    return Bootstrap((percentile(ratios, tail), percentile(ratios, 1 - tail)), resamples, seed)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Return Wilson's two-sided 95 % interval of a share (JASA 22, 1927); NaN of nothing.

    It takes tokens as independent, which tokens of one document are not: read it as the narrowest it can be.
    """
    if not total:
        return math.nan, math.nan
    from scipy.special import ndtri

    z, share = float(ndtri((1 + CONFIDENCE) / 2)), count / total
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the two terms are equal, and only rounding keeps the bound from 0 or 1.
    return (0.0 if count == 0 else middle - half), (1.0 if count == total else middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p of McNemar's exact test: are the tokens that only one side gets right split evenly?

    1 where there are none. It takes tokens as independent, as `wilson_interval` does.
    """
    total = only_first + only_second
    if not total:
        return 1.0
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(only_first, only_second), total, 0.5)))


class Pairs:
    """Running covariance of pairs of numbers, in one pass and without cancellation (Welford 1962)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean_x = self._mean_y = self._xx = self._yy = self._xy = 0.0

    def add(self, x: float, y: float) -> None:
        """Add one pair of finite numbers."""
        self._count += 1
        from_x, from_y = x - self._mean_x, y - self._mean_y
        self._mean_x += from_x / self._count
        self._mean_y += from_y / self._count
        self._xx += from_x * (x - self._mean_x)
        self._yy += from_y * (y - self._mean_y)
        self._xy += from_x * (y - self._mean_y)

    @property
    def correlation(self) -> float:
        """Pearson's correlation of the pairs; NaN where either side does not vary."""
        spread = math.sqrt(self._xx) * math.sqrt(self._yy)
        return min(1.0, max(-1.0, self._xy / spread)) if spread > 0 else math.nan


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
