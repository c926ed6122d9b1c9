"""The kinds of request that make evidence: a recording, a failure measured again, a proof of determinism.

    for event in replay({"path": "parity_failures.jsonl", "row": 3}, id): ...

Part of `core.session`, which begins their streams; imported in workers only.
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
from bitnet_tui.core import sides
from bitnet_tui.core.events import Event
from bitnet_tui.core.steps import stage, tensor_event


def record(corpus_path: Path, request: dict[str, Any], id: str) -> Iterator[Event]:
    """Record the logits of a side on a corpus. Raises BitnetError."""
    side, corpus = parity.parse_side(request["path"]), parity.load_corpus(corpus_path)
    context = sides.window(request.get("context"), [sides.read_header(side)])
    loaded: list[sides.Opened] = []
    yield from stage("load model", lambda: sides.open_side(side, request["numerics"], context), loaded)
    opened = loaded[0]
    if opened.tokenizer is None:
        raise SettingError(f"{side}: has no tokenizer and is a recording already; name a model.")
    settings = {"context": context, "max_tokens": request.get("max_tokens")}
    text = {"name": corpus.name, "sha256": corpus.sha256, "documents": len(corpus.names)}
    facts = {"stamp": {**sides.stamp(opened), "id": id}, "model": opened.description}
    facts |= {"settings": settings, "corpus": text}
    windows, folder = 0, Path(request["folder"])
    for item in recording.record(opened.source, opened.tokenizer, corpus, folder, facts=facts, **settings):
        if isinstance(item, recording.RecordedWindow):
            windows = item.count
            yield tensor_event("record", item.document, item.index, item.count)
        else:
            yield {"event": "plan", **item.to_json()}
    report = {"schema": "bitnet-tui/recording", "schema_version": 1, **facts, "windows": windows}
    yield {"event": "report", "report": {**report, "folder": request["folder"]}}


def replay(request: dict[str, Any], id: str) -> Iterator[Event]:
    """Measure one line of a file of failures again. Raises BitnetError."""
    line = replaying.FailureLine.read(Path(request["path"]), request["row"])
    loaded: list[sides.Opened] = []
    for name in ("reference", "candidate"):
        described, context = line.fields[name], line.fields["settings"]["context"]
        side = parity.parse_side(described["path"])
        opening = partial(sides.open_side, side, str(described.get("numerics")), context)
        yield from stage(f"load {name}", opening, loaded)
        if loaded[-1].description["sha256"] != described.get("sha256"):
            raise FormatError(f"{side}: is not the file that {line.where} was made with: its sha256 is another.")
    tokenizer = next(side.tokenizer for side in loaded if side.tokenizer is not None)
    stamp, sources = sides.stamp(*loaded), {"reference": loaded[0].source, "candidate": loaded[1].source}
    again = replaying.replay(line, tokenizer=tokenizer, stamp=stamp, **sources)
    yield {"event": "report", "report": {**again.to_json(), "stamp": {**stamp, "id": id}}}


def verify(request: dict[str, Any], id: str) -> Iterator[Event]:
    """Ask fresh processes for a model's answer. Raises BitnetError."""
    path, tokens = request["path"], request["tokens"]
    most = sides.read_header(parity.Side("model", path)).max_positions
    if most is not None and tokens > most:
        raise SettingError(f"--tokens {tokens} is out of range; the model has {most} positions.")
    for step in verify_steps(path, request["numerics"], runs=request["runs"], tokens=tokens):
        if isinstance(step, Proof):
            stamp = engine.stamp(id=id, numerics=step.numerics)
            yield {"event": "report", "report": {**step.to_json(), "stamp": stamp}}
        else:
            yield tensor_event("verify", *step)
