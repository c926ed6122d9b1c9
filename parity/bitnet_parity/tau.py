"""Kendall's tau-b of two vectors, exact, fast enough for every token of a full vocabulary.

    tau_b(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))   # 0.333...

Both vectors become integers that sort as the floats do; sorting `key of x << 32 | key of y` gives the order
by (x, y) and every tie count in one pass of numpy, and what is left, the discordant pairs, is the number of
inversions of one permutation: a Fenwick tree over words of 64 ranks with popcount (docs/parity.md §2).
O(n log n) time, 7 words a value of memory. Knows nothing of tokens, models or limits; numba is imported on
the first call and its compiled code is kept on disk where that is possible.
"""

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, no_type_check

import numpy as np

from bitnet_engine.errors import BitnetError

_LOW = np.uint64(0xFFFF_FFFF)
# Shorter rows are mostly interpreter: two threads are slower than one there (measured: ×0.6 at 4 096).
_WORTH_A_THREAD = 1 << 15


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
    return np.array(map_rows(_tau_b, x, y, threads), np.float64)


def map_rows(
    function: Callable[[np.ndarray, np.ndarray], Any], x: np.ndarray, y: np.ndarray, threads: int | None = None
) -> list[Any]:
    """Return `function` of each pair of rows, in order, shared out over threads as `tau_b_rows` says."""
    workers = min(threads or (_cores() if x.shape[1] >= _WORTH_A_THREAD else 1), len(x))
    if workers <= 1:
        return [function(a, b) for a, b in zip(x, y, strict=True)]
    _inversions()  # compiled once here rather than raced for by every thread
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, x, y))


def _cores() -> int:
    # Absent on macOS; where it exists it knows a container's share of the machine.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(x: np.ndarray, y: np.ndarray, rank: int) -> None:
    if x.ndim != rank or x.shape != y.shape:
        raise BitnetError(
            f"tau_b: the shapes are {list(x.shape)} and {list(y.shape)}; one shape of rank {rank} is needed"
        )


def _tau_b(x: np.ndarray, y: np.ndarray) -> float:
    n = len(x)
    if n < 2 or np.isnan(x).any() or np.isnan(y).any():
        return math.nan
    by_x = _keys(x)
    by_x <<= np.uint64(32)
    by_x |= _keys(y)
    by_x.sort()
    x_ties, joint_ties = _tied_pairs(by_x >> np.uint64(32)), _tied_pairs(by_x)
    # Sorted by y and, inside a tie, by place in `by_x`: a tie of either vector is never an inversion.
    by_y = by_x << np.uint64(32)
    by_y |= np.arange(n, dtype=np.uint64)
    by_y.sort()
    y_ties = _tied_pairs(by_y >> np.uint64(32))
    discordant = int(_inversions()(by_y & _LOW))
    return _ratio(n * (n - 1) // 2, x_ties, y_ties, joint_ties, discordant)


def _ratio(pairs: int, x_ties: int, y_ties: int, joint_ties: int, discordant: int) -> float:
    untied_x, untied_y = pairs - x_ties, pairs - y_ties
    if not untied_x or not untied_y:
        return math.nan
    difference = pairs - x_ties - y_ties + joint_ties - 2 * discordant
    if abs(difference) == untied_x == untied_y:
        return 1.0 if difference > 0 else -1.0
    # In scipy's own order of operations: √(a·b) and a/√b/√c round differently.
    return min(1.0, max(-1.0, difference / math.sqrt(untied_x) / math.sqrt(untied_y)))


def _keys(values: np.ndarray) -> np.ndarray:
    """Return uint64 [n] under 2^32 that compare as `values` do."""
    if values.dtype != np.float32:
        return np.unique(values, return_inverse=True)[1].astype(np.uint64)
    bits = (values + np.float32(0.0)).view(np.int32)  # the sum turns −0.0 into 0.0
    # IEEE floats compare as their bits, but for the negative ones, which run backwards.
    ordered = bits ^ (bits >> 31 & np.int32(0x7FFF_FFFF))
    return (ordered.view(np.uint32) ^ np.uint32(0x8000_0000)).astype(np.uint64)


def _tied_pairs(ordered: np.ndarray) -> int:
    """Count the pairs of equal values in a sorted vector."""
    repeats = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not len(repeats):
        return 0
    ends = np.flatnonzero(np.diff(repeats) != 1)
    runs = np.diff(ends, prepend=-1, append=len(repeats) - 1)
    return int((runs * (runs + 1) // 2).sum())


@functools.cache
def _inversions() -> Callable[[np.ndarray], Any]:
    """Return `_count_inversions`, compiled."""
    import numba

    # A written signature compiles at once, so that a folder that fails does so here and not in a call.
    signature = ["int64(uint64[::1])"]
    try:
        return numba.njit(signature, nogil=True, cache=True)(_count_inversions)
    except (RuntimeError, OSError):
        # No folder to keep compiled code in, or a full one: costs a second a process, changes no value.
        return numba.njit(signature, nogil=True)(_count_inversions)


@no_type_check  # compiled by numba, which reads the bare function: no run-time checker may wrap it
def _count_inversions(permutation: np.ndarray) -> np.int64:
    """Count the pairs i < j with permutation[i] > permutation[j]; uint64 [n] -> int64.

    Reaches n(n−1)/2, 8.2e9 for 128 256 values: 64-bit throughout.
    """
    n = len(permutation)
    words = (n >> 6) + 1
    seen = np.zeros(words, np.uint64)
    tree = np.zeros(words + 1, np.int64)
    one = np.uint64(1)
    inversions = np.int64(0)
    for i in range(n):
        place = np.int64(permutation[i])
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
    return inversions
