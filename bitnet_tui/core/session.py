"""The only door from the program to the engine and to parity: requests in, events out.

    summary = inspect("model.gguf")                  # at once, headers only
    for event in run({"kind": "parity", "reference": a, "candidate": b}):
        ...                                          # long: call it in a worker

Engine and parity are imported inside the functions, so that a process which only shows things never starts jax.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet_engine.errors import BitnetError, CorpusError, FormatError, SettingError, StorageError
from bitnet_engine.files import atomic_file, write_atomic
from bitnet_engine.numerics import NAMES as NUMERICS
from bitnet_tui.core.events import SCHEMA, SCHEMA_VERSION, Event
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.store import new_id

if TYPE_CHECKING:
    from bitnet_engine.model import Model

__all__ = [
    "NUMERICS",
    "BitnetError",
    "CorpusError",
    "FormatError",
    "SettingError",
    "StorageError",
    "atomic_file",
    "inspect",
    "run",
    "tokenize",
    "write_atomic",
]

Request = dict[str, Any]


def inspect(path: str) -> dict[str, Any]:
    """Return what the header of the model at `path` says, as JSON-ready values. Raises BitnetError."""
    import bitnet_engine as engine

    return engine.inspect(path).to_json()


def tokenize(path: str, text: str, *, bos: bool) -> dict[str, Any]:
    """Return ids and pieces of `text` under the tokenizer of the model at `path`. Raises BitnetError."""
    import bitnet_engine as engine

    with engine.open_checkpoint(path) as checkpoint:
        tokenizer = engine.load_tokenizer(checkpoint)
    ids = tokenizer.encode(text, bos=bos)
    return {
        "schema": "bitnet-tui/tokens",
        "schema_version": 1,
        "path": path,
        "fingerprint": tokenizer.fingerprint(),
        "tokens": ids,
        "pieces": [tokenizer.piece(token) for token in ids],
        "stamp": engine.stamp(),
    }


def run(request: Request) -> Iterator[Event]:
    """Run `request` and yield its events, all but `run.end` and `error`, which are the worker's.

    | kind | fields (None where optional) |
    |---|---|
    | all but stats | numerics=NUMERICS[0]; parity also candidate_numerics=numerics |
    | parity | reference, candidate, corpus=None, profile, context=None, max_tokens=None, export=None |
    | eval | path, corpus=None, context=None, max_tokens=None |
    | generate | path, prompt, max_new, temperature, top_k, top_p, seed |
    | stats | path |
    """
    kinds: dict[str, Callable[[Request], Iterator[Event]]] = {
        "parity": _parity,
        "eval": _eval,
        "generate": _generate,
        "stats": _stats,
    }
    yield from kinds[request["kind"]](request)


def _start(request: Request) -> Event:
    import bitnet_engine as engine

    shown = ("kind", "reference", "candidate", "profile", "path")
    return {
        "event": "run.start",
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "id": new_id(),
        "request": request,
        "stamp": engine.stamp(),
        **{name: request[name] for name in shown if name in request},
    }


@contextmanager
def _timed(done: Event) -> Iterator[Event]:
    """Fill in `done["seconds"]` with the time the block took."""
    begun = time.monotonic()
    yield done
    done["seconds"] = time.monotonic() - begun


def _stage(name: str, work: Callable[[], Any], into: list[Any]) -> Iterator[Event]:
    """Run `work` as a stage, appending its result to `into`."""
    yield {"event": "stage", "name": name, "status": "start", "seconds": None}
    with _timed({"event": "stage", "name": name, "status": "done"}) as done:
        into.append(work())
    yield done


def _parity(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    import bitnet_parity as parity

    gates = parity.Gates.profile(request["profile"])
    corpus = parity.load_corpus(_corpus_path(request))
    yield (start := _start(request))
    loaded: list[Any] = []
    yield from _stage("load reference", lambda: _load(request["reference"], _numerics(request)), loaded)
    yield from _stage(
        "load candidate",
        lambda: _load(request["candidate"], request.get("candidate_numerics") or _numerics(request)),
        loaded,
    )
    (reference, reference_sha256), (candidate, candidate_sha256) = loaded
    context = _context(request, reference, candidate)
    stream = parity.stream(
        reference=reference,
        candidate=candidate,
        reference_tokenizer=reference.tokenizer,
        candidate_tokenizer=candidate.tokenizer,
        corpus=corpus,
        gates=gates,
        context=context,
        max_tokens=request.get("max_tokens"),
        stamp=engine.stamp(id=start["id"], numerics=_together(reference.numerics, candidate.numerics)),
        reference_description=_described(request["reference"], reference_sha256, reference),
        candidate_description=_described(request["candidate"], candidate_sha256, candidate),
    )
    for item in stream:
        if isinstance(item, parity.Report):
            if request.get("export"):
                item.export(Path(request["export"]))
            yield from ({"event": "gate", **gate.to_json()} for gate in item.judgement.gates)
            yield {"event": "report", "report": item.to_json()}
        elif isinstance(item, parity.TokenizerParity):
            # The first gate is known before any token is scored: no need to wait for the others.
            early = parity.judge_tokenizer(item.strings, item.equal, gates)
            yield {"event": "gate", **early.to_json()}
        else:
            yield {"event": _EVENTS[type(item).__name__], **item.to_json()}


_EVENTS = {"Stage": "stage", "Plan": "plan", "TokenRow": "token", "DocumentRow": "document"}


def _eval(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    import bitnet_parity as parity

    corpus = parity.load_corpus(_corpus_path(request))
    yield (start := _start(request))
    loaded: list[Any] = []
    yield from _stage("load model", lambda: _load(request["path"], _numerics(request)), loaded)
    model, sha256 = loaded[0]
    stamp = engine.stamp(id=start["id"], numerics=model.numerics.value)
    stream = parity.evaluate(
        model,
        model.tokenizer,
        corpus,
        context=_context(request, model),
        max_tokens=request.get("max_tokens"),
    )
    for item in stream:
        if isinstance(item, parity.Evaluation):
            described = {"model": {"path": request["path"], "sha256": sha256}, "stamp": stamp}
            yield {"event": "report", "report": {**item.to_json(), **described}}
        else:
            yield {"event": "plan" if isinstance(item, parity.Plan) else "document", **item.to_json()}


def _generate(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine

    yield (start := _start(request))
    loaded: list[Any] = []
    yield from _stage("load model", lambda: _load(request["path"], _numerics(request)), loaded)
    model, sha256 = loaded[0]
    names = ("temperature", "top_k", "top_p", "seed")
    sampler = engine.Sampler(**{name: request[name] for name in names})
    prompt = model.tokenizer.encode(request["prompt"])
    begun, tokens, pieces = time.monotonic(), [], []
    made = engine.generate(model, prompt, request["max_new"], sampler)
    for piece in engine.stream_text(model.tokenizer, _kept(made, tokens)):
        pieces.append(piece)
        yield {"event": "text", "text": piece}
    yield {
        "event": "report",
        "report": {
            "schema": "bitnet-tui/generation",
            "schema_version": 1,
            "model": {"path": request["path"], "sha256": sha256},
            "settings": {name: request[name] for name in (*names, "max_new")},
            "prompt": request["prompt"],
            "prompt_tokens": prompt,
            "text": "".join(pieces),
            "tokens": tokens,
            "seconds": time.monotonic() - begun,
            "stamp": engine.stamp(id=start["id"], numerics=model.numerics.value),
        },
    }


def _kept(tokens: Iterator[int], into: list[int]) -> Iterator[int]:
    for token in tokens:
        into.append(token)
        yield token


def _stats(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine

    with engine.open_checkpoint(request["path"]) as checkpoint:
        yield _start(request)
        for tensor in sorted(checkpoint.tensors.values(), key=lambda tensor: -tensor.nbytes):
            stats = engine.tensor_stats(checkpoint, tensor.name).to_json()
            yield {"event": "stats", "tensor": stats.pop("name"), **stats}


def _numerics(request: Request) -> str:
    return request.get("numerics") or NUMERICS[0]


def _together(reference: str, candidate: str) -> str:
    return str(reference) if reference == candidate else f"{reference} against {candidate}"


def _described(path: str, sha256: str, model: "Model") -> dict[str, str]:
    return {"path": path, "sha256": sha256, "numerics": model.numerics.value}


def _load(path: str, numerics: str) -> "tuple[Model, str]":
    import bitnet_engine as engine
    from bitnet_engine.loading import load_checkpoint

    with engine.open_checkpoint(path) as checkpoint:
        return load_checkpoint(checkpoint, numerics), checkpoint.sha256()


def _corpus_path(request: Request) -> Path:
    return Path(request["corpus"]) if request.get("corpus") else resource_dir("eval")


def _context(request: Request, *models: "Model") -> int:
    """Tokens a window: what was asked for, else 512, never more positions than a model has."""
    most = min(model.config.max_positions for model in models)
    asked = request.get("context")
    if asked is not None and not 2 <= asked <= most:
        raise SettingError(f"--context {asked} is out of range; 2 to {most} positions are allowed for this model.")
    return asked or min(512, most)
