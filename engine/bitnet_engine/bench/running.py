"""A whole benchmark: processes started, cases taken in turns round by round, samples gathered into a report.

    for step in bench_steps("model.gguf", Settings(), command="bitnet-tui bench model.gguf"):
        ...                                     # Stage, Progress; the BenchReport is the last

Every round takes one sample of every case, the machine's limits among them: what drifts, drifts in all of them alike.
This process only waits meanwhile. Imports no jax; `child` does the work.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bitnet_engine.bench.assembling import Run, assemble
from bitnet_engine.bench.cases import Case, Settings
from bitnet_engine.bench.process import Measurer
from bitnet_engine.bench.report import OURS, BenchReport
from bitnet_engine.errors import SettingError
from bitnet_engine.formats import I2SLayout, open_checkpoint

LLAMA = "llama.cpp"


@dataclass(frozen=True)
class Stage:
    """Something long that has begun or ended."""

    name: str
    status: Literal["start", "done"]
    seconds: float | None = None


@dataclass(frozen=True)
class Progress:
    """A sample that was taken: number `index` of `count`, from 1."""

    engine: str
    threads: int
    case: str
    round: int
    seconds: float
    index: int
    count: int


def bench_steps(
    path: str,
    settings: Settings,
    *,
    command: str,
    peers: bool = False,
    numerics: str = "exact-int8",
    cache: str = "float32",
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
) -> Iterator[Stage | Progress | BenchReport]:
    """Measure the model at `path`; the last two are those of `load`.

    Raises:
        SettingError: more threads than this process may use.
        BitnetError: the model cannot be loaded, or with `peers` llama.cpp is missing or cannot load it.
    """
    settings = replace(settings, threads=available_threads(settings))
    yield Stage("hash the model", "start")
    begun = time.monotonic()
    with open_checkpoint(path) as checkpoint:
        sha256 = checkpoint.sha256()
    yield Stage("hash the model", "done", time.monotonic() - begun)
    reading = {"i2s_layout": i2s_layout, "kernel_config": None if kernel_config is None else str(kernel_config)}
    bench = _Bench(settings, {"path": path, "numerics": numerics, "cache": cache, "reading": reading}, peers)
    yield from bench.steps()
    yield assemble(bench.runs, path=path, sha256=sha256, command=command, settings=settings)


@dataclass
class _Bench:
    """A benchmark under way: `runs` fills, a process at a time."""

    settings: Settings
    request: dict[str, Any]
    peers: bool
    runs: list[Run] = field(default_factory=list)
    index: int = 0

    def steps(self) -> Iterator[Stage | Progress]:
        *fewer, most = self.settings.threads
        starts = []
        for number in range(2, self.settings.starts + 1):
            name = f"load in a fresh process, {number} of {self.settings.starts}"
            yield from self._started(name, OURS, most, starts)
            starts[-1].close()
        for threads in fewer:
            yield from self._run(threads, [])
        yield from self._run(most, [one.ready["started"] for one in starts])

    def _started(self, name: str, engine: str, threads: int, into: list[Measurer]) -> Iterator[Stage]:
        yield Stage(name, "start")
        begun = time.monotonic()
        request = {**self.request, "engine": engine, "threads": threads, "settings": asdict(self.settings)}
        into.append(Measurer.start(request))
        yield Stage(name, "done", time.monotonic() - begun)

    def _run(self, threads: int, starts: list[dict[str, Any]]) -> Iterator[Stage | Progress]:
        """Measure on so many threads; the last of them also in turns with the peer."""
        measurers: list[Measurer] = []
        with ExitStack() as stack:
            yield from self._started(f"load, {_threads_text(threads)}", OURS, threads, measurers)
            ours = stack.enter_context(measurers[0])
            run = Run(threads, ours.ready, [*starts, ours.ready["started"]])
            self.runs.append(run)
            last = threads == self.settings.threads[-1]
            positions, units = ours.ready["facts"]["max_positions"], tuple(ours.ready["facts"]["units"])
            cases = self.settings.cases(positions, units) if last else self.settings.scaling(positions, units)
            for round in range(self.settings.iterations):
                for case in cases:
                    yield self._taken(OURS, ours, run.samples, case, round)
            if not (last and self.peers):
                return
            yield from self._started(f"load {LLAMA}", LLAMA, threads, measurers)
            theirs = stack.enter_context(measurers[1])
            run.peer = {"name": LLAMA, **theirs.ready["facts"]}
            sides = [(OURS, ours, run.turns), (LLAMA, theirs, run.peer_turns)]
            for round in range(self.settings.iterations):
                for case in self.settings.peers(positions):
                    # Who begins changes, so that neither always comes second.
                    for side in sides if round % 2 else sides[::-1]:
                        yield self._taken(*side, case, round)

    def _taken(
        self, engine: str, measurer: Measurer, into: dict[Case, list[dict[str, Any]]], case: Case, round: int
    ) -> Progress:
        answer = measurer.sample(case, round)
        into.setdefault(case, []).append(answer)
        self.index += 1
        seconds = answer["sample"]["seconds"]
        return Progress(engine, self.runs[-1].threads, case.key, round, seconds, self.index, self._count())

    def _count(self) -> int:
        """Return how many samples there are to be."""
        facts = self.runs[0].ready["facts"]
        where = facts["max_positions"], tuple(facts["units"])
        cases = len(self.settings.cases(*where)) + len(self.settings.scaling(*where)) * (len(self.settings.threads) - 1)
        turns = 2 * len(self.settings.peers(where[0])) if self.peers else 0
        return self.settings.iterations * (cases + turns)


def _threads_text(threads: int) -> str:
    return f"{threads} thread{'s' * (threads != 1)}"


def available_threads(settings: Settings) -> tuple[int, ...]:
    """Return the counts of threads that were asked for, or all there are. Raises SettingError for more than those."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = tuple(sorted(set(settings.threads))) or (available,)
    if not 1 <= wanted[0] <= wanted[-1] <= available:
        raise SettingError(f"--threads {','.join(map(str, wanted))}: 1 to {available} are allowed for this process.")
    return wanted
