"""A benchmark's artifact, checked, in dataclasses; every text in it is still the file's own.

    shown = BenchArtifact.of(report, "bench.json")
    shown.measures[0].case, shown.measures[0].share
    shown.scaling(measure)                 # the same case on other numbers of threads
    bench_table(report)                    # for --export: a row a measure

An artifact may be a stranger's: whatever is not what the schema says is refused with its place. Knows no screen.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitnet_tui.core.events import Event
from bitnet_tui.core.exporting import Table
from bitnet_tui.core.session import FormatError, load_bench
from bitnet_tui.core.store import STREAM

SCHEMA, SCHEMA_VERSION = "bitnet-tui/bench", 1
FILE = "bench.json"
"""What `bench --export DIR` calls its artifact."""

GROUPS: dict[str, tuple[str, ...]] = {
    "speed": ("decode", "prefill", "ttft"),
    "parts": ("body", "attention", "head", "norms", "fallback", "int8-dot"),
    "start": ("load", "compile", "first-token", "memory", "peak-memory"),
    "machine": ("read", "peak"),
}
"""Kinds of cases: what a user notices, where it goes, what a fresh process takes, what the machine allows."""

_NUMBER = (int, float)
_HEAD = 4096
"""Bytes in which an artifact names its schema."""


@dataclass(frozen=True)
class Sample:
    """One sample in the unit of its measure."""

    value: float
    round: int
    disturbed: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """One case on so many threads."""

    case: str
    kind: str
    threads: int
    position: int
    unit: str
    rises: bool
    """Whether more is better."""
    value: float | None
    """None where noise left none."""
    interval: tuple[float, float] | None
    share: float | None
    """Of what the machine allows, 1 being all of it."""
    limit: tuple[str, float] | None
    """What limits it, and that limit in the unit of the measure."""
    spread_ms: tuple[float, float, float] | None
    """Median, 90 % and 99 % quantile of single operations."""
    noisy: bool
    samples: tuple[Sample, ...]

    @property
    def key(self) -> tuple[str, int]:
        """By which measures of two artifacts are compared."""
        return self.case, self.threads

    @property
    def group(self) -> str:
        """The name in `GROUPS`."""
        return next(name for name, kinds in GROUPS.items() if self.kind in kinds)

    @property
    def disturbed(self) -> int:
        """How many samples were disturbed."""
        return sum(bool(sample.disturbed) for sample in self.samples)


@dataclass(frozen=True)
class Versus:
    """A measure in turns with another engine: `ratio` is ours over theirs in speed."""

    peer: str
    value: float | None
    ratio: float | None
    interval: tuple[float, float] | None


PARTS = ("body", "attention", "head", "norms", "rest")
"""Parts of a decoded token in a breakdown; the rest is what they leave, and may be negative."""


@dataclass(frozen=True)
class BenchArtifact:
    """A whole benchmark."""

    report: Mapping[str, Any]
    """The JSON it was read from."""
    path: str
    """Of the model, as it was named."""
    sha256: str
    facts: Mapping[str, Any]
    stamp: Mapping[str, Any]
    noisy: tuple[str, ...]
    judgement: str
    """The verdict and its reason, in a line; empty where nothing was judged."""
    measures: tuple[Measured, ...]
    breakdown: Mapping[tuple[int, int], tuple[tuple[str, float | None], ...]]
    """By threads and position: the parts of a decoded token, in milliseconds."""
    versus: "Mapping[tuple[str, int], Versus]"
    """By case and threads: the same in turns with another engine."""

    @classmethod
    def of(cls, report: object, where: str) -> "BenchArtifact":
        """Read the JSON of an artifact; `where` begins the error. Raises FormatError for what is none."""
        read = _Reader(where)
        whole = read.mapping(report, "the document")
        if (whole.get("schema"), whole.get("schema_version")) != (SCHEMA, SCHEMA_VERSION):
            raise FormatError(f"{where}: is no {SCHEMA} of version {SCHEMA_VERSION}; `bitnet-tui bench` writes one.")
        model = read.mapping(whole.get("model"), "model")
        return cls(
            report=whole,
            path=read.text(model.get("path"), "model.path"),
            sha256=read.text(model.get("sha256"), "model.sha256"),
            facts=read.mapping(model.get("facts"), "model.facts"),
            stamp=read.mapping(whole.get("stamp"), "stamp"),
            noisy=tuple(read.text(one, "noisy") for one in read.items(whole.get("noisy"), "noisy")),
            judgement=_judgement(read, whole.get("judgement")),
            measures=tuple(
                _measured(read, measure, f"measures[{i}]")
                for i, measure in enumerate(read.items(whole.get("measures"), "measures"))
            ),
            breakdown=dict(_breakdown(read, one) for one in read.items(whole.get("breakdown"), "breakdown")),
            versus=dict(_versus(read, whole, one) for one in read.items(whole.get("versus"), "versus")),
        )

    def scaling(self, measure: Measured) -> list[Measured]:
        """Return the case of `measure` on every number of threads, the fewest first."""
        return sorted((one for one in self.measures if one.case == measure.case), key=lambda one: one.threads)

    def same(self, measure: Measured) -> Measured | None:
        """Return the same case on the same number of threads; None where it was not measured."""
        return next((one for one in self.measures if one.key == measure.key), None)


def is_bench(path: Path) -> bool:
    """Return whether `path` names a benchmark's artifact: its file, or a folder that holds it, no model and no run."""
    if path.is_dir():
        return (path / FILE).is_file() and not any((path / other).exists() for other in ("config.json", STREAM))
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return f'"{SCHEMA}"'.encode() in stream.read(_HEAD)
    except OSError:
        return False


