"""The kinds of request that explain: a diagnosis, and a demonstration on a model broken on purpose.

    for event in diagnose({"reference": a, "candidate": b, "tokens": 64}): ...

Part of `core.session`; imported in workers only.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import bitnet_engine as engine
from bitnet_engine.errors import SettingError
from bitnet_engine.formats import QuantType
from bitnet_parity import faults
from bitnet_parity.diagnosis.causes import Finding
from bitnet_parity.diagnosis.diagnosing import TEXT, open_steps
from bitnet_parity.diagnosis.file_repair import check_target, repair_steps
from bitnet_tui.core import asking
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.steps import tensor_event

DEMO_STORAGES = (QuantType.I2_S, QuantType.TQ2_0, QuantType.HF_PACKED)
"""Of the file that `demo` breaks: the first that the fault can be in."""


def diagnose(request: Request) -> Iterator[Event]:
    """Find why the candidate is not the reference. Raises BitnetError."""
    yield (begun := asking.start(request))
    reference, candidate, target = request["reference"], request["candidate"], request.get("write_repaired")
    folder = request.get("export")
    asked: dict[str, Any] = {"text": request.get("text"), "count": request["tokens"]}
    asked |= {"numerics": asking.numerics(request), "readings": asking.pair_reading(request)}
    if target is not None:
        check_target(candidate, Path(target))
    found: list[Any] = []
    reproduction = None if folder is None else Path(folder)
    yield from _progress(open_steps(reference, candidate, reproduction=reproduction, **asked), found)
    if target is not None:
        yield from _progress(repair_steps(reference, candidate, found[0], Path(target), **asked), found)
    more = {} if target is None else {"repaired": found[1].to_json()}
    yield _report(found[0], begun["id"], **more)


def _progress(steps: Iterable[Any], into: list[Any]) -> Iterator[Event]:
    """Yield the progress among `steps` as events; what they end with goes into `into`."""
    for step in steps:
        if isinstance(step, tuple):
            yield tensor_event(*step)
        else:
            into.append(step)


def _report(finding: Finding, id: str, **more: Any) -> Event:
    return {"event": "report", "report": {**finding.to_json(), **more, "stamp": engine.stamp(id=id)}}


def demo(request: Request) -> Iterator[Event]:
    """Break the shipped sample with a fault of the library and diagnose it. Raises BitnetError."""
    yield (begun := asking.start(request))
    fault, seed = faults.get(request["fault"]), request["seed"]
    source = Path(request["path"]) if request.get("path") else resource_dir("samples") / "nano" / "packed"
    if not source.exists():
        raise SettingError(f"{source}: the sample is not there; name a model with --model.")
    with tempfile.TemporaryDirectory(prefix="bitnet-demo-") as folder:
        storage = next((kind for kind in DEMO_STORAGES if kind in fault.storages), None)
        if "file" in fault.targets and storage is not None:
            target = Path(folder) / f"{fault.name}{'' if storage is QuantType.HF_PACKED else '.gguf'}"
            truth = faults.inject_file(source, target, fault.name, seed, storage)
            steps = open_steps(source, target, text=request.get("text"))
        else:
            model = engine.load(source)
            tokens = tuple(model.tokenizer.encode(request.get("text") or TEXT)[: request["tokens"]])
            broken, truth = faults.inject_numpy(model, fault.name, seed)
            steps = open_steps(source, faults.Traced(broken, tokens, f"another engine with {fault.name}"))
        yield {"event": "warn", "message": f"broken on purpose: {fault.summary} ({truth.detail or truth.operation})"}
        found: list[Any] = []
        yield from _progress(steps, found)
        yield _report(found[0], begun["id"], fault=truth.to_json())
