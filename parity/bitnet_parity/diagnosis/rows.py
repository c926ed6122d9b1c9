"""Rows that are not theirs: which differ, and whether they are zero, −1, turned, or other rows.

    explain_rows(found, expected, minus_one, close=2e-5)

One row is one output feature: its trits where two files are compared, or its results over all tokens where only
products are known. The same rules fit both.
"""

from dataclasses import dataclass

import numpy as np

SHARE = 0.5
"""More rows than this are no few rows, unless they are a permutation."""


@dataclass(frozen=True, slots=True, eq=False)
class RowCause:
    """What some rows are, and where each comes from."""

    name: str
    says: str
    rows: tuple[int, ...]
    values: np.ndarray
    """[rows, …]: what those rows are then, of the kind of `expected`."""
    source: np.ndarray | None = None
    """Row of the reference that each of them is."""
    sign: int = 1


def differing(found: np.ndarray, expected: np.ndarray, close: float) -> np.ndarray:
    """Return the rows whose distance is more than `close` of a typical row's size."""
    sizes = np.linalg.norm(expected, axis=1)
    typical = float(np.median(sizes)) or float(sizes.max()) or 1.0
    return np.flatnonzero(np.linalg.norm(found - expected, axis=1) > close * np.maximum(sizes, typical))


def explain_rows(
    found: np.ndarray, expected: np.ndarray, minus_one: np.ndarray, close: float, bad: np.ndarray | None = None
) -> RowCause | None:
    """Return what all differing rows are, or None where they are nothing known.

    `minus_one` is a row of a matrix whose weights are all −1, in the same terms as the rows.
    """
    bad = differing(found, expected, close) if bad is None else bad
    rows = tuple(int(row) for row in bad)
    theirs, mine = found[bad], expected[bad]
    few = len(bad) <= SHARE * len(found)
    if few and _alike(theirs, np.zeros_like(mine), mine, close):
        return RowCause("rows-zero", f"has {_count(rows)} of zeros", rows, np.zeros_like(mine))
    ones = np.broadcast_to(minus_one, mine.shape)
    if few and _alike(theirs, ones, mine, close):
        return RowCause("rows-minus-one", f"has {_count(rows)} of −1, as zero bytes read (bug #18)", rows, ones)
    if few and _alike(theirs, -mine, mine, close):
        return RowCause("rows-sign-flipped", f"has {_count(rows)} with their signs turned", rows, -mine, sign=-1)
    source = _sources(theirs, expected, close)
    if source is None:
        return None
    if sorted(source.tolist()) == sorted(bad.tolist()):
        order = np.arange(len(found))
        order[bad] = source
        from bitnet_parity.diagnosis.matrices import cycle

        says = f"has {_count(rows)} in another order: {cycle(order)}"
        return RowCause("rows-permuted", says, rows, expected[source], source)
    first = f"rows {rows[0]} to {rows[-1]} hold those from {int(source[0])} on"
    return RowCause(
        "rows-of-others", f"has other rows in place of {len(rows)}: {first} (bug #8)", rows, expected[source], source
    )


def _count(rows: tuple[int, ...]) -> str:
    return "a row" if len(rows) == 1 else f"{len(rows)} rows"


def _alike(theirs: np.ndarray, other: np.ndarray, mine: np.ndarray, close: float) -> bool:
    return bool(np.linalg.norm(theirs - other) <= close * max(float(np.linalg.norm(mine)), 1e-30))


def _sources(theirs: np.ndarray, expected: np.ndarray, close: float) -> np.ndarray | None:
    """Return the expected row that each of `theirs` is, or None where one of them is none.

    Rows are found by where they fall on one random line, and then compared whole.
    """
    line = np.random.default_rng(0).normal(size=expected.shape[1])
    at, wanted = expected @ line, theirs @ line
    order = np.argsort(at, kind="stable")
    near = np.searchsorted(at[order], wanted)
    best = np.full(len(theirs), -1)
    sizes = np.maximum(np.linalg.norm(theirs, axis=1), 1e-30)
    for step in (-1, 0, 1, -2):
        index = order[np.clip(near + step, 0, len(at) - 1)]
        fits = np.linalg.norm(theirs - expected[index], axis=1) <= close * sizes
        best = np.where((best < 0) & fits, index, best)
    return best if (best >= 0).all() else None
