"""Rows of logits shared out over threads: what is found stays in order, and does not depend on how many there are.

    taus = map_rows(tau_b, reference, candidate)        # of each pair of rows, in order

Threads and not processes: numpy's passes and compiled loops release the interpreter's lock. Knows no measure.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

# Shorter rows are mostly interpreter: two threads are slower than one there (measured: ×0.6 at 4 096).
_WORTH_A_THREAD = 1 << 15
# Parts that a thread gets, on average: to hand over each row by itself costs a tenth of its time, and with one part a
# thread all would wait for the slowest.
_SHARES = 4


def map_rows(
    function: Callable[..., Any], matrix: np.ndarray, *columns: np.ndarray, threads: int | None = None
) -> list[Any]:
    """Return `function` of each row of a matrix [rows, n] and of the same places of all `columns`, in order.

    `threads` is how many share the rows out; the default is the cores this process may use, or one for short rows.
    What `function` compiles should be compiled before, or every thread begins by doing so.
    """
    workers = min(threads or (_cores() if matrix.shape[1] >= _WORTH_A_THREAD else 1), len(matrix))
    if workers <= 1:
        return [function(*row) for row in zip(matrix, *columns, strict=True)]
    share = -(-len(matrix) // (_SHARES * workers))

    def some(start: int) -> list[Any]:
        rows = slice(start, start + share)
        return [function(*row) for row in zip(matrix[rows], *(column[rows] for column in columns), strict=True)]

    return [value for values in _pool(workers).map(some, range(0, len(matrix), share)) for value in values]


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    # Kept: a new thread a window takes a new arena of glibc's, each of which holds on to ten megabytes of freed rows.
    return ThreadPoolExecutor(workers)


def _cores() -> int:
    # Absent on macOS; where it exists it knows a container's share of the machine.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
