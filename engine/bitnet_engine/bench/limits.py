"""What a case takes at the least on a machine: the roofline of its bytes and its products.

    roof = Roof(read=31e9, products=1.5e12, file_seconds=0.2, file_bytes=1_185_064_576, unit="avx512-vnni")
    roof.figure(case, tokens=1, bytes=1.2e9, operations=0.0)     # how its samples are counted, and its limit

Source: Williams, Waterman and Patterson, "Roofline" (CACM 52, 2009). The two roofs are measured in the same run, on the
same threads. Knows no sample.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bitnet_engine.bench.cases import Case
from bitnet_engine.bench.report import Limit, Unit

Figure = tuple[Unit, Callable[[float], float], Limit | None]
"""A unit, how the seconds of an operation become a number of it, and the limit."""


@dataclass(frozen=True)
class Roof:
    """What was measured of the machine; a speed is None until it is."""

    read: float | None
    """Bytes a second."""
    products: float | None
    """Multiplications and additions of bytes a second, by `unit`."""
    unit: str
    file_seconds: float
    file_bytes: int

    def figure(self, case: Case, *, tokens: int, bytes: float, operations: float) -> Figure:
        """Return how the samples of a case are counted."""
        if case.kind == "read":
            return "GB/s", lambda seconds: bytes / seconds / 1e9, None
        if case.kind == "peak":
            return "GOPS", lambda seconds: operations / seconds / 1e9, None
        seconds, what = self._least(bytes, operations)
        if tokens and case.kind != "ttft":
            return _counted("tok/s", float(tokens), seconds, what)
        if case.kind in ("body", "head"):
            by_products = what is not None and what.startswith("products")
            return _counted(
                "GOPS" if by_products else "GB/s", (operations if by_products else bytes) / 1e9, seconds, what
            )
        return "ms", lambda taken: 1e3 * taken, None if what is None else Limit(what, 1e3 * seconds)

    def start(self, kind: str) -> tuple[Unit, Limit | None]:
        """Return the unit and the limit of what a fresh process measures of itself."""
        if kind in ("memory", "peak-memory"):
            return "MB", Limit("the size of the file", self.file_bytes / 1e6)
        if kind == "load":
            return "s", Limit("reading the file once, out of the page cache", self.file_seconds)
        return "s", None

    def _least(self, bytes: float, operations: float) -> tuple[float, str | None]:
        reading = bytes / self.read if self.read else 0.0
        products = operations / self.products if self.products else 0.0
        if reading == products == 0:
            return 0.0, None
        if products > reading:
            assert self.products is not None
            return products, f"products of bytes at {self.products / 1e9:.0f} GOPS ({self.unit})"
        assert self.read is not None
        return reading, f"reading {bytes / 1e6:.1f} MB at {self.read / 1e9:.1f} GB/s"


def _counted(unit: Unit, work: float, seconds: float, what: str | None) -> Figure:
    limit = None if what is None else Limit(what, work / seconds)
    return unit, lambda taken: work / taken, limit