def artifact_path(path: Path) -> Path:
    """Return the file of an artifact given as its folder or as the file itself."""
    return path / FILE if path.is_dir() else path


def artifact_events(path: Path) -> Iterator[Event]:
    """Yield an artifact as the events of a recorded run. Raises StorageError, FormatError."""
    report = load_bench(artifact_path(path))
    artifact = BenchArtifact.of(report, str(path))
    yield {"event": "run.start", "kind": "bench", "id": str(artifact.stamp.get("id", "")), "path": artifact.path}
    yield {"event": "report", "report": report}
    yield {"event": "run.end", "status": "done", "verdict": None}


def artifact_of(events: Iterable[Event], where: str) -> BenchArtifact:
    """Return the artifact that a recorded run holds. Raises FormatError where there is none, or a damaged one."""
    reports = [event.get("report") for event in events if event["event"] == "report"]
    if not reports:
        raise FormatError(f"{where}: holds no benchmark, since the run did not end; measure again.")
    return BenchArtifact.of(reports[-1], where)


def bench_table(artifact: BenchArtifact) -> Table:
    """Return a benchmark, a row a measure."""
    columns = ("case", "threads", "value", "unit", "interval", "share", "noisy")
    facts = [
        ("model", artifact.path),
        ("sha256", artifact.sha256),
        ("command", str(artifact.report.get("command", ""))),
    ]
    facts += [("noisy", one) for one in artifact.noisy]
    return Table("Benchmark", facts, columns, artifact.report["measures"], artifact.report, "measures")


def _measured(read: "_Reader", value: object, place: str) -> Measured:
    of = read.mapping(value, place)
    kind = read.text(of.get("kind"), f"{place}.kind")
    if not any(kind in kinds for kinds in GROUPS.values()):
        raise read.wrong(kind, f"{place}.kind", "a kind of this version")
    limit = None if of.get("limit") is None else read.mapping(of["limit"], f"{place}.limit")
    return Measured(
        case=read.text(of.get("case"), f"{place}.case"),
        kind=kind,
        threads=int(read.number(of.get("threads"), f"{place}.threads")),
        position=int(read.number(of.get("position"), f"{place}.position")),
        unit=read.text(of.get("unit"), f"{place}.unit"),
        rises=of.get("better") == "higher",
        value=read.optional(of.get("value"), f"{place}.value"),
        interval=read.pair(of.get("interval"), f"{place}.interval"),
        share=read.optional(of.get("share"), f"{place}.share"),
        limit=None
        if limit is None
        else (read.text(limit.get("what"), f"{place}.limit.what"), read.number(limit.get("value"), f"{place}.limit")),
        spread_ms=read.three(of.get("spread_ms"), f"{place}.spread_ms"),
        noisy=of.get("noisy") is True,
        samples=tuple(
            _sample(read, sample, f"{place}.samples[{i}]")
            for i, sample in enumerate(read.items(of.get("samples"), f"{place}.samples"))
        ),
    )


