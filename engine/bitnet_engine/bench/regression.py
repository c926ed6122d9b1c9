"""Did it get slower? An artifact against an older one of the same machine and model, with a verdict.

    compare(load_report(Path("baseline.json")), report)      # two artifacts as JSON

Each measure that a user would notice is a gate: the ratio of its speed now to its speed then, at least 1 − ALLOWED.
FAIL only where the whole interval is under that, PASS where all of it is over, INCONCLUSIVE where it holds the limit:
the noise of two runs is then larger than what is asked about. Knows no clock.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bitnet_engine.bench.report import OURS, SCHEMA, SCHEMA_VERSION
from bitnet_engine.bench.statistics import Estimate, unpaired_ratio
from bitnet_engine.errors import FormatError, SettingError
from bitnet_engine.files import read_json

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

ALLOWED = 0.1
"""How much slower, or larger, is let through."""

GATED = ("decode", "prefill", "ttft", "load", "memory", "peak-memory")
SAME = (
    "platform",
    "wsl2",
    "cpu",
    "isa",
    "threads",
    "device",
    "xla_flags",
    "determinism",
    "numerics",
    "cache",
    "model_sha256",
)
"""Of a stamp: what two runs must have in common. The code and its libraries may differ; they are what is judged."""
BEFORE = {"cache": "float32"}
"""What artifacts were measured with that are older than the field."""


@dataclass(frozen=True)
class SpeedGate:
    """One measure against itself: `value` is speed now over speed then, under 1 where it got slower or larger."""

    gate: str
    status: Verdict
    value: float
    interval: tuple[float, float]
    limit: float
    detail: str


@dataclass(frozen=True)
class Change:
    """One measure then and now: the ratio of its speeds, under 1 where it got slower or larger."""

    case: str
    threads: int
    ratio: float
    """NaN where too much noise leaves no value."""
    interval: tuple[float, float]
    """NaN where one sample has none."""
    then: float | None
    """In the unit of the measure; None where noise left no value."""


@dataclass(frozen=True)
class Comparison:
    """Every gate, and the worst of their verdicts."""

    verdict: Verdict
    gates: tuple[SpeedGate, ...]


def load_report(path: Path) -> dict[str, Any]:
    """Return the artifact at `path`.

    Raises:
        StorageError: it cannot be read.
        FormatError: it is no benchmark, or of another version.
    """
    value = read_json(path, "name a bench.json that `bitnet-tui bench` wrote")
    if not isinstance(value, dict) or (value.get("schema"), value.get("schema_version")) != (SCHEMA, SCHEMA_VERSION):
        raise FormatError(f"{path}: is no {SCHEMA} of version {SCHEMA_VERSION}; measure the baseline again.")
    return value


def compare(baseline: dict[str, Any], now: dict[str, Any]) -> Comparison:
    """Judge an artifact by an older one.

    Raises:
        SettingError: they are of different machines or models, or have no measure in common.
    """
    gates = tuple(_gate(then, found) for then, found in _pairs(baseline, now) if found["kind"] in GATED)
    if not gates:
        raise SettingError("the baseline has no measure in common with this run; give both the same options.")
    return Comparison(worst(gates), gates)


def changes(baseline: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """Return how every measure of our own that both artifacts have has changed, judged or not.

    Raises:
        SettingError: they are of different machines or models.
    """
    return [
        Change(found["case"], found["threads"], ratio.value, ratio.interval, then["value"])
        for then, found in _pairs(baseline, now)
        for ratio in [_ratio(then, found)]
    ]


def _pairs(baseline: dict[str, Any], now: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return what was measured in both, then and now."""
    refuse_another(baseline, {name: now["stamp"].get(name, BEFORE.get(name)) for name in SAME})
    old = {_key(measure): measure for measure in baseline["measures"] if measure["engine"] == OURS}
    ours = [measure for measure in now["measures"] if measure["engine"] == OURS]
    return [(old[_key(measure)], measure) for measure in ours if _key(measure) in old]


def worst(gates: Sequence[SpeedGate]) -> Verdict:
    """Return the verdict on gates, one or more: the worst of theirs."""
    statuses = {gate.status for gate in gates}
    order: tuple[Verdict, ...] = ("FAIL", "INCONCLUSIVE", "PASS")
    return next(verdict for verdict in order if verdict in statuses)


def status_of(interval: tuple[float, float]) -> Verdict:
    """Return what an interval of a speed ratio says of the limit; nothing where it is NaN."""
    low, high = interval
    return "PASS" if low >= 1 - ALLOWED else "FAIL" if high < 1 - ALLOWED else "INCONCLUSIVE"


def refuse_another(baseline: dict[str, Any], stamp: dict[str, Any]) -> None:
    """Refuse a baseline whose stamp differs in a field of `stamp`. Raises SettingError."""
    for name, found in stamp.items():
        then = baseline["stamp"].get(name, BEFORE.get(name))
        if then != found:
            raise SettingError(
                f"the baseline was measured under another stamp: {name} was {then!r} and is {found!r}. Measure a "
                f"baseline here, with this model."
            )


def _key(measure: dict[str, Any]) -> tuple[str, int]:
    return measure["case"], measure["threads"]


def _gate(then: dict[str, Any], now: dict[str, Any]) -> SpeedGate:
    name, limit = f"{now['case']}, {now['threads']} threads", 1 - ALLOWED
    found = _ratio(then, now)
    low, high = found.interval
    detail = f"{_shown(then)} then, {_shown(now)} now"
    if math.isnan(found.value):
        detail += "; too much noise to tell"
    elif not low <= high:
        detail += "; one sample has no interval"
    return SpeedGate(name, status_of(found.interval), found.value, found.interval, limit, detail)


def _ratio(then: dict[str, Any], now: dict[str, Any]) -> Estimate:
    samples = [_values(side) for side in (now, then)]
    return unpaired_ratio(*(samples if now["better"] == "higher" else samples[::-1]))


def _values(measure: dict[str, Any]) -> list[float]:
    """Return the samples that count; none of a noisy measure, whatever was allowed."""
    return [] if measure["noisy"] else [taken["value"] for taken in measure["samples"] if not taken["disturbed"]]


def _shown(measure: dict[str, Any]) -> str:
    value = measure["value"]
    return "no value" if value is None or value != value else f"{value:.4g} {measure['unit']}"
