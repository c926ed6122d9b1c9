"""Answers of measuring processes, made into a report: samples in units, limits beside them, noise marked.

    assemble(runs, path=path, sha256=sha256, command=command, settings=settings)

Knows the words that `child` answers in, and starts no process.
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bitnet_engine.bench.cases import STARTS, Case, Settings
from bitnet_engine.bench.limits import Roof
from bitnet_engine.bench.machine import Conditions
from bitnet_engine.bench.report import (
    OURS,
    BenchReport,
    Measure,
    Peer,
    Subject,
    Taken,
    Versus,
    breakdowns,
    measure,
    versus,
)
from bitnet_engine.bench.subject import Facts, Started

Answers = list[dict[str, Any]]


@dataclass
class Run:
    """What one process answered on so many threads; where a peer took turns, both sides of that too."""

    threads: int
    ready: dict[str, Any]
    starts: Answers
    samples: dict[Case, Answers] = field(default_factory=dict)
    turns: dict[Case, Answers] = field(default_factory=dict)
    peer_turns: dict[Case, Answers] = field(default_factory=dict)
    peer: dict[str, str] | None = None

    @property
    def facts(self) -> Facts:
        """What the process said of its model."""
        said = self.ready["facts"]
        return Facts(**{**said, "units": tuple(said["units"])})


def assemble(runs: list[Run], *, path: str, sha256: str, command: str, settings: Settings) -> BenchReport:
    """Return the report of all processes; the last has the most threads, and its stamp is the report's."""
    measures: list[Measure] = []
    turns: list[Versus] = []
    for run in runs:
        maker = _Maker(run, _roof(run, allow_noise=settings.allow_noise), settings.allow_noise)
        measures += [*maker.starts(), *(maker.measure(OURS, case, found) for case, found in run.samples.items())]
        turns += maker.turns()
    last = runs[-1]
    named = path.encode("utf-8", "backslashreplace").decode()
    sides = [side for pair in turns for side in (pair.ours, pair.theirs)]
    return BenchReport(
        command=command,
        model=Subject(named, sha256, last.facts),
        settings=settings,
        measures=tuple(measures),
        breakdown=tuple(breakdowns(measures)),
        peer=None if last.peer is None else Peer(**last.peer),
        versus=tuple(turns),
        noisy=tuple(f"{one.case} of {one.engine} on {one.threads}" for one in (*measures, *sides) if one.noisy),
        stamp={**last.ready["stamp"], "model_sha256": sha256},
    )


def _usual_clock(answers: Answers) -> float | None:
    """Return the median clock of one case: wide instructions and full memory lower it each time, which is no noise."""
    known = [clock for answer in answers if (clock := answer["sample"]["conditions"]["clock_mhz"]) is not None]
    return statistics.median(known) if known else None


def _roof(run: Run, *, allow_noise: bool) -> Roof:
    """Return the limits as this run measured them; none from samples that do not count."""
    bare = _Maker(run, Roof(None, None, "", 0.0, 0), allow_noise)
    limits = {
        case: None if math.isnan(value := bare.measure(OURS, case, found).value) else 1e9 * value
        for case, found in run.samples.items()
        if case.kind in ("read", "peak")
    }
    # The peak of the unit that the kernel uses; what another could do says nothing of how well it is used.
    unit = run.facts.kernel.removeprefix("native ")
    unit = unit if unit in run.facts.units else run.facts.units[0]
    file_seconds = statistics.median(start["file_seconds"] for start in run.starts)
    peak = limits.get(Case("peak", unit=unit))
    return Roof(limits.get(Case("read")), peak, unit, file_seconds, run.facts.file_bytes)


@dataclass(frozen=True)
class _Maker:
    """Makes the measures of one run."""

    run: Run
    roof: Roof
    allow_noise: bool

    def measure(self, engine: str, case: Case, answers: Answers) -> Measure:
        least = {name: answers[0][name] for name in ("tokens", "bytes", "operations")}
        unit, counted, limit = self.roof.figure(case, **least)
        usual = _usual_clock(answers)
        samples = [_taken(answer["sample"], counted(answer["sample"]["seconds"]), usual) for answer in answers]
        each = [seconds for answer in answers for seconds in answer["each"]]
        return self._finished(engine, case, unit, samples, each, limit)

    def starts(self) -> Iterator[Measure]:
        started = [Started(**start) for start in self.run.starts]
        values = {
            "load": [start.load_seconds for start in started],
            "compile": [start.compile_seconds for start in started],
            "first-token": [start.first_token_seconds for start in started],
            "memory": [_megabytes(start.resident_bytes) for start in started],
            "peak-memory": [_megabytes(start.peak_bytes) for start in started],
        }
        for case in STARTS:
            unit, limit = self.roof.start(case.kind)
            known = [(i, value) for i, value in enumerate(values[case.kind]) if value is not None]
            samples = [
                Taken(value, i, 1, None, Conditions(None, None, None, started[i].clock_mhz)) for i, value in known
            ]
            yield self._finished(OURS, case, unit, samples, [], limit)

    def turns(self) -> Iterator[Versus]:
        assert len(self.run.turns) == len(self.run.peer_turns)
        for case, found in self.run.turns.items():
            theirs = self.measure("llama.cpp", case, self.run.peer_turns[case])
            yield versus(self.measure(OURS, case, found), theirs, allow_noise=self.allow_noise)

    def _finished(
        self, engine: str, case: Case, unit: Any, samples: list[Taken], each: list[float], limit: Any
    ) -> Measure:
        return measure(engine, self.run.threads, case, unit, samples, each, limit, allow_noise=self.allow_noise)


def _taken(sample: dict[str, Any], value: float, usual_mhz: float | None) -> Taken:
    conditions = Conditions(**sample["conditions"])
    disturbed = tuple(conditions.disturbances(usual_mhz))
    return Taken(value, sample["round"], sample["count"], sample["seconds"], conditions, disturbed)


def _megabytes(size: int | None) -> float | None:
    return None if size is None else size / 1e6
