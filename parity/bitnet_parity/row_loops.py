"""The loops over one row of logits, or two, that `distances` is made of; numba compiles them.

    loops = row_loops()                                 # compiled on the first call
    loops.exponentials(row, row.max(), powers)          # float64 [vocab, and zeros up to a multiple of LANES]
    mass = loops.total(powers)

numpy would take a dozen passes over float64 copies of the rows, and its exp gives other bits on another processor.
Here a term is worked out where it is needed, with sums and products alone, which IEEE 754 rounds alike everywhere.
Each loop is written so that LLVM makes vector code of it: no branch, no call, no sum into one number. Knows no token,
no thread, and no row without a distribution: `distances` asks for none.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, no_type_check

import numpy as np

from bitnet_parity.compiling import compiled

LANES = 64
"""Lanes of a sum, value i in lane i mod 64, which are added up at the end: one order, however wide the vectors of
a processor, and an error that grows with n / 64."""
# Adding 1.5·2^52 leaves a number rounded to an integer in the low bits of the sum.
_ROUNDER = 6755399441055744.0
# ln 2 in two parts, so that an integer under 2^11 times the first is exact (fdlibm, e_exp.c).
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LOG2_E = 1.0 / math.log(2.0)
_LN2 = math.log(2.0)
# Under e^−708 a double is subnormal. No sum of probabilities feels it, and the exponent's bits would run over.
_LOWEST = -708.0
# exp(r) = Σ rⁿ/n! to n = 13, for |r| ≤ ln 2 / 2: the next term is 4e-18. Highest first.
_EXP_TERMS = tuple(1.0 / math.factorial(n) for n in range(13, -1, -1))
# atanh(s)/s = Σ s²ⁿ/(2n+1) to n = 15, for s ≤ 1/3: the next term is 2e-17. Highest first, in pairs of an odd and an
# even n: LLVM unrolls a loop of eight, and must, to make vector code of what is around it.
_ATANH_TERMS = tuple((1.0 / (2 * n + 3), 1.0 / (2 * n + 1)) for n in range(14, -1, -2))


class RowLoops(NamedTuple):
    """The loops below, compiled."""

    exponentials: Callable[[np.ndarray, float, np.ndarray], None]
    total: Callable[[np.ndarray], float]
    divergences: Callable[..., None]
    moments: Callable[[np.ndarray, np.ndarray], tuple[float, float, float, float, float]]


@functools.cache
def row_loops() -> RowLoops:
    """Return the loops, compiled; in a pool of threads call it once before."""
    row, wide = "Array(float32, 1, 'C', readonly=True)", "float64[::1]"
    return RowLoops(
        exponentials=compiled(_exponentials, f"void({row}, float64, {wide})"),
        total=compiled(_total, f"float64({wide})"),
        divergences=compiled(_divergences, f"void({row}, {row}, {', '.join(['float64'] * 5)}, {wide}, {wide})"),
        moments=compiled(_moments, f"UniTuple(float64, 5)({row}, {row})"),
    )


@no_type_check  # compiled by numba, which reads the bare function: no run-time checker may wrap it
def _exponentials(row: np.ndarray, top: float, powers: np.ndarray) -> None:
    """Fill exp(row − top), for a row of which no value is over `top`; within 1.5 ulp, and 0 under e^−708."""
    bits = powers.view(np.int64)
    for i in range(len(row)):
        x = np.float64(row[i]) - top
        # x = n·ln 2 + r, and 2ⁿ is made by putting n where a double has its exponent.
        powers[i] = x * _LOG2_E + _ROUNDER
        n = powers[i] - _ROUNDER
        bits[i] = (bits[i] + 1023) << 52
        r = (x - n * _LN2_HIGH) - n * _LN2_LOW
        power = 0.0
        for term in _EXP_TERMS:
            power = power * r + term
        powers[i] = power * powers[i] if x > _LOWEST else 0.0


@no_type_check  # as above
def _total(values: np.ndarray) -> float:
    """Return the sum of float64 [n], n a multiple of `LANES`."""
    lanes = np.zeros(LANES)
    for start in range(0, len(values), LANES):
        for lane in range(LANES):
            lanes[lane] += values[start + lane]
    total = 0.0
    for lane in range(LANES):
        total += lanes[lane]
    return total


@no_type_check  # as above
def _divergences(
    x: np.ndarray,
    y: np.ndarray,
    x_top: float,
    y_top: float,
    shift: float,
    x_share: float,
    y_share: float,
    kl: np.ndarray,
    js: np.ndarray,
) -> None:
    """Turn the exponentials of x in `kl` and of y in `js` into the terms of KL(x ‖ y) and of twice the JS, in nats.

    A share is 1 / the sum of exponentials, so that p and q are probabilities, and `shift` is the log of the first sum
    less that of the second. With m the smaller of p and q, g = |p − q| and d = log p − log q, the two terms
    p·log(2p/(p+q)) + q·log(2q/(p+q)) are (p+q)·log(1 + g/(p+q)) − m·|d|, and the logarithm is 2·atanh(g/(2(p+q) + g)).
    """
    for i in range(len(x)):
        a, b = np.float64(x[i]), np.float64(y[i])
        p, q = kl[i] * x_share, js[i] * y_share
        d = ((a - x_top) - (b - y_top)) - shift
        term = p * d
        # An id that y alone rules out makes it infinite, also where p is too small for a float; and p·log p → 0.
        term = np.inf if b == -np.inf else term
        kl[i] = 0.0 if a == -np.inf else term
        both, gap = p + q, abs(p - q)
        less = p if p < q else q
        s = gap / (2.0 * both + gap)
        square, series = s * s, 0.0
        for odd, even in _ATANH_TERMS:
            series = (series * square + odd) * square + even
        apart, term = both * _LN2, both * (2.0 * s * series) - less * abs(d)
        # Where one of them is 0 the other's logarithm is that of 2, and 0 / 0 ends there too.
        js[i] = term if less > 0.0 else apart


@no_type_check  # as above
def _moments(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float, float]:
    """Return Σ x², Σ y², Σ x·y, Σ (y − x)² and the largest |y − x|, in float64 and in the order of `LANES`.

    What both rule out with −inf counts as 0; any other infinity, and NaN, shows in Σ x² or Σ (y − x)².
    """
    # Of one array, or every block would begin by asking whether five overlap.
    lanes = np.zeros(5 * LANES)
    for start in range(0, len(x), LANES):
        for lane in range(min(LANES, len(x) - start)):
            a, b = np.float64(x[start + lane]), np.float64(y[start + lane])
            delta = 0.0 if a == b else b - a
            a, b = 0.0 if a == -np.inf else a, 0.0 if b == -np.inf else b
            lanes[lane] += a * a
            lanes[lane + LANES] += b * b
            lanes[lane + 2 * LANES] += a * b
            lanes[lane + 3 * LANES] += delta * delta
            largest = lanes[lane + 4 * LANES]
            lanes[lane + 4 * LANES] = abs(delta) if abs(delta) > largest else largest
    x_squares = y_squares = products = errors = largest = 0.0
    for lane in range(LANES):
        x_squares += lanes[lane]
        y_squares += lanes[lane + LANES]
        products += lanes[lane + 2 * LANES]
        errors += lanes[lane + 3 * LANES]
        largest = max(largest, lanes[lane + 4 * LANES])
    return x_squares, y_squares, products, errors, largest
