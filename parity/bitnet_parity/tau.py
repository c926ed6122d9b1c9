"""Kendall's tau-b of two vectors, exact, fast enough for every token of a full vocabulary.

    tau_b(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))   # 0.333...

Both vectors become integers that sort as the floats do; sorting `key of x << 32 | key of y` gives the order by
(x, y), one pass counts the ties, and what is left, the discordant pairs, is the number of inversions of one
permutation: a Fenwick tree over words of 64 ranks with popcount (docs/parity.md §2).
O(n log n) time, 5 words a value of memory. Knows nothing of tokens, models or limits; numba is imported on
the first call and its compiled code is kept on disk where that is possible.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np

from bitnet_engine.errors import BitnetError
from bitnet_parity.compiling import compiled
from bitnet_parity.row_threads import map_rows


def tau_b(x: np.ndarray, y: np.ndarray) -> float:
    """Return Kendall's tau-b of two vectors [n], NaN where it is undefined.

    It is undefined for fewer than two values, for a constant vector and for any NaN. Infinities are
    ordinary values, and −0.0 ties 0.0. The value is that of `scipy.stats.kendalltau` to the last bit,
    but for one case: full agreement (or reversal) with ties is ±1 here, where scipy's division can end
    at 0.9999999999999999. A gate on "tau = 1" needs the exact value.

    Raises:
        BitnetError: the vectors are not two of one length.
    """
    _check(x, y, rank=1)
    return _tau_b(x, y)


def tau_b_rows(x: np.ndarray, y: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Return `tau_b` of each pair of rows of two matrices [rows, n] as float64 [rows].

    Rows are shared out over `threads` (default: the cores this process may use, or one for short rows);
    numpy's sorts and the compiled count release the interpreter's lock. Values do not depend on `threads`.

    Raises:
        BitnetError: the matrices are not two of one shape.
    """
    _check(x, y, rank=2)
    _compiled()  # once, here rather than raced for by every thread
    return np.array(map_rows(_tau_b, x, y, threads=threads), np.float64)


def _check(x: np.ndarray, y: np.ndarray, rank: int) -> None:
    if x.ndim != rank or x.shape != y.shape:
        raise BitnetError(
            f"tau_b: the shapes are {list(x.shape)} and {list(y.shape)}; one shape of rank {rank} is needed"
        )


def _tau_b(x: np.ndarray, y: np.ndarray) -> float:
    n = len(x)
    if n < 2 or np.isnan(x).any() or np.isnan(y).any():
        return math.nan
    pack, count = _compiled()
    by_x = np.empty(n, np.uint64)
    pack(_bits(x), _bits(y), by_x)
    by_x.sort()
    # Sorted by y and, inside a tie, by place in `by_x`: a tie of either vector is never an inversion.
    by_y = by_x << np.uint64(32)
    by_y |= np.arange(n, dtype=np.uint64)
    by_y.sort()
    return _ratio(n * (n - 1) // 2, *map(int, count(by_x, by_y)))


def _ratio(pairs: int, x_ties: int, y_ties: int, joint_ties: int, discordant: int) -> float:
    untied_x, untied_y = pairs - x_ties, pairs - y_ties
    if not untied_x or not untied_y:
        return math.nan
    difference = pairs - x_ties - y_ties + joint_ties - 2 * discordant
    if abs(difference) == untied_x == untied_y:
        return 1.0 if difference > 0 else -1.0
    # In scipy's own order of operations: √(a·b) and a/√b/√c round differently.
    return min(1.0, max(-1.0, difference / math.sqrt(untied_x) / math.sqrt(untied_y)))


def _bits(values: np.ndarray) -> np.ndarray:
    """Return int32 [n], the bits of float32 numbers that compare as `values` do: other types by their values' ranks."""
    if values.dtype != np.float32:
        values = np.unique(values, return_inverse=True)[1].astype(np.float32)  # exact under 2^24 values
    # The sum turns −0.0 into 0.0.
    return (values + np.float32(0.0)).view(np.int32)


@functools.cache
def _compiled() -> tuple[Callable[[np.ndarray, np.ndarray, np.ndarray], None], Callable[[np.ndarray, np.ndarray], Any]]:
    """Return `_pack` and `_count`, compiled."""
    return (
        compiled(_pack, "void(int32[::1], int32[::1], uint64[::1])"),
        compiled(_count, "UniTuple(int64, 4)(uint64[::1], uint64[::1])"),
    )


@no_type_check  # compiled by numba, which reads the bare function: no run-time checker may wrap it
def _pack(x: np.ndarray, y: np.ndarray, found: np.ndarray) -> None:
    """Fill uint64 [n]: a key of x above a key of y, each of 32 bits, that sort as the floats of those bits do.

    Into what it is given: to return an array numba unpickles numpy's type, and nothing here unpickles.
    """
    for i in range(len(x)):
        # IEEE floats compare as their bits, but for the negative ones, which run backwards.
        a = np.int64(x[i]) ^ (np.int64(x[i]) >> 63 & 0x7FFF_FFFF)
        b = np.int64(y[i]) ^ (np.int64(y[i]) >> 63 & 0x7FFF_FFFF)
        found[i] = np.uint64(a + 0x8000_0000) << np.uint64(32) | np.uint64(b + 0x8000_0000)


@no_type_check  # as above
def _count(by_x: np.ndarray, by_y: np.ndarray) -> tuple[np.int64, np.int64, np.int64, np.int64]:
    """Count the pairs that are tied in x, in y, in both, and those that x and y order differently.

    by_x, uint64 [n]: keys of x above keys of y, sorted. by_y, uint64 [n]: keys of y above places in by_x, sorted.
    A count reaches n(n−1)/2, 8.2e9 for 128 256 values: 64-bit throughout.
    """
    n = len(by_x)
    half, low = np.uint64(32), np.uint64(0xFFFF_FFFF)
    x_ties = y_ties = joint_ties = np.int64(0)
    x_run = y_run = joint_run = np.int64(0)
    for i in range(1, n):
        # The k-th repeat of a value makes k pairs with those before it.
        x_run = x_run + 1 if by_x[i] >> half == by_x[i - 1] >> half else np.int64(0)
        y_run = y_run + 1 if by_y[i] >> half == by_y[i - 1] >> half else np.int64(0)
        joint_run = joint_run + 1 if by_x[i] == by_x[i - 1] else np.int64(0)
        x_ties, y_ties, joint_ties = x_ties + x_run, y_ties + y_run, joint_ties + joint_run
    words = (n >> 6) + 1
    seen = np.zeros(words, np.uint64)
    tree = np.zeros(words + 1, np.int64)
    one = np.uint64(1)
    inversions = np.int64(0)
    for i in range(n):
        place = np.int64(by_y[i] & low)
        word = place >> 6
        bit = one << np.uint64(place & 63)
        # Popcount of the seen ranks under this one in its own word; LLVM makes it one instruction.
        v = seen[word] & (bit - one)
        v = v - ((v >> one) & np.uint64(0x5555555555555555))
        v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
        v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        below = np.int64((v * np.uint64(0x0101010101010101)) >> np.uint64(56))
        node = word
        while node > 0:
            below += tree[node]
            node &= node - 1
        inversions += i - below
        seen[word] |= bit
        node = word + 1
        while node <= words:
            tree[node] += 1
            node += node & -node
    return x_ties, y_ties, joint_ties, inversions
