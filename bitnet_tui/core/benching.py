"""The kind of request that measures speed, and its judgement by an older measurement.

    for event in bench({"path": "model.gguf", "iterations": 10, "warmup": 2, "threads": [1, 2], ...}): ...

Part of `core.session`; imported in workers only.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import bitnet_engine as engine
from bitnet_engine.bench import (
    Progress,
    Settings,
    Stage,
    bench_steps,
    compare,
    load_report,
    refuse_another,
    turns_steps,
)
from bitnet_tui.core import asking
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event

TURNS, TURNS_VERSION = "bitnet-tui/turns", 1
"""What the artifact of two files in turns calls itself."""
ROUNDS = 8
"""That two files of one model take in turns before anything is said of them."""
NO_BASELINE = "there is no baseline at {}: nothing to compare with, so no verdict"


def bench(request: Request) -> Iterator[Event]:
    """Measure a model. Raises BitnetError."""
    baseline = _baseline(request)
    settings = Settings(
        iterations=request["iterations"],
        warmup=request["warmup"],
        threads=tuple(request["threads"]),
        allow_noise=request["allow_noise"],
    )
    options = {"command": request["command"], "peers": request["peers"], "numerics": asking.numerics(request)}
    options["cache"] = asking.cache_type(request)
    yield (begun := asking.start(request))
    since = monotonic()
    steps = bench_steps(
        request["path"], settings.quick() if request["quick"] else settings, **options, **asking.reading(request)
    )
    for step in steps:
        if isinstance(step, (Stage, Progress)):
            yield _underway(step, since)
        else:
            report = step.to_json()
            report["stamp"] |= {"id": begun["id"]}
            yield {"event": "report", "report": {**report, "judgement": judgement(request, report, baseline)}}


def turns(request: Request) -> Iterator[Event]:
    """Measure two files of one model in turns. Raises BitnetError."""
    yield (begun := asking.start(request))
    settings = Settings(iterations=ROUNDS).quick()
    since = monotonic()
    for step in turns_steps(request["reference"], request["candidate"], settings, numerics=asking.numerics(request)):
        if isinstance(step, (Stage, Progress)):
            yield _underway(step, since)
        else:
            head = {"schema": TURNS, "schema_version": TURNS_VERSION}
            sides = {name: request[name] for name in ("reference", "candidate")}
            stamp = engine.stamp(id=begun["id"], numerics=asking.numerics(request))
            yield {"event": "report", "report": {**head, **sides, **asdict(step), "stamp": stamp}}


def _underway(step: Stage | Progress, since: float) -> Event:
    """Return the event of a step of a measurement that began at `since`."""
    if isinstance(step, Stage):
        return {"event": "stage", **asdict(step)}
    left = (monotonic() - since) / step.index * (step.count - step.index)
    return {"event": "bench", **asdict(step), "seconds_left": left}


def _baseline(request: Request) -> dict[str, Any] | None:
    """Return the artifact to compare with, refused now and not after the run where another machine made it."""
    if request["baseline"] is None or not (path := Path(request["baseline"])).exists():
        return None
    baseline = load_report(path)
    known = engine.stamp()
    refuse_another(baseline, {name: known[name] for name in ("platform", "cpu", "isa")})
    return baseline


def judgement(request: Request, report: dict[str, Any], baseline: dict[str, Any] | None) -> dict[str, Any]:
    """Return the verdict: of the comparison; NOISY; or none, which a measurement alone does not have.

    Raises:
        SettingError: the baseline is of another machine or model.
    """
    bare: dict[str, Any] = {"baseline": request["baseline"], "verdict": None, "why": "", "gates": []}
    if baseline is not None:
        found = compare(baseline, report)
        return bare | {"verdict": found.verdict, "gates": [asdict(gate) for gate in found.gates]}
    if request["baseline"] is not None:
        return bare | {"verdict": "INCONCLUSIVE", "why": NO_BASELINE.format(request["baseline"])}
    if report["noisy"] and not request["allow_noise"]:
        count = len(report["noisy"])
        why = f"half of the samples or more were disturbed in {count} measure{'s' * (count != 1)}"
        return bare | {"verdict": "NOISY", "why": f"{why}; measure on a quiet machine, or give --allow-noise"}
    return bare
