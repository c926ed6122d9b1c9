"""How tau-b is taken for each token: exact where that is cheap or asked for, else estimated, the worst exact anyway.

    belief = Belief(vocab=128_256, seed=0)
    rows = belief.rows(reference, candidate)            # float32 [tokens, vocab] a side
    belief.refine(rows, reference, candidate)           # the worst so far become exact
    rows.tau_b, rows.error, rows.top                    # error 0.0 says that a value is exact
    belief.note(rows.tau_b)

Three values a token: tau-b over the whole vocabulary or its estimate from one seeded subset of ids, the standard
error of that estimate, and the exact tau-b of the union of both sides' best ids. A subset of pairs of ids is an
unbiased sample of all pairs, so the estimate has no systematic error beyond its denominator's. Memory: one row.
Knows no token, no document and no limit.
"""

import functools
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np

from bitnet_parity.compiling import compiled
from bitnet_parity.row_threads import map_rows
from bitnet_parity.tau import tau_b

TOP = 1024
"""Best ids of each side whose union is ranked exactly."""
SUBSET = 4096
"""Ids of the estimate: rmse about 0.001 (docs/parity.md §2)."""
SMALL = 2 * SUBSET
"""A vocabulary of up to this many ids is always ranked whole: an estimate would hardly be cheaper."""
WORST = 32
"""Tokens whose tau-b is always exact: those that a person looks at first."""
GROUPS = 16
"""Disjoint groups of the subset, whose spread gives the error of the whole."""


@dataclass(frozen=True)
class TauRows:
    """Values of a block of tokens, float64 [tokens] each, NaN where undefined. `error` is 0 where tau_b is exact."""

    tau_b: np.ndarray
    error: np.ndarray
    top: np.ndarray


