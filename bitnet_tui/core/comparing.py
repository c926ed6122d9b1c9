"""The kind of request that compares two sides: opened, measured on one text, judged.

    for event in compare({"reference": "packed", "candidate": "model.gguf", "profile": "quantized"}): ...

Part of `core.session`; imported in workers only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import bitnet_parity as parity
from bitnet_engine.config import Config
from bitnet_engine.errors import SettingError
from bitnet_engine.formats import Checkpoint
from bitnet_parity.comparison import FLOOR_DOCUMENTS, Item
from bitnet_parity.failures import identity
from bitnet_parity.journal import Journal
from bitnet_tui.core import asking, placing, sides
from bitnet_tui.core.asking import JOURNAL, Request
from bitnet_tui.core.events import Event
from bitnet_tui.core.readings import needs_a_word, reading_text
from bitnet_tui.core.steps import stage, stage_of, tensor_event

EVENTS = {"Stage": "stage", "Plan": "plan", "TokenRow": "token", "DocumentRow": "document"}
"""What `parity.stream` yields, by class, as kinds of events."""


def compare(request: Request) -> Iterator[Event]:
    """Compare a candidate with a reference and judge what is found. Raises BitnetError."""
    gates = parity.Gates.named(request["profile"])
    named = [parity.parse_side(request[side]) for side in ("reference", "candidate")]
    corpus = _given_corpus(request, named)
    # The limits and the text as they are, not their names: an edited file is another run.
    contents = {"profile": asdict(gates), "corpus": None if corpus is None else corpus.sha256}
    yield (begun := asking.start(request, contents))
    loaded: list[sides.Opened] = []
    weights: list[parity.WeightsParity] = []
    with sides.open_checkpoints(named, asking.reading(request), asking.reading(request, "candidate_")) as files:
        # Both headers before any weight: what the second file is refused for must not wait for the first to load.
        headers = [sides.read_header(side, file) for side, file in zip(named, files, strict=True)]
        context = sides.window(request.get("context"), headers)
        yield from _warnings(files, [header.config for header in headers])
        yield from _compare_weights(files, weights, gates)
        numerics = [asking.numerics(request), request.get("candidate_numerics") or asking.numerics(request)]
        for i, name in enumerate(("reference", "candidate")):
            opening = partial(sides.open_side, named[i], files[i], numerics[i], context, request)
            yield from stage(f"load {name}", opening, loaded)
    if any(side.kind == "model" for side in named):
        yield from asking.kernel_warning()
        yield from placing.narration([side.source for side in loaded])
        yield from stage("compile", partial(sides.compile_scoring, [side.source for side in loaded], context), [])
    inputs = _inputs(loaded, corpus, request) | {"weights": weights[0] if weights else None}
    stamp, settings = sides.stamp(*loaded), _settings(request, context)
    variants = _variants(loaded[0].source, settings["seed"])
    with _open_journal(request, settings, {"stamp": stamp, **inputs}) as journal:
        stamp = {**stamp, "id": begun["id"]}
        stream = parity.stream(**inputs, **settings, gates=gates, variants=variants, stamp=stamp, journal=journal)
        yield from _events(stream, gates, request.get("export"))


def _compare_weights(
    files: Sequence[Checkpoint | None], into: list[parity.WeightsParity], gates: parity.Gates
) -> Iterator[Event]:
    """Compare what two files store, into `into`; nothing where a side is no file of weights."""
    first, second = files
    if first is None or second is None:
        return
    yield from stage_of("compare weights", _weights_events(first, second, into))
    # Known before any token is scored, as the first gate is.
    yield from ({"event": "gate", **gate.to_json()} for gate in parity.judge_weights(into[0], gates))


def _weights_events(first: Checkpoint, second: Checkpoint, into: list[parity.WeightsParity]) -> Iterator[Event]:
    for step in parity.weights_steps(first, second):
        if isinstance(step, parity.WeightsParity):
            into.append(step)
        else:
            yield tensor_event("compare", *step)


def _settings(request: Request, context: int) -> dict[str, Any]:
    floor = request.get("floor_documents")
    return {
        "context": context,
        "max_tokens": request.get("max_tokens"),
        "exact": request.get("exact", False),
        "seed": request.get("seed", 0),
        "floor_documents": FLOOR_DOCUMENTS if floor is None else floor,
    }


def _inputs(loaded: Sequence[sides.Opened], corpus: parity.Corpus | None, request: Request) -> dict[str, Any]:
    """Return the sides as `parity.stream` takes them. A side without a tokenizer goes by the other's."""
    reference, candidate = loaded
    tokenizers = [side.tokenizer for side in loaded if side.tokenizer is not None]
    if not tokenizers:
        raise SettingError("Both sides are kld: files, which hold no tokenizer; put a model or a recording on one.")
    count = request.get("data_parallel", 1)
    (first, second), *replicas = zip(reference.answering(count), candidate.answering(count), strict=True)
    brought = [text for side in loaded if (text := side.corpus(tokenizers[0].bos)) is not None]
    return {
        "reference": first,
        "candidate": second,
        "replicas": replicas,
        "reference_tokenizer": reference.tokenizer or tokenizers[0],
        "candidate_tokenizer": candidate.tokenizer or tokenizers[0],
        "corpus": brought[0] if brought else corpus,
        "reference_description": reference.description,
        "candidate_description": candidate.description,
    }


