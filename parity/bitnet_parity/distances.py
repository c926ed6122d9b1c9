"""How far two rows of logits are apart, and what each says of the id that follows: one value a row, float64.

    found = row_distances(reference, candidate, ids)    # kl, js, nll of both, nmse, cosine, max_abs
    row_nll(logits, ids)                                # nll of one side

Rows are float32 [vocab], shared out over threads; each is worked through by the compiled `row_loops` with 16 bytes an
id of memory a thread, and its value depends on no other row. Nothing here raises on a NaN: what has no value is NaN.
Knows no token and no vocabulary.
"""

import math
import threading
from dataclasses import dataclass, fields

import numpy as np

from bitnet_parity.row_loops import LANES, row_loops
from bitnet_parity.row_threads import map_rows


@dataclass(frozen=True)
class RowDistances:
    """Distances of pairs of rows, float64 [rows] each; NaN where undefined.

    kl, of KL(reference ‖ candidate), js and nll are in nats, of the softmax of a row: undefined where it holds a NaN
    or has no finite maximum. kl is exactly 0 for equal rows, and inf where the candidate alone rules an id out with
    −inf. js is symmetric, 0 for equal rows and at most ln 2.

    nmse, cosine and max_abs are of the raw logits: undefined where an infinity stands on one side alone, or a NaN; ids
    that both rule out count as equal. nmse is ‖candidate − reference‖² / ‖reference‖², as ggml's test-backend-ops has
    it: a shift of all logits counts here, and in nothing that follows a softmax. max_abs is the largest |Δ|.
    """

    nll_reference: np.ndarray
    nll_candidate: np.ndarray
    kl: np.ndarray
    js: np.ndarray
    nmse: np.ndarray
    cosine: np.ndarray
    max_abs: np.ndarray


def row_distances(
    reference: np.ndarray, candidate: np.ndarray, ids: np.ndarray, threads: int | None = None
) -> RowDistances:
    """Compare each pair of rows of two matrices [rows, vocab]; nll is that of ids [rows], int64 under vocab."""
    scratch = _Scratch(reference.shape[1])
    row_loops()

    def pair(x: np.ndarray, y: np.ndarray, token: np.int64) -> tuple[float, ...]:
        x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        return (*_of_softmax(x, y, token, *scratch.rows), *_of_logits(x, y))

    values = map_rows(pair, reference, candidate, ids, threads=threads)
    return RowDistances(*np.array(values, np.float64).reshape(len(ids), len(fields(RowDistances))).T.copy())


def row_nll(logits: np.ndarray, ids: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Return the nll in nats of ids [rows], int64, under the rows [rows, vocab]: the bits of `row_distances`."""
    scratch = _Scratch(logits.shape[1])
    row_loops()

    def nll(row: np.ndarray, token: np.int64) -> float:
        return _Softmax(np.ascontiguousarray(row), scratch.rows[0]).nll(token)

    return np.array(map_rows(nll, logits, ids, threads=threads), np.float64)


class _Scratch(threading.local):
    """Two rows in float64, for each thread its own; zeros behind the vocabulary fill the lanes of a sum."""

    def __init__(self, vocab: int) -> None:
        self.rows = np.zeros((2, vocab + -vocab % LANES))


class _Softmax:
    """The distribution of a row, or none: its exponentials are left in `powers`, their sum is `mass`."""

    def __init__(self, row: np.ndarray, powers: np.ndarray) -> None:
        self.row, self.top = row, float(row.max())
        self.defined = math.isfinite(self.top)  # the maximum of a row with a NaN is NaN
        self.mass = math.nan
        if self.defined:
            row_loops().exponentials(row, self.top, powers)
            self.mass = row_loops().total(powers)

    def nll(self, token: np.int64) -> float:
        return math.log(self.mass) - (float(self.row[token]) - self.top) if self.defined else math.nan


def _of_softmax(
    x: np.ndarray, y: np.ndarray, token: np.int64, kl_terms: np.ndarray, js_terms: np.ndarray
) -> tuple[float, float, float, float]:
    """Return the nll of both, kl and js."""
    p, q = _Softmax(x, kl_terms), _Softmax(y, js_terms)
    if not (p.defined and q.defined):
        return p.nll(token), q.nll(token), math.nan, math.nan
    shift = math.log(p.mass) - math.log(q.mass)
    row_loops().divergences(x, y, p.top, q.top, shift, 1.0 / p.mass, 1.0 / q.mass, kl_terms, js_terms)
    # Rounding can leave −1e-17 where p and q nearly agree; no divergence is negative.
    kl, js = (max(row_loops().total(terms), 0.0) for terms in (kl_terms, js_terms))
    return p.nll(token), q.nll(token), kl, min(js / 2.0, math.log(2.0))


def _of_logits(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return nmse, cosine and the largest |Δ|."""
    x_squared, y_squared, product, error, largest = row_loops().moments(x, y)
    if not (math.isfinite(x_squared) and math.isfinite(error)):
        return math.nan, math.nan, math.nan
    if error == 0.0:
        # Rows of zeros are equal to each other, though 0/0 is not a number; they have no direction.
        return 0.0, 1.0 if x_squared else math.nan, largest
    norms = math.sqrt(x_squared) * math.sqrt(y_squared)
    cosine = max(-1.0, min(1.0, product / norms)) if norms else math.nan
    return error / x_squared if x_squared else math.inf, cosine, largest
