"""The artifact of a benchmark: every sample, its median and interval, and beside it what the machine allows.

    measure.value, measure.unit, measure.interval      # 27.8, "tok/s", (27.6, 28.0)
    measure.share                                      # 0.93: of the speed at which memory could be read

A disturbed sample (machine.py) does not count. Where half of them are disturbed there is no value, and the verdict is
NOISY, unless noise was allowed. Knows no process and no file.
"""

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bitnet_engine.bench.cases import Case, Kind, Settings
from bitnet_engine.bench.machine import Conditions
from bitnet_engine.bench.statistics import NOTHING, median_of, paired_ratio
from bitnet_engine.bench.subject import Facts

SCHEMA = "bitnet-tui/bench"
SCHEMA_VERSION = 1
OURS = "bitnet-tui"

Better = Literal["higher", "lower"]
Unit = Literal["tok/s", "GB/s", "GOPS", "ms", "s", "MB"]


@dataclass(frozen=True)
class Taken:
    """One sample in the unit of its measure; `seconds` are of one operation, None where nothing was timed."""

    value: float
    round: int
    count: int
    seconds: float | None
    conditions: Conditions
    disturbed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limit:
    """What an operation takes at the least on this machine, by what was measured in the same run."""

    what: str
    value: float
    """In the unit of its measure."""


@dataclass(frozen=True)
class Measure:
    """One case on so many threads: its samples and what they come to."""

    engine: str
    threads: int
    case: str
    kind: Kind
    rows: int
    position: int
    batch: int
    unit: Unit
    better: Better
    value: float
    """The median of the undisturbed samples; null in JSON where too many were disturbed."""
    interval: tuple[float, float]
    coverage: float
    """Of the interval: less than 0.95 for fewer than six samples."""
    spread_ms: tuple[float, float, float] | None
    """Median, 90 % and 99 % quantile of single operations, in milliseconds."""
    limit: Limit | None
    share: float | None
    """Of what the limit allows: 1 is as fast, or as small, as the machine can."""
    noisy: bool
    samples: tuple[Taken, ...]


@dataclass(frozen=True)
class Versus:
    """Two engines taking turns at one case: the ratio of their speeds, ours over theirs, by round."""

    case: str
    threads: int
    ours: Measure
    theirs: Measure
    ratio: float
    interval: tuple[float, float]
    rounds: int


@dataclass(frozen=True)
class Peer:
    """The engine that we took turns with, as it describes itself."""

    name: str
    version: str
    system: str


@dataclass(frozen=True)
class Breakdown:
    """Where the milliseconds of a decoded token go; `rest` is what the parts do not explain, and may be negative."""

    threads: int
    position: int
    total_ms: float
    body_ms: float
    attention_ms: float
    head_ms: float
    norms_ms: float
    rest_ms: float


@dataclass(frozen=True)
class Subject:
    """The model that was measured."""

    path: str
    sha256: str
    facts: Facts


@dataclass(frozen=True)
class BenchReport:
    """A whole benchmark."""

    command: str
    model: Subject
    settings: Settings
    measures: tuple[Measure, ...]
    breakdown: tuple[Breakdown, ...]
    peer: Peer | None
    versus: tuple[Versus, ...]
    noisy: tuple[str, ...]
    """Measures without a value, or with one that disturbed samples are in."""
    stamp: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values; NaN is still NaN."""
        return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **asdict(self)}


def measure(
    engine: str,
    threads: int,
    case: Case,
    unit: Unit,
    samples: list[Taken],
    each: list[float],
    limit: Limit | None,
    *,
    allow_noise: bool,
) -> Measure:
    """Return what samples of one case come to; `each` are the seconds of single operations."""
    better: Better = "higher" if unit in ("tok/s", "GB/s", "GOPS") else "lower"
    kept, noisy = counted(samples, allow_noise=allow_noise)
    found = median_of([sample.value for sample in kept]) if kept else NOTHING
    share = None
    if limit is not None and found.value > 0:
        share = found.value / limit.value if better == "higher" else limit.value / found.value
    ordered = sorted(each)
    spread = (
        (_milliquantile(ordered, 0.5), _milliquantile(ordered, 0.9), _milliquantile(ordered, 0.99)) if each else None
    )
    where = {"case": case.key, "kind": case.kind, "rows": case.rows, "position": case.position, "batch": case.batch}
    return Measure(
        engine=engine,
        threads=threads,
        **where,
        unit=unit,
        better=better,
        value=found.value,
        interval=found.interval,
        coverage=found.coverage,
        spread_ms=spread,
        limit=limit,
        share=share,
        noisy=noisy,
        samples=tuple(samples),
    )


def counted(samples: list[Taken], *, allow_noise: bool) -> tuple[list[Taken], bool]:
    """Return the samples that count, and whether half of them or more were disturbed.

    Chosen by the machine's conditions and not by their values: so leaving some out moves no median towards anything.
    """
    quiet = [sample for sample in samples if not sample.disturbed]
    if not samples or 2 * len(quiet) > len(samples):
        return quiet, False
    return (samples if allow_noise else []), True


def versus(ours: Measure, theirs: Measure, *, allow_noise: bool) -> Versus:
    """Return the ratio of two engines that took turns, over the rounds in which neither was disturbed."""
    pairs = list(zip(ours.samples, theirs.samples, strict=True))
    quiet = [pair for pair in pairs if not (pair[0].disturbed or pair[1].disturbed)]
    if ours.noisy or theirs.noisy:
        quiet = pairs if allow_noise else []
    found = paired_ratio([our.value for our, _ in quiet], [their.value for _, their in quiet])
    return Versus(ours.case, ours.threads, ours, theirs, found.value, found.interval, len(quiet))


def breakdowns(measures: list[Measure]) -> list[Breakdown]:
    """Return where the time of each decoded position goes whose attention was measured too."""
    found = []
    for total in measures:
        if total.kind == "decode" and total.batch == 1:
            near = {part.case: part for part in measures if part.threads == total.threads}
            keys = ("body[1]", f"attention@{total.position}", "head", "norms")
            if all(key in near for key in keys):
                whole, *parts = (_milliseconds(near[key]) for key in (total.case, *keys))
                named = dict(zip(("body_ms", "attention_ms", "head_ms", "norms_ms"), parts, strict=True))
                found.append(Breakdown(total.threads, total.position, whole, **named, rest_ms=whole - math.fsum(parts)))
    return found


def _milliseconds(part: Measure) -> float:
    if math.isnan(part.value):
        return math.nan
    kept, _ = counted(list(part.samples), allow_noise=True)
    return 1e3 * statistics.median(taken.seconds for taken in kept if taken.seconds is not None)


def _milliquantile(ordered: list[float], share: float) -> float:
    return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
