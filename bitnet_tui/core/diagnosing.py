"""The kinds of request that explain: a diagnosis, a capture of one model, a demonstration on a model broken on purpose.

    for event in diagnose({"reference": a, "candidate": b, "tokens": 64}): ...

Part of `core.session`; imported in workers only.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bitnet_engine as engine
import bitnet_parity as parity
from bitnet_engine.errors import SettingError
from bitnet_engine.formats import QuantType
from bitnet_engine.loading import load_checkpoint
from bitnet_parity import faults
from bitnet_parity.diagnosis.captures import write_capture
from bitnet_parity.diagnosis.causes import Finding
from bitnet_parity.diagnosis.diagnosing import TEXT, open_steps
from bitnet_parity.diagnosis.file_repair import check_target, repair_steps
from bitnet_tui.core import asking
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.sides import open_side
from bitnet_tui.core.steps import stage, tensor_event

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


def capture(request: Request) -> Iterator[Event]:
    """Write every result of a model on a text, and prove that its logits are the same bits. Raises BitnetError."""
    yield (begun := asking.start(request))
    if (side := parity.parse_side(request["path"])).kind != "model":
        yield from _capture_peer(request, side, begun["id"])
        return
    loaded: list[Any] = []
    with asking.opened(request) as checkpoint:
        yield from stage("load model", lambda: load_checkpoint(checkpoint, asking.numerics(request)), loaded)
        sha256 = checkpoint.sha256()
    model = loaded[0]
    text = TEXT if request.get("text") is None else request["text"]
    tokens = model.tokenizer.encode(text)[: min(request["tokens"], model.config.max_positions)]
    stamp = engine.stamp(id=begun["id"], numerics=model.numerics.value)
    last: list[np.ndarray] = []

    def kept() -> Iterator[engine.Captured]:
        for part in engine.capture(model, tokens):
            last[:] = [part.values[name] for name in part.values if name == "result_output"]
            yield part

    facts = {"model": {"path": request["path"], "sha256": sha256, "numerics": model.numerics.value}, "stamp": stamp}
    count = write_capture(Path(request["folder"]), tokens, kept(), facts)
    same = bool(np.array_equal(last[0], model.logits(tokens)))
    report = {"schema": "bitnet-tui/captured", "schema_version": 1, **facts, "folder": request["folder"]}
    yield {"event": "report", "report": {**report, "tokens": tokens, "parts": count, "same_bits": same}}


def _capture_peer(request: Request, side: parity.Side, id: str) -> Iterator[Event]:
    """Write what llama.cpp computes on the way; what it gives unwatched is its own affair, and not compared."""
    from bitnet_parity.diagnosis.llama_capture import LlamaCapture
    from bitnet_parity.peers import LlamaCpp

    if side.kind != "llama":
        raise SettingError(f"{side}: results on the way are captured of a model of ours and of llama:FILE.")
    loaded: list[Any] = []
    yield from stage("load model", lambda: loaded.append(open_side(side, None, "", request["tokens"], request)), [])
    opened = loaded[0]
    peer = opened.source
    assert isinstance(peer, LlamaCpp)
    tokens = peer.tokenizer.encode(request.get("text") or TEXT)[: request["tokens"]]
    source = LlamaCapture(peer, tokens)
    model = {name: opened.description[name] for name in ("path", "sha256", "numerics")}
    facts = {"model": model, "stamp": engine.stamp(id=id, numerics=peer.numerics)}
    count = write_capture(Path(request["folder"]), tokens, source.parts(), facts)
    report = {"schema": "bitnet-tui/captured", "schema_version": 1, **facts, "folder": request["folder"]}
    yield {"event": "report", "report": {**report, "tokens": tokens, "parts": count, "same_bits": None}}


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
