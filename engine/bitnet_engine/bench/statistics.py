"""Medians of samples and ratios of two sets of them, with intervals that assume little.

    median_of([4.1, 4.0, 4.3, 4.1, 4.0, 4.2])            # Estimate(value=4.1, interval=(4.0, 4.3), coverage=0.969)
    paired_ratio([2.0, 2.1, 1.9], [1.0, 1.0, 1.0])       # samples taken in turns, a pair a round
    unpaired_ratio(now, before)                          # samples of two days

Knows numbers only.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with the interval that holds the true one in the share `coverage` of cases; NaN where there is none."""

    value: float
    interval: tuple[float, float]
    coverage: float


NOTHING = Estimate(math.nan, (math.nan, math.nan), math.nan)


def median_of(samples: Sequence[float]) -> Estimate:
    """Return the median, and the narrowest pair of order statistics that covers it in 95 % of cases or more.

    Of fewer than six samples even the extremes cover less, and `coverage` says how much. Assumes independent samples
    and no distribution (Conover, Practical Nonparametric Statistics, section 3.2).
    """
    if not samples:
        return NOTHING
    ordered, n = sorted(map(float, samples)), len(samples)
    missed = [2 * sum(math.comb(n, j) for j in range(k + 1)) / 2**n for k in range((n - 1) // 2 + 1)]
    # The k-th lowest and the k-th highest sample; k counts from 0.
    k = max((k for k, share in enumerate(missed) if 1 - share >= CONFIDENCE), default=0)
    return Estimate(statistics.median(ordered), (ordered[k], ordered[n - 1 - k]), max(0.0, 1 - missed[k]))


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the geometric mean of ours / theirs over rounds, with a t interval of its logarithm.

    What disturbs a whole round moves both sides of its ratio alike. No interval from fewer than two rounds.
    """
    logs = [math.log(our / their) for our, their in zip(ours, theirs, strict=True)]
    if not logs:
        return NOTHING
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    return _exponential(statistics.fmean(logs), error, len(logs) - 1.0)


def unpaired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the ratio of the geometric means, with Welch's t interval of its logarithm (Biometrika 34, 1947).

    For samples of two runs: no round of one belongs to a round of the other. No interval where either has fewer than
    two samples.
    """
    sides = [[math.log(value) for value in side] for side in (ours, theirs)]
    if not all(sides):
        return NOTHING
    difference = statistics.fmean(sides[0]) - statistics.fmean(sides[1])
    if min(map(len, sides)) < 2:
        return _exponential(difference, math.nan, math.nan)
    parts = [statistics.variance(side) / len(side) for side in sides]
    total = sum(parts)
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    return _exponential(difference, math.sqrt(total), total**2 / spread if spread else math.inf)


def _exponential(middle: float, error: float, freedom: float) -> Estimate:
    if math.isnan(error):
        return Estimate(math.exp(middle), (math.nan, math.nan), math.nan)
    margin = 0.0
    if error > 0:
        from scipy.special import stdtrit

        margin = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Estimate(math.exp(middle), (math.exp(middle - margin), math.exp(middle + margin)), CONFIDENCE)