class Belief:
    """The policy of one run, and the lowest values it has met.

    `exact` ranks the whole vocabulary on every token, whatever its size. `seed` chooses the subset of ids, the same
    for every token of a run, so that one token can be measured again without the others.
    """

    def __init__(self, *, vocab: int, exact: bool = False, seed: int = 0) -> None:
        self.exact = exact or vocab <= SMALL
        self.reason = _reason(vocab, exact)
        self._subset = np.random.default_rng(seed).choice(vocab, SUBSET, replace=False) if not self.exact else None
        self._share = 1.0 if self._subset is None else SUBSET / vocab
        self._lowest: list[float] = []

    def describe(self) -> dict[str, Any]:
        """Return the policy as an artifact names it."""
        return {
            "policy": "exact" if self.exact else "estimate",
            "reason": self.reason,
            "subset": None if self.exact else SUBSET,
            "top": TOP,
        }

    def rows(self, reference: np.ndarray, candidate: np.ndarray, threads: int | None = None) -> TauRows:
        """Take tau-b of each pair of rows [tokens, vocab], in order; values do not depend on `threads`.

        An id that both sides rule out with −inf is left out of its row.
        """
        if not self.exact:
            _small_taus()  # compiled once here rather than raced for by every thread
        values = map_rows(self._row, reference, candidate, threads=threads)
        return TauRows(*np.array(values, np.float64).reshape(len(reference), 3).T.copy())

    def refine(self, rows: TauRows, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Replace, in place, the estimates that stand among the lowest values of the run by exact ones.

        Lowest first, until the next could not be among them: what is left out then is none of the WORST whatever
        its exact value. The values noted so far decide, and are left alone.
        """
        lowest = list(self._lowest)
        for i in np.argsort(rows.tau_b):  # NaN last: an undefined value is exact already
            if rows.error[i]:
                if not _among(lowest, float(rows.tau_b[i])):
                    break
                rows.tau_b[i], rows.error[i] = tau_b(*_ranked(reference[i], candidate[i])), 0.0
            _push(lowest, float(rows.tau_b[i]))

    def note(self, values: np.ndarray) -> None:
        """Remember the values of a window; those of a run that is taken up again, too."""
        for value in values.tolist():
            _push(self._lowest, value)

    def _row(self, reference: np.ndarray, candidate: np.ndarray) -> tuple[float, float, float]:
        x, y = _ranked(reference, candidate)
        if len(x) < 2 or np.isnan(x).any() or np.isnan(y).any():
            return math.nan, 0.0, math.nan
        if np.array_equal(x, y):
            # The usual case of lossless twins, and worth no sort: full agreement, unless there is no order at all.
            agreed = math.nan if x.min() == x.max() else 1.0
            return agreed, 0.0, agreed
        best = _best(x) | _best(y)
        top = tau_b(x[best], y[best])
        return (*self._estimate(reference, candidate, x, y), top)

    def _estimate(
        self, reference: np.ndarray, candidate: np.ndarray, x: np.ndarray, y: np.ndarray
    ) -> tuple[float, float]:
        if self._subset is None or len(x) <= SMALL:
            return tau_b(x, y), 0.0
        subset = self._subset[self._subset < len(reference)]  # a model may have fewer rows than its tokenizer ids
        some_x, some_y = _ranked(reference[subset], candidate[subset])
        estimate = tau_b(some_x, some_y)
        if math.isnan(estimate):  # no order among the ids drawn says nothing of the others
            return tau_b(x, y), 0.0
        return estimate, _error(some_x, some_y, self._share)


def _push(lowest: list[float], value: float) -> None:
    # heapq keeps the smallest first, and here the best of the worst is to go first: signs are turned.
    worse = math.inf if math.isnan(value) else -value
    if len(lowest) < WORST:
        heapq.heappush(lowest, worse)
    else:
        heapq.heappushpop(lowest, worse)


def _among(lowest: list[float], value: float) -> bool:
    return len(lowest) < WORST or -value > lowest[0]


def _reason(vocab: int, exact: bool) -> str:
    if exact:
        return "exact was asked for"
    relation = "at most" if vocab <= SMALL else "over"
    return f"the vocabulary of {vocab} ids is {relation} {SMALL}"


def _ranked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the ids that both sides rule out: equal padding would raise tau-b for nothing."""
    ruled_out = (x == -np.inf) & (y == -np.inf)
    return (x[~ruled_out], y[~ruled_out]) if ruled_out.any() else (x, y)


def _best(row: np.ndarray) -> np.ndarray:
    """Return which values of a row are among its TOP best, bool [vocab]; all that tie with the last of them are."""
    return row >= np.partition(row, -TOP)[-TOP] if len(row) > TOP else np.ones(len(row), bool)


def _error(x: np.ndarray, y: np.ndarray, share: float) -> float:
    """Return the standard error of the subset's tau-b, from the spread of its disjoint groups.

    Corrected for drawing without replacement. Rather too large than too small: of the variance of a U-statistic
    (Hoeffding 1948) the part that falls with 1/n² is overstated by the number of groups. Never 0, which says exact.
    """
    size = len(x) // GROUPS
    shape = (GROUPS, size)
    taus = np.empty(GROUPS)
    _small_taus()(x[: GROUPS * size].reshape(shape), y[: GROUPS * size].reshape(shape), taus)
    spread = float(taus.std(ddof=1)) / math.sqrt(GROUPS) * math.sqrt(1.0 - share)
    return max(spread, 1.0 / len(x)) if math.isfinite(spread) else math.inf


@functools.cache
def _small_taus() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """Return `_count_small`, compiled."""
    return compiled(_count_small, "void(float32[:,::1], float32[:,::1], float64[::1])")


@no_type_check  # compiled by numba, which reads the bare function
def _count_small(x: np.ndarray, y: np.ndarray, taus: np.ndarray) -> None:
    """Fill tau-b of each pair of short rows [rows, n], float64 [rows]: every pair looked at, no sort to pay for."""
    rows, n = x.shape
    for row in range(rows):
        agreed = untied_x = untied_y = 0
        for i in range(n):
            for j in range(i):
                sign_x = np.int64(x[row, i] > x[row, j]) - np.int64(x[row, i] < x[row, j])
                sign_y = np.int64(y[row, i] > y[row, j]) - np.int64(y[row, i] < y[row, j])
                agreed += sign_x * sign_y
                untied_x += sign_x * sign_x
                untied_y += sign_y * sign_y
        untied = np.sqrt(np.float64(untied_x)) * np.sqrt(np.float64(untied_y))
        taus[row] = agreed / untied if untied > 0 else np.nan
