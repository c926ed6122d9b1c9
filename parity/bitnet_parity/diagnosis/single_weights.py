"""Single wrong weights, found by solving: few in a row, whole columns, or one block with a scale of its own.

    for solved in solved_weights(case, matrix): solved.matrix, solved.rows
    name_weights(values, others)                        # where both matrices are at hand

What a product is off by is a sum of few columns of its input, each a whole number of times: found by orthogonal
matching pursuit, rounded, and then multiplied out and judged like any other alternative.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve
from scipy.optimize import nnls

from bitnet_engine.formats import Trits
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.replay import Case
from bitnet_parity.diagnosis.rows import differing

CODE_3 = 2
BLOCK = 256
"""Weights that share a scale in TQ1_0 and TQ2_0."""
MOST_ROWS = 4096
MOST_COLUMNS = 4096
"""Larger systems of columns are not solved: their memory grows with the square."""
RIDGE = 1e-9
"""What is added to the diagonal of such a system, of the mean that is there."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """A matrix that gives what was found, and what is wrong with it."""

    name: str
    says: str
    matrix: Trits
    rows: tuple[int, ...]


def name_weights(mine: np.ndarray, theirs: np.ndarray) -> tuple[str, str, tuple[int, ...]] | None:
    """Return name, words and rows of what weights of int8 `mine` became in `theirs`; None for no known pattern."""
    where = np.argwhere(mine != theirs)
    if not len(where):
        return None
    rows, columns = np.unique(where[:, 0]), np.unique(where[:, 1])
    shown = tuple(int(row) for row in rows)
    became = np.unique(theirs[mine != theirs])
    if len(became) == 1:
        value = int(became[0])
        if value == CODE_3:
            return "code-3", f"has code 3, which is no trit, {len(where)} times, in row {rows[0]}", shown
        if value == 0 and not theirs[:, columns].any():
            return "columns-zero", f"has {len(columns)} columns of zeros, {_listed(columns)}", ()
        if len(where) > 1 and value == 0:
            return "weights-zeroed", f"has {len(where)} weights at 0, in {len(rows)} rows", shown
        if len(where) > 1 and value == -1:
            return "zero-filled", f"has {len(where)} weights at −1, as zero bytes read (bug #18)", shown
    if len(where) == 1:
        row, column = where[0]
        says = f"has {theirs[row, column]} for {mine[row, column]} in row {row}, column {column}: a flipped bit"
        return "bit-flipped", says, shown
    return None


def _listed(numbers: np.ndarray) -> str:
    shown = ", ".join(map(str, numbers[:6].tolist()))
    return f"{shown}, …" if len(numbers) > 6 else shown


def solved_weights(case: Case, matrix: Trits) -> Iterator[Solved]:
    """Yield the matrix whose few other weights explain each differing row, or one block with another scale."""
    rounded, steps = o.codes(case.inputs[0], case.reference.quantiser(matrix))
    x, scale = (rounded * steps)[case.sure], float(matrix.scale)
    found, expected = case.found[case.sure].T, case.expected[case.sure].T
    off = (found - expected) / scale
    bad = differing(found, expected, case.tolerance)
    if not 0 < len(bad) <= MOST_ROWS:
        return
    if len(bad) == 1 and (block := _block(x, off[bad[0]], matrix, int(bad[0]))) is not None:
        yield block
    values = matrix.values.astype(np.int8).copy()
    sizes = np.linalg.norm(x, axis=0)
    for row in bad:
        change = _pursuit(x, sizes, off[row], case.tolerance)
        change = _zeroed(x, off[row], matrix.values[row], case.tolerance) if change is None else change
        if change is None:
            return
        values[row] += change
    if (named := name_weights(matrix.values, values)) is not None:
        yield Solved(named[0], named[1], Trits(values, matrix.scale), named[2])


def _pursuit(x: np.ndarray, sizes: np.ndarray, target: np.ndarray, close: float) -> np.ndarray | None:
    """Return int8 [in] with x · change = target, as few columns as can be and whole numbers; None for none found."""
    chosen: list[int] = []
    left, weights = target, np.empty(0)
    safe = np.where(sizes == 0, 1, sizes)
    for _ in range(max(1, len(x) // 3)):
        chosen.append(int(np.argmax(np.abs(x.T @ left) / safe)))
        weights = np.linalg.lstsq(x[:, chosen], target, rcond=None)[0]
        left = target - x[:, chosen] @ weights
        if np.linalg.norm(left) <= max(close, 1e-4) * np.linalg.norm(target):
            break
    else:
        return None
    whole = np.rint(weights)
    if np.abs(whole - weights).max() > 0.05 or np.abs(whole).max() > 3:
        return None
    change = np.zeros(x.shape[1], np.int8)
    change[chosen] = whole.astype(np.int8)
    return change


def _zeroed(x: np.ndarray, target: np.ndarray, row: np.ndarray, close: float) -> np.ndarray | None:
    """Return the change that sets some weights of a row to 0, or None: least squares in which none may grow."""
    there = np.flatnonzero(row)
    shares = nnls(-x[:, there] * row[there], target)[0]
    change = np.zeros(len(row), np.int8)
    lost = there[shares > 0.5]
    change[lost] = -row[lost]
    left = np.linalg.norm(target - x @ change)
    return change if left <= max(close, 1e-4) * np.linalg.norm(target) else None


def _block(x: np.ndarray, target: np.ndarray, matrix: Trits, row: int) -> Solved | None:
    """One block of a row has another scale: what the row is off by is a multiple of what the block gives."""
    count = matrix.values.shape[1] // BLOCK
    if count * BLOCK != matrix.values.shape[1]:
        return None
    parts = np.stack(
        [x[:, b * BLOCK : (b + 1) * BLOCK] @ matrix.values[row, b * BLOCK : (b + 1) * BLOCK] for b in range(count)]
    )
    sizes = np.square(parts).sum(1)
    gains = (parts @ target) / np.where(sizes == 0, 1, sizes)
    left = np.linalg.norm(target - gains[:, None] * parts, axis=1)
    best = int(np.argmin(left))
    if left[best] > 1e-4 * np.linalg.norm(target):
        return None
    scale = np.full((len(matrix.values), count), float(matrix.scale))
    scale[row, best] *= 1 + gains[best]
    says = f"has block {best} of row {row} with {1 + gains[best]:.6g} times its scale"
    return Solved("scale-of-block", says, Trits(matrix.values, scale), (row,))


def solved_columns(case: Case, matrix: Trits) -> Iterator[Solved]:
    """Yield the matrix whose cut-off columns explain all that is off.

    Least squares over columns: its normal matrix is XᵀX ∘ WᵀW, the product element by element.
    """
    if matrix.values.shape[1] > MOST_COLUMNS:
        return
    rounded, steps = o.codes(case.inputs[0], case.reference.quantiser(matrix))
    x, w = (rounded * steps)[case.sure], matrix.values.astype(np.float64) * float(matrix.scale)
    normal = (x.T @ x) * (w.T @ w)
    right = ((x.T @ (case.expected - case.found)[case.sure]) * w.T).sum(1)
    if not normal.any():
        return
    # A column that nothing shows makes it singular: a little on the diagonal gives that column no share, as is right.
    normal[np.diag_indices_from(normal)] += RIDGE * normal.trace() / len(normal)
    shares = solve(normal, right, assume_a="pos")
    cut = np.abs(shares - 1) < 0.1
    if not cut.any() or cut.all():
        return
    values = matrix.values.copy()
    values[:, cut] = 0
    columns = np.flatnonzero(cut)
    says = f"has {len(columns)} columns of zeros, {_listed(columns)}"
    yield Solved("columns-zero", says, Trits(values, matrix.scale), ())
