"""The best ids of a row of logits.

    top(np.array([0.0, 2.0, 1.0], np.float32), 2)       # ((1, 2.0), (2, 1.0))

Knows one row.
"""

import functools
from collections.abc import Callable
from typing import no_type_check

import numpy as np

from bitnet_parity.compiling import compiled
from bitnet_parity.row_threads import map_rows

# Most of a row is passed over in blocks, none of whose values is better than the last that is held: vector code.
_BLOCK = 64

Best = tuple[tuple[int, float], ...]
"""(id, logit), best first."""


def top(row: np.ndarray, k: int) -> Best:
    """Return the k best (id, logit) of a row [vocab], float32: best first, equal logits by id, NaN last."""
    row = np.ascontiguousarray(row)
    ids = np.empty(min(k, len(row)), np.int64)
    _best()(row, ids)
    return tuple(zip(ids.tolist(), row[ids].tolist(), strict=True))


def top_rows(logits: np.ndarray, k: int) -> list[Best]:
    """Return `top` of each row of [rows, vocab]."""
    _best()
    return map_rows(functools.partial(top, k=k), logits)


@functools.cache
def _best() -> Callable[[np.ndarray, np.ndarray], None]:
    return compiled(_fill_best, "void(Array(float32, 1, 'C', readonly=True), int64[::1])")


@no_type_check  # compiled by numba, which reads the bare function: no run-time checker may wrap it
def _fill_best(row: np.ndarray, ids: np.ndarray) -> None:
    """Fill ids [k], k ≤ n, of the best values of row [n]: one pass, and an insertion for each that is better."""
    k, held = len(ids), 0
    last = row[0]  # the worst that is held
    for start in range(0, len(row), _BLOCK):
        end, better = min(start + _BLOCK, len(row)), held < k
        for i in range(start, end):
            better |= row[i] > last
        for i in range(start, end if better else start):
            value = row[i]
            # No comparison holds for a NaN; of equal values the earlier stays ahead.
            if value > last if held == k else value == value:
                place = min(held, k - 1)
                held = place + 1
                while place > 0 and value > row[ids[place - 1]]:
                    ids[place] = ids[place - 1]
                    place -= 1
                ids[place] = i
                last = row[ids[held - 1]]
    for i in range(len(row)):
        if held == k:
            return
        if row[i] != row[i]:
            ids[held] = i
            held += 1
