"""Earlier benchmarks of the same model on the same machine, and how each measure has changed since.

    for run in history(store, artifact): run.id, run.changes["decode@64", 2].ratio

Reads every recorded benchmark whole: call it in a thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bitnet_tui.core.bench_report import BenchArtifact, artifact_of
from bitnet_tui.core.session import BitnetError, bench_changes
from bitnet_tui.core.store import RunInfo, Store

MOST = 50
"""Runs that are looked at, the newest of them."""


@dataclass(frozen=True)
class Change:
    """Speed now over speed then; size then over size now. Over 1 is better."""

    ratio: float | None
    """None where noise left no value."""
    interval: tuple[float, float] | None

    @property
    def sure(self) -> bool:
        """Whether its interval holds no 1: the two differ by more than their noise."""
        return self.interval is not None and not self.interval[0] <= 1 <= self.interval[1]


@dataclass(frozen=True, eq=False)
class BenchRun:
    """A recorded benchmark."""

    id: str
    when: float
    """Seconds since the epoch."""
    artifact: BenchArtifact
    changes: Mapping[tuple[str, int], Change] = field(default_factory=dict)
    """From it to the run that it was looked up for, by case and threads."""


def history(store: Store, now: BenchArtifact, own_id: str = "") -> list[BenchRun]:
    """Return the earlier runs that `now` can be compared with, the oldest first; the run `own_id` is left out."""
    runs = [run for run in store.list() if run.kind == "bench" and run.status == "done" and run.id != own_id]
    found = [one for run in runs[:MOST] if (one := _comparable(store, run, now)) is not None]
    return found[::-1]


def _comparable(store: Store, run: RunInfo, now: BenchArtifact) -> BenchRun | None:
    try:
        artifact = artifact_of(store.open(run.path), run.id)
        changes = bench_changes(artifact.report, now.report)
    except (BitnetError, OSError):
        return None  # of another model or machine, or damaged: no earlier run of this one
    known = {(one["case"], one["threads"]): _change(one["ratio"], one["interval"]) for one in changes}
    return BenchRun(run.id, run.when, artifact, known)


def _change(ratio: float, interval: tuple[float, float]) -> Change:
    low, high = interval
    # NaN is what compares with nothing.
    return Change(ratio if ratio == ratio else None, interval if low <= high else None)
