"""What the Bench screen shows, built from the events of one benchmark, live or recorded, or from its artifact.

    view = BenchView()
    for event in events:
        view.feed(event)
    view.rows()                       # what the list holds: measures once there is an artifact, samples before
    view.compare(history)             # earlier runs of the same model and machine; the last is the baseline
    view.details(measure)

Strings for display are safe. Knows nothing of colours and widths.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bitnet_tui.core.bench_history import BenchRun, Change
from bitnet_tui.core.bench_report import GROUPS, BenchArtifact, Measured
from bitnet_tui.core.bench_text import amount, figure_of, interval, ratio_text, threads_text
from bitnet_tui.core.events import Event
from bitnet_tui.core.inspect_view import Row
from bitnet_tui.core.run_state import RunState, RunView, Stage, active, take_stage
from bitnet_tui.core.session import BitnetError
from bitnet_tui.core.text import duration, safe

ALL = "all"
SHOWN_GROUPS = (*GROUPS, ALL)


@dataclass(frozen=True)
class BenchRow:
    """One line of the list: a measure, or before there is one what its samples have come to so far."""

    case: str
    threads: int
    figure: str
    fill: float | None
    """How much of its bar is full, 0 to 1; None where it has none."""
    facts: str
    change: Change | None = None
    noisy: bool = False

    @property
    def key(self) -> str:
        """What tells it from the others."""
        return f"{self.case} {self.threads}"


_DECADES = 3
"""Powers of ten that a bar spans."""


def _by_powers(share: float) -> float:
    return max(0.0, 1 + math.log10(share) / _DECADES) if share > 0 else 0.0


class BenchView(RunView):
    """The state of one benchmark."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ""
        """The path that is measured."""
        self.request: dict[str, Any] = {}
        """What was asked for, as `core.session.run` takes it; empty where nothing says."""
        self.stages: list[Stage] = []
        self.artifact: BenchArtifact | None = None
        self.group = SHOWN_GROUPS[0]
        self.by_case = False
        """Whether the threads of a case stand together, and not the cases of a number of threads."""
        self.absolute = False
        """Whether bars are values beside the largest of their unit, and not shares of what the machine allows."""
        self.logarithmic = False
        """Whether bars are by powers of ten: full at 1, empty at a thousandth."""
        self.with_intervals = True
        self.history: list[BenchRun] = []
        """Earlier runs of the same model on the same machine, the oldest first."""
        self.baseline: BenchRun | None = None
        self._progress: Mapping[str, Any] = {}
        self._samples: dict[tuple[str, int], list[float]] = {}

    # ---- events -------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many samples have arrived."""
        return sum(map(len, self._samples.values()))

    def feed(self, event: Event) -> None:
        """Take in one event; kinds it does not know are ignored."""
        super().feed(event)
        kind = event["event"]
        if kind == "run.start":
            self.model = str(event.get("path", ""))
            request = event.get("request")
            self.request = dict(request) if isinstance(request, dict) else {}
        elif kind == "stage":
            take_stage(self.stages, event)
        elif kind == "bench":
            self._sample(event)
        elif kind == "report":
            self._report(event.get("report"))

    def _sample(self, event: Event) -> None:
        seconds, threads = event.get("seconds"), event.get("threads")
        if isinstance(seconds, int | float) and isinstance(threads, int):
            key = str(event.get("case", "")), threads
            self._samples.setdefault(key, []).append(float(seconds))
            self._progress = event

    def _report(self, report: object) -> None:
        try:
            self.artifact = BenchArtifact.of(report, self.id or "the run")
        except BitnetError as error:
            self.errors.append((error.exit_code, str(error)))
            return
        self.model = self.model or self.artifact.path

    # ---- the whole run ------------------------------------------------------------------------------

    def facts(self) -> str:
        """Return what was measured on what, in one line."""
        if self.artifact is None:
            return ""
        stamp = self.artifact.stamp
        parts = [stamp.get("cpu"), stamp.get("kernel"), stamp.get("numerics"), _commit(stamp.get("git_commit"))]
        return " · ".join(safe(str(part), 60) for part in parts if part)

    def notes(self) -> list[str]:
        """Return what a reader has to know before the numbers: the verdict, noise, what they are compared with."""
        if self.artifact is None:
            return []
        lines = [safe(self.artifact.judgement, 200)] if self.artifact.judgement else []
        if self.artifact.noisy:
            count, names = len(self.artifact.noisy), safe("; ".join(self.artifact.noisy), 120)
            lines.append(f"noisy machine: {count} measure{'s' * (count != 1)} without a sure value ({names})")
        if self.baseline is not None:
            others = f", one of {len(self.history)} earlier runs" if len(self.history) > 1 else ""
            lines.append(f"compared with {safe(self.baseline.id, 20)}{others}")
        return lines

    def summary(self) -> list[str]:
        """Return at most three lines that stay in the scrollback after the program."""
        if self.state is RunState.WAITING:
            return []
        lines = [f"bench {safe(self.id)}: {safe(self.model)}", f"{self.state.value}, {self.count} samples"]
        if self.errors:
            return [*lines, safe(self.errors[-1][1], 400)]
        found = [] if self.artifact is None else [one for one in self.artifact.measures if one.group == "speed"]
        return (
            [*lines, ", ".join(f"{safe(m.case, 24)} {figure_of(m.value, m.unit)}" for m in found[-4:])]
            if found
            else lines
        )

    def progress(self) -> tuple[str, str]:
        """Return what is done now, and how far a live run is; empty before anything was said."""
        of, step = self._progress, active(self.stages)
        index, count, left = (of.get(name) for name in ("index", "count", "seconds_left"))
        if not isinstance(index, int) or not isinstance(count, int):
            return safe(step or "", 60), ""
        doing = f"{safe(str(of.get('case', '')), 30)} on {threads_text(int(of['threads']))}"
        eta = f"  eta {duration(left)}" if isinstance(left, int | float) else ""
        return safe(step, 60) if step is not None else doing, f"{index}/{count} samples{eta}"

    # ---- the list -----------------------------------------------------------------------------------

    def measures(self) -> list[Measured]:
        """Return the measures of the group, in the order of the list."""
        if self.artifact is None:
            return []
        found = [one for one in self.artifact.measures if self.group in (ALL, one.group)]
        cases = list(dict.fromkeys(one.case for one in found))
        order = (lambda m: (cases.index(m.case), -m.threads)) if self.by_case else (lambda m: -m.threads)
        return sorted(found, key=order)

    def rows(self) -> list[BenchRow]:
        """Return the lines of the list."""
        if self.artifact is None:
            return list(self._live_rows())
        found = self.measures()
        largest: dict[str, float] = {}
        for one in found:
            largest[one.unit] = max(largest.get(one.unit, 0.0), one.value or 0.0)
        changes = self.baseline.changes if self.baseline is not None else {}
        return [self._row(one, largest[one.unit], changes.get(one.key)) for one in found]

    def _live_rows(self) -> Iterator[BenchRow]:
        for (case, threads), seconds in self._samples.items():
            middle = f"{amount(1e3 * median(seconds))} ms"
            plural = "s" * (len(seconds) != 1)
            yield BenchRow(safe(case, 24), threads, middle, None, f"an operation, {len(seconds)} sample{plural}")

    def _row(self, one: Measured, largest: float, change: Change | None) -> BenchRow:
        fill = (one.value or 0.0) / largest if self.absolute and largest else one.share
        fill = _by_powers(fill) if self.logarithmic and fill is not None else fill
        share = "" if one.share is None else f"{one.share:.0%}"
        bounds = interval(one.interval) if self.with_intervals and one.interval is not None else ""
        facts = f"{bounds:<17}{share:>5}" if self.with_intervals else f"{share:>5}"
        shown = figure_of(one.value, one.unit)
        return BenchRow(safe(one.case, 24), one.threads, shown, fill, facts, change, one.noisy or one.disturbed > 0)

    def measure(self, key: str) -> Measured | None:
        """Return the measure of a line of the list, by its key; None where the line is of samples."""
        return next((one for one in self.measures() if f"{safe(one.case, 24)} {one.threads}" == key), None)

    # ---- one measure --------------------------------------------------------------------------------

    def details(self, one: Measured) -> list[Row]:
        """Return what is known of a measure."""
        rows = [("value", f"{figure_of(one.value, one.unit)} {interval(one.interval or (None, None))}".rstrip())]
        if one.limit is not None:
            share = "" if one.share is None else f", {one.share:.0%} of it reached"
            rows.append(("limit", f"{figure_of(one.limit[1], one.unit)} by {safe(one.limit[0], 80)}{share}"))
        if one.spread_ms is not None:
            middle, ninety, worst = map(amount, one.spread_ms)
            rows.append(("one operation", f"{middle} ms, 90 % under {ninety}, 99 % under {worst}"))
        change = self.baseline.changes.get(one.key) if self.baseline is not None else None
        if change is not None:
            rows.append(("since", f"{safe(self.baseline.id, 20) if self.baseline else ''}: {change_text(change)}"))
        if self.artifact is not None and (peer := self.artifact.versus.get(one.key)) is not None:
            ours = ratio_text(peer.ratio, peer.interval or (None, None))
            rows.append((safe(peer.peer, 20), f"{figure_of(peer.value, one.unit)}; ours is {ours}"))
        return rows

    def past(self, one: Measured) -> list[tuple[str, float, Measured]]:
        """Return id, time and value of the same measure in every earlier run and in this one, the oldest first."""
        found = [(run.id, run.when, same) for run in self.history if (same := run.artifact.same(one)) is not None]
        return [*found, (self.id, float("inf"), one)]

    # ---- earlier runs -------------------------------------------------------------------------------

    def compare(self, history: Sequence[BenchRun]) -> None:
        """Take earlier runs, the oldest first; the last of them is the baseline."""
        self.history = list(history)
        self.baseline = self.history[-1] if self.history else None

    def next_baseline(self) -> BenchRun | None:
        """Compare with the run before the baseline, after the oldest with the newest; return it."""
        if self.baseline is not None:
            self.baseline = self.history[self.history.index(self.baseline) - 1]
        return self.baseline


def change_text(change: Change) -> str:
    """Return a change as one reads it; within the noise where its interval holds no change."""
    if change.ratio is None:
        return "too much noise to tell"
    percent = f"{abs(change.ratio - 1):.0%} {'faster' if change.ratio > 1 else 'slower'}"
    return percent if change.sure else f"≈ within noise ({percent})"


def _commit(value: object) -> str:
    return f"commit {str(value)[:12]}" if value else ""
