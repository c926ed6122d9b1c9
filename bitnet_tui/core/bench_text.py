"""The numbers of a benchmark as a person reads them.

    figure_of(27.84, "tok/s")      ->  "27.8 tok/s"
    interval((27.6, 28.0))         ->  "[27.6, 28.0]"
    threads_text(2)                ->  "2 threads"

Knows no artifact.
"""

import math
from collections.abc import Sequence

from bitnet_tui.core.text import safe


def threads_text(count: int) -> str:
    """Return `1 thread` or `2 threads`."""
    return f"{count} thread{'s' * (count != 1)}"


def figure_of(value: float | None, unit: str) -> str:
    """Return a number of a unit; a dash where there is none."""
    return "–" if value is None else f"{amount(value)} {safe(unit, 10)}"


def ratio_text(ratio: float | None, bounds: Sequence[float | None]) -> str:
    """Return a ratio of speeds as one reads it: `2.13 times as fast [2.05, 2.21]`."""
    return "–" if ratio is None else f"{ratio:.2f} times as fast {interval(bounds)}".rstrip()


def amount(value: float) -> str:
    """Return a number with three digits or more, never in powers of ten: `0.0123`, `27.8`, `1234`."""
    places = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def interval(bounds: Sequence[float | None]) -> str:
    """Return an interval, empty where there is none."""
    low, high = bounds
    return "" if low is None or high is None else f"[{amount(low)}, {amount(high)}]"