def _sample(read: "_Reader", value: object, place: str) -> Sample:
    of = read.mapping(value, place)
    disturbed = read.items(of.get("disturbed"), f"{place}.disturbed")
    return Sample(
        read.number(of.get("value"), f"{place}.value"),
        int(read.number(of.get("round"), f"{place}.round")),
        tuple(read.text(why, f"{place}.disturbed") for why in disturbed),
    )


def _judgement(read: "_Reader", value: object) -> str:
    if value is None:
        return ""
    of = read.mapping(value, "judgement")
    verdict, why = (of.get(name) for name in ("verdict", "why"))
    shown = " ".join(str(part) for part in (verdict, f"({why})" if why else "") if part)
    failed = [str(g.get("gate")) for g in of.get("gates") or () if isinstance(g, dict) and g.get("status") != "PASS"]
    return f"{shown}: {', '.join(failed)}" if failed else shown


def _breakdown(read: "_Reader", value: object) -> tuple[tuple[int, int], tuple[tuple[str, float | None], ...]]:
    of = read.mapping(value, "breakdown")
    threads, position = (int(read.number(of.get(name), f"breakdown.{name}")) for name in ("threads", "position"))
    parts = tuple((name, read.optional(of.get(f"{name}_ms"), f"breakdown.{name}_ms")) for name in PARTS)
    return (threads, position), parts


def _versus(read: "_Reader", whole: Mapping[str, Any], value: object) -> tuple[tuple[str, int], Versus]:
    of, peer = read.mapping(value, "versus"), read.mapping(whole.get("peer"), "peer")
    theirs = read.mapping(of.get("theirs"), "versus.theirs")
    key = read.text(of.get("case"), "versus.case"), int(read.number(of.get("threads"), "versus.threads"))
    measured = read.optional(theirs.get("value"), "versus.theirs.value")
    ratio, bounds = read.optional(of.get("ratio"), "versus.ratio"), read.pair(of.get("interval"), "versus.interval")
    return key, Versus(read.text(peer.get("name"), "peer.name"), measured, ratio, bounds)


class _Reader:
    """Values of a document of `where`, each of the type that it has to have. Every method raises FormatError."""

    def __init__(self, where: str) -> None:
        self._where = where

    def wrong(self, value: object, place: str, allowed: str) -> FormatError:
        return FormatError(f"{self._where}: {place} is {value!r:.60}; {allowed} is allowed. Measure it again.")

    def _typed(self, value: Any, place: str, kind: type | tuple[type, ...], allowed: str) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(value, place, allowed)
        return value

    def mapping(self, value: object, place: str) -> Mapping[str, Any]:
        return self._typed(value, place, dict, "an object")

    def items(self, value: object, place: str) -> Sequence[Any]:
        return self._typed(value, place, list, "a list")

    def text(self, value: object, place: str) -> str:
        return self._typed(value, place, str, "a text")

    def number(self, value: object, place: str) -> float:
        return self._typed(value, place, _NUMBER, "a number")

    def optional(self, value: object, place: str) -> float | None:
        return None if value is None else self.number(value, place)

    def pair(self, value: object, place: str) -> tuple[float, float] | None:
        """Return an interval; None where there is none."""
        low, high = self._some(value, place, 2)
        return None if low is None or high is None else (low, high)

    def three(self, value: object, place: str) -> tuple[float, float, float] | None:
        if value is None:
            return None
        first, second, third = self._some(value, place, 3)
        return None if first is None or second is None or third is None else (first, second, third)

    def _some(self, value: object, place: str, count: int) -> list[float | None]:
        found = self.items(value, place)
        if len(found) != count:
            raise self.wrong(value, place, f"a list of {count}")
        return [self.optional(one, place) for one in found]