def _given_corpus(request: Request, named: Sequence[parity.Side]) -> parity.Corpus | None:
    """Load the text that was asked for, else the shipped one; None where a side brings its own."""
    if not any(side.kind == "kld" for side in named):
        return parity.load_corpus(asking.corpus_path(request))
    if request.get("corpus") is not None:
        raise SettingError("A kld: file brings the text it was made from; leave --corpus out.")
    return None


@contextmanager
def _open_journal(request: Request, settings: dict[str, Any], known: dict[str, Any]) -> Iterator[Journal | None]:
    """Yield the journal of an export, and none for a run that writes nothing."""
    if not request.get("export"):
        yield None
        return
    descriptions = known["reference_description"], known["candidate_description"]
    head = identity(known["stamp"], *descriptions, settings, known["corpus"].sha256)
    with Journal.open(Path(request["export"]) / JOURNAL, head, resume=request.get("resume", False)) as journal:
        yield journal


def _events(stream: Iterator[Item], gates: parity.Gates, export: str | None) -> Iterator[Event]:
    """Yield a comparison's results as events; export its report first, where there is a folder for it."""
    for item in stream:
        if isinstance(item, parity.Report):
            if export:
                item.export(Path(export))
            yield from ({"event": "gate", **gate.to_json()} for gate in item.judgement.gates)
            yield {"event": "report", "report": item.to_json()}
        elif isinstance(item, parity.TokenizerParity):
            # The first gate is known before any token is scored: no need to wait for the others.
            early = parity.judge_tokenizer(item.strings, item.equal, gates)
            yield {"event": "gate", **early.to_json()}
        else:
            yield {"event": EVENTS[type(item).__name__], **item.to_json()}


def _variants(reference: parity.LogitSource, seed: int) -> dict[str, Any]:
    """Return the reference with what must not matter changed, for the noise floor; none of what is no model of ours."""
    from bitnet_engine.model import Model
    from bitnet_engine.variants import HalfUlp, OtherShape

    if not isinstance(reference, Model):
        return {}
    return {"half_ulp_input": HalfUlp(reference, seed), "other_shape": OtherShape(reference)}


def _warnings(files: Sequence[Checkpoint | None], configs: Sequence[Config | None]) -> Iterator[Event]:
    """Yield what a person should know of two files before their numbers."""
    for name, checkpoint in zip(("reference", "candidate"), files, strict=True):
        if checkpoint is not None and needs_a_word(reading := checkpoint.reading.to_json()):
            yield {"event": "warn", "message": f"the {name} is read as {reading_text(reading)}"}
    for difference in _differences(*configs):
        yield {"event": "warn", "message": f"the files differ: {difference}"}


def _differences(reference: Config | None, candidate: Config | None) -> list[str]:
    """Name the hyperparameters in which two configs differ: `activation is relu2 and silu`."""
    if reference is None or candidate is None:
        return []
    pairs = zip(asdict(reference).items(), asdict(candidate).values(), strict=True)
    return [f"{name} is {first} and {second}" for (name, first), second in pairs if first != second]
