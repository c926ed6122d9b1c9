"""The kinds of request that make evidence: a recording, a failure measured again, a proof of determinism.

    for event in replay({"path": "parity_failures.jsonl", "row": 3}): ...

Part of `core.session`; imported in workers only.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import bitnet_engine as engine
import bitnet_parity as parity
from bitnet_engine.errors import FormatError, SettingError
from bitnet_parity import recording
from bitnet_parity import replay as replaying
from bitnet_parity.verify import Proof, verify_steps
from bitnet_tui.core import asking, placing, sides
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event
from bitnet_tui.core.steps import stage, tensor_event


def record(request: Request) -> Iterator[Event]:
    """Record the logits of a side on a corpus. Raises BitnetError."""
    yield (begun := asking.start(request))
    side, corpus = parity.parse_side(request["path"]), parity.load_corpus(asking.corpus_path(request))
    loaded: list[sides.Opened] = []
    with sides.open_checkpoints([side], asking.reading(request), {}) as (file,):
        context = sides.window(request.get("context"), [sides.read_header(side, file)])
        opening = partial(sides.open_side, side, file, asking.numerics(request), context, request)
        yield from stage("load model", opening, loaded)
    opened = loaded[0]
    if opened.tokenizer is None:
        raise SettingError(f"{side}: has no tokenizer and is a recording already; name a model.")
    yield from stage("compile", partial(sides.compile_scoring, [opened.source], context), [])
    settings = {"context": context, "max_tokens": request.get("max_tokens")}
    text = {"name": corpus.name, "sha256": corpus.sha256, "documents": len(corpus.names)}
    facts = {"stamp": {**sides.stamp(opened), "id": begun["id"]}, "model": opened.description}
    facts |= {"settings": settings, "corpus": text}
    yield from placing.narration([opened.source])
    windows, folder = 0, Path(request["folder"])
    source, *replicas = opened.answering(request.get("data_parallel", 1))
    items = recording.record(source, opened.tokenizer, corpus, folder, facts=facts, replicas=replicas, **settings)
    for item in items:
        if isinstance(item, recording.RecordedWindow):
            windows = item.count
            yield tensor_event("record", item.document, item.index, item.count)
        else:
            yield {"event": "plan", **item.to_json()}
    report = {"schema": "bitnet-tui/recording", "schema_version": 1, **facts, "windows": windows}
    yield {"event": "report", "report": {**report, "folder": request["folder"]}}


def replay(request: Request) -> Iterator[Event]:
    """Measure one line of a file of failures again. Raises BitnetError."""
    yield (begun := asking.start(request))
    line = replaying.FailureLine.read(Path(request["path"]), request["row"])
    loaded: list[sides.Opened] = []
    for name in ("reference", "candidate"):
        described, context = line.fields[name], line.fields["settings"]["context"]
        side = parity.parse_side(described["path"])
        with sides.open_checkpoints([side], _reading(line.where, described), {}) as (file,):
            opening = partial(sides.open_side, side, file, str(described.get("numerics")), context, request)
            yield from stage(f"load {name}", opening, loaded)
        _check_same(line.where, described, loaded[-1].description)
    tokenizer = next(side.tokenizer for side in loaded if side.tokenizer is not None)
    stamp, sources = sides.stamp(*loaded), {"reference": loaded[0].source, "candidate": loaded[1].source}
    again = replaying.replay(line, tokenizer=tokenizer, stamp=stamp, **sources)
    yield {"event": "report", "report": {**again.to_json(), "stamp": {**stamp, "id": begun["id"]}}}


def _reading(where: str, described: dict[str, Any]) -> dict[str, Any]:
    """Return how the run read the file, to be read so again."""
    found = described.get("reading") or {}
    try:
        layout, config = found.get("i2s_layout"), found.get("kernel_config")
        return {
            "i2s_layout": None if layout is None else engine.I2SLayout(layout),
            "kernel_config": None if config is None else Path(config),
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise FormatError(f"{where}: its reading is damaged ({error}); make the failures again with parity") from error


def _check_same(where: str, described: dict[str, Any], found: dict[str, Any]) -> None:
    kernels = [side.get("reading", {}).get("kernel_config_sha256") for side in (described, found)]
    if found["sha256"] != described.get("sha256") or kernels[0] != kernels[1]:
        raise FormatError(f"{found['path']}: is not the file that {where} was made with: its sha256 is another.")


def verify(request: Request) -> Iterator[Event]:
    """Ask fresh processes for a model's answer. Raises BitnetError."""
    yield (begun := asking.start(request))
    path, tokens, reading = request["path"], request["tokens"], asking.reading(request)
    side = parity.Side("model", path)
    with sides.open_checkpoints([side], reading, {}) as (file,):
        most = sides.read_header(side, file).max_positions
    if most is not None and tokens > most:
        raise SettingError(f"--tokens {tokens} is out of range; the model has {most} positions.")
    for step in verify_steps(path, asking.numerics(request), runs=request["runs"], tokens=tokens, **reading):
        if isinstance(step, Proof):
            stamp = engine.stamp(id=begun["id"], numerics=step.numerics)
            yield {"event": "report", "report": {**step.to_json(), "stamp": stamp}}
        else:
            yield tensor_event("verify", *step)
