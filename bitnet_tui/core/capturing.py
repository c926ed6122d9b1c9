"""The kind of request that keeps what is computed on the way: of a model of ours, of llama.cpp, of transformers.

    for event in capture({"path": "hf:model", "folder": "out", "tokens": 32}): ...

Part of `core.session`; imported in workers only. Diagnoses nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bitnet_engine as engine
import bitnet_parity as parity
from bitnet_engine.errors import SettingError
from bitnet_engine.loading import load_checkpoint
from bitnet_parity.diagnosis.captures import writing_capture
from bitnet_parity.diagnosis.diagnosing import TEXT
from bitnet_tui.core import asking
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event
from bitnet_tui.core.sides import open_side
from bitnet_tui.core.steps import stage, tensor_event


@dataclass
class Watched:
    """Parts on their way into a file, and how many there are."""

    parts: Iterator[engine.Captured]
    count: int
    unwatched: parity.LogitSource | None
    """What gives the same logits when nobody looks; None where that is not promised."""
    logits: np.ndarray | None = None

    def __iter__(self) -> Iterator[engine.Captured]:
        """Yield the parts; the logits of the last are kept."""
        for part in self.parts:
            self.logits = part.values.get("result_output")
            yield part

    def same_bits(self, tokens: list[int]) -> bool | None:
        """Return whether looking changed no bit of the logits; None where nothing is promised."""
        if self.unwatched is None or self.logits is None:
            return None
        return bool(np.array_equal(self.logits, self.unwatched.logits(tokens)))


def capture(request: Request) -> Iterator[Event]:
    """Write every result of a model on a text, and prove that its logits are the same bits. Raises BitnetError."""
    yield (begun := asking.start(request))
    side = parity.parse_side(request["path"])
    if side.kind in ("hf", "llama"):
        yield from _of_peer(request, side, begun["id"])
    elif side.kind == "model":
        yield from _of_model(request, begun["id"])
    else:
        raise SettingError(f"{side}: results on the way are captured of a model of ours, of hf:DIR and of llama:FILE.")


def _of_model(request: Request, id: str) -> Iterator[Event]:
    loaded: list[Any] = []
    with asking.opened(request) as checkpoint:
        yield from stage("load model", lambda: load_checkpoint(checkpoint, asking.numerics(request)), loaded)
        sha256 = checkpoint.sha256()
    model = loaded[0]
    tokens = _tokens(request, model.tokenizer)[: model.config.max_positions]
    watched = Watched(engine.capture(model, tokens), model.config.layers + 2, model)
    described = {"path": request["path"], "sha256": sha256, "numerics": model.numerics.value}
    yield from _write(request, tokens, watched, described, id)


def _of_peer(request: Request, side: parity.Side, id: str) -> Iterator[Event]:
    loaded: list[Any] = []
    yield from stage("load model", lambda: loaded.append(open_side(side, None, "", request["tokens"], request)), [])
    opened = loaded[0]
    tokens = _tokens(request, opened.tokenizer)
    described = {name: opened.description[name] for name in ("path", "sha256", "numerics")}
    yield from _write(request, tokens, _watch(opened.source, tokens), described, id)


def _watch(peer: parity.LogitSource, tokens: list[int]) -> Watched:
    """Return what a peer computes. llama.cpp's logits unwatched are its own affair: it then fuses operations."""
    from bitnet_parity.diagnosis.hf_capture import HfCapture
    from bitnet_parity.diagnosis.llama_capture import LlamaCapture
    from bitnet_parity.peers import LlamaCpp, Transformers

    if isinstance(peer, Transformers):
        modules = HfCapture(peer, tokens)
        return Watched(modules.parts(), modules.count, peer)
    assert isinstance(peer, LlamaCpp)
    nodes = LlamaCapture(peer, tokens)
    return Watched(nodes.parts(), nodes.count, None)


def _tokens(request: Request, tokenizer: parity.TokenizerSource) -> list[int]:
    text = request.get("text")
    if tokens := tokenizer.encode(TEXT if text is None else text)[: request["tokens"]]:
        return tokens
    raise SettingError("there are no tokens to run; give a --text that has some.")


def _write(request: Request, tokens: list[int], watched: Watched, model: dict[str, Any], id: str) -> Iterator[Event]:
    facts = {"model": model, "stamp": engine.stamp(id=id, numerics=model["numerics"])}
    written = writing_capture(Path(request["folder"]), tokens, watched, facts)
    for number, name in enumerate(written, start=1):
        yield tensor_event("capture", name, number, watched.count)
    report = {"schema": "bitnet-tui/captured", "schema_version": 1, **facts, "folder": request["folder"]}
    report |= {"tokens": tokens, "parts": watched.count, "same_bits": watched.same_bits(tokens)}
    yield {"event": "report", "report": report}
