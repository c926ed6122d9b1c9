"""A residual that no hypothesis explains, in words: few channels, few rows, growing, one gain, of no input at all.

    describe(case)                      # ("concentrated in 3 of 256 channels: 4, 17, 40", …)

Says what is seen and guesses no cause.
"""

import numpy as np

from bitnet_parity.diagnosis.replay import Case

CONCENTRATED = 0.9
"""Share of the squared error that few channels or tokens must hold."""
FEW = 0.1


def describe(case: Case) -> tuple[str, ...]:
    """Return what the difference between found and expected looks like, a sentence each."""
    found, expected = case.flat, case.expected.reshape(len(case.expected), -1)
    finite = np.isfinite(found).all()
    lines = [] if finite else [f"{int((~np.isfinite(found)).sum())} of {found.size} results are not finite"]
    off = np.where(np.isfinite(found), found, 0.0) - expected
    squares = np.square(off)
    for axis, what in ((0, "channels"), (1, "tokens")):
        lines += _concentrated(squares.sum(axis), what)
    by_token = np.sqrt(squares.sum(1) / np.maximum(np.square(expected).sum(1), 1e-300))
    if len(by_token) > 3 and by_token[0] < by_token.max() / 100:
        lines.append("the first token is exact" if not squares[0].any() else "the first token is nearly exact")
        if np.corrcoef(np.arange(len(by_token)), by_token)[0, 1] > 0.5:
            lines.append("it grows with the position")
    size = float(np.square(expected).sum())
    gain = float((found * expected).sum() / size) if size and finite else 0.0
    cosine = float((found * expected).sum() / np.sqrt(size * np.square(found).sum())) if gain else 0.0
    lines.append(f"cosine {cosine:.6f}, gain {gain:.6g} over all results")
    if len(found) > 1 and np.array_equal(found, np.broadcast_to(found[:1], found.shape)):
        lines.append("every token has the same result: it does not depend on the input")
    return tuple(lines)


def _concentrated(squares: np.ndarray, what: str) -> list[str]:
    order = np.argsort(squares)[::-1]
    total = squares.sum()
    if not total:
        return []
    needed = int(np.searchsorted(np.cumsum(squares[order]), CONCENTRATED * total)) + 1
    if needed > max(1, FEW * len(squares)):
        return []
    listed = ", ".join(str(int(i)) for i in np.sort(order[:needed])[:8])
    return [f"concentrated in {needed} of {len(squares)} {what}: {listed}{', …' if needed > 8 else ''}"]
