"""An operation, and a sample of it: repeated long enough for the system's counters to see, with what they saw.

    sampler = Sampler(operation, warmup=2, seconds=0.3, used=2)
    sampler.sample(round=0)               # Sample(round=0, count=12, seconds=0.0251, …)

Knows neither engines nor cases.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bitnet_engine.bench.machine import Conditions, Watch


@dataclass(frozen=True)
class Operation:
    """What is timed: `run` does it once and returns when it is done."""

    run: Callable[[], object]
    tokens: int = 0
    """Tokens it makes or takes; 0 where its speed is not counted in them."""
    bytes: float = 0.0
    """Bytes that it must read at the least."""
    operations: float = 0.0
    """Multiplications and additions of bytes that it must do at the least."""
    prepare: Callable[[], object] | None = None
    """What has to be done before a sample, and is not timed."""
    most: int = 10_000
    """Times that it can be done after one preparation."""
    keeps: Any = None
    """What must live as long as the operation."""


@dataclass(frozen=True)
class Sample:
    """One timing: the mean of `count` operations, each of `seconds`, and the machine meanwhile."""

    round: int
    count: int
    seconds: float
    conditions: Conditions


class Sampler:
    """Times one operation, which is made ready here. `used` processors are ours; `clock` returns MHz, or None."""

    def __init__(
        self, operation: Operation, *, warmup: int, seconds: float, used: int, clock: Callable[[], float | None]
    ) -> None:
        self.operation, self._clock, self._used = operation, clock, used
        for _ in range(warmup):
            self._prepare()
            operation.run()
        self._prepare()
        begun = time.perf_counter()
        operation.run()
        once = max(time.perf_counter() - begun, 1e-7)
        self._count = min(operation.most, max(1, round(seconds / once)))

    def sample(self, round: int) -> tuple[Sample, list[float]]:
        """Return a sample, and the seconds of each operation in it."""
        self._prepare()
        each: list[float] = []
        watch = Watch(self._used)
        for _ in range(self._count):
            begun = time.perf_counter()
            self.operation.run()
            each.append(time.perf_counter() - begun)
        mean = sum(each) / len(each)
        return Sample(round, len(each), mean, watch.conditions(self._clock())), each

    def _prepare(self) -> None:
        if self.operation.prepare is not None:
            self.operation.prepare()
