"""The kinds of request that read or write model files and run none: stats, scan, diff, convert.

    for event in diff({"reference": "packed", "candidate": "model.gguf"}): ...

Part of `core.session`; imported in workers only.
"""

from collections.abc import Iterator
from dataclasses import asdict

import bitnet_engine as engine
from bitnet_engine.conversion import Conversion, convert_steps
from bitnet_engine.diffing import ModelDiff, diff_steps
from bitnet_engine.scanning import scan_steps
from bitnet_tui.core import asking
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event
from bitnet_tui.core.steps import tensor_event


def stats(request: Request) -> Iterator[Event]:
    """Count the values of every tensor, the largest first. Raises BitnetError."""
    with asking.opened(request) as checkpoint:
        yield asking.start(request)
        for tensor in sorted(checkpoint.tensors.values(), key=lambda tensor: -tensor.nbytes):
            found = engine.tensor_stats(checkpoint, tensor.name).to_json()
            yield {"event": "stats", "tensor": found.pop("name"), **found}


def scan(request: Request) -> Iterator[Event]:
    """Look for the known bugs that weights show. Raises BitnetError."""
    with asking.opened(request) as checkpoint:
        yield (begun := asking.start(request))
        for step in scan_steps(checkpoint):
            if isinstance(step, list):
                found = {"findings": [asdict(finding) for finding in step], "reading": checkpoint.reading.to_json()}
                report = {"schema": "bitnet-tui/scan", "schema_version": 1, "path": begun["path"], **found}
                yield {"event": "report", "report": {**report, "stamp": engine.stamp(id=begun["id"])}}
            else:
                yield tensor_event("scan", *step)


def diff(request: Request) -> Iterator[Event]:
    """Compare two files tensor by tensor. Raises BitnetError."""
    yield (begun := asking.start(request))
    with asking.opened_pair(request) as files:
        for step in diff_steps(*files):
            if isinstance(step, ModelDiff):
                yield {"event": "report", "report": {**step.to_json(), "stamp": engine.stamp(id=begun["id"])}}
            else:
                yield tensor_event("compare", *step)


def convert(request: Request) -> Iterator[Event]:
    """Write a model in another storage and read it back. Raises BitnetError."""
    kind = engine.QuantType(request["type"])
    allowed = {"allow_lossy": request["allow_lossy"], "force": request.get("force", False)}
    allowed |= {name: request.get(name) for name in ("scale", "max_shard_size", "byte_order")}
    yield (begun := asking.start(request))
    for step in convert_steps(request["path"], request["target"], kind, **allowed, **asking.reading(request)):
        if isinstance(step, Conversion):
            yield {"event": "report", "report": {**step.to_json(), "stamp": engine.stamp(id=begun["id"])}}
        else:
            yield tensor_event(*step)
