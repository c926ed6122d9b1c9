"""The only door from the program to the engine and to parity: requests in, events out.

    summary = inspect("model.gguf")                  # at once, headers only
    for event in run({"kind": "parity", "reference": a, "candidate": b}):
        ...                                          # long: call it in a worker

Engine and parity are imported inside the functions, so that a process which only shows things never starts jax.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet_engine.environment import environment
from bitnet_engine.errors import BitnetError, CorpusError, FormatError, SettingError, StorageError
from bitnet_engine.files import atomic_file, write_atomic
from bitnet_engine.numerics import NAMES as NUMERICS
from bitnet_tui.core.events import SCHEMA, SCHEMA_VERSION, Event
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.store import new_id

if TYPE_CHECKING:
    from bitnet_engine.config import Config
    from bitnet_engine.model import Model

__all__ = [
    "NUMERICS",
    "BitnetError",
    "CorpusError",
    "FormatError",
    "SettingError",
    "StorageError",
    "atomic_file",
    "environment",
    "inspect",
    "run",
    "tokenize",
    "write_atomic",
]

Request = dict[str, Any]


def inspect(path: str, *, scan: bool = False) -> dict[str, Any]:
    """Return what the header of the model at `path` says, as JSON-ready values; with `scan` what its weights show too.

    Raises:
        BitnetError: the model cannot be read.
    """
    import bitnet_engine as engine

    summary = {"schema": "bitnet-tui/info", "schema_version": 1, **engine.inspect(path).to_json()}
    if scan:
        with engine.open_checkpoint(path) as checkpoint:
            summary["findings"] += [asdict(finding) for finding in engine.scan_findings(checkpoint)]
    return {**summary, "scanned": scan, "stamp": engine.stamp()}


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
    | diff | reference, candidate |
    | convert | path, target, type, allow_lossy |
    """
    kinds: dict[str, Callable[[Request], Iterator[Event]]] = {
        "parity": _parity,
        "eval": _eval,
        "generate": _generate,
        "stats": _stats,
        "diff": _diff,
        "convert": _convert,
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
    sides = [request["reference"], request["candidate"]]
    # Both headers before any weight: what the second file is refused for must not wait for the first to load.
    configs = [_config(path) for path in sides]
    context = _context(request, *configs)
    for difference in _differences(*configs):
        yield {"event": "warn", "message": f"the files differ: {difference}"}
    loaded: list[Any] = []
    numerics = [_numerics(request), request.get("candidate_numerics") or _numerics(request)]
    yield from _stage("load reference", lambda: _load(sides[0], numerics[0]), loaded)
    yield from _stage("load candidate", lambda: _load(sides[1], numerics[1]), loaded)
    (reference, reference_description), (candidate, candidate_description) = loaded
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
        reference_description=reference_description,
        candidate_description=candidate_description,
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
    context = _context(request, _config(request["path"]))
    loaded: list[Any] = []
    yield from _stage("load model", lambda: _load(request["path"], _numerics(request)), loaded)
    model, description = loaded[0]
    stamp = engine.stamp(id=start["id"], numerics=model.numerics.value)
    stream = parity.evaluate(
        model,
        model.tokenizer,
        corpus,
        context=context,
        max_tokens=request.get("max_tokens"),
    )
    for item in stream:
        if isinstance(item, parity.Evaluation):
            yield {"event": "report", "report": {**item.to_json(), "model": description, "stamp": stamp}}
        else:
            yield {"event": "plan" if isinstance(item, parity.Plan) else "document", **item.to_json()}


def _generate(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine

    yield (start := _start(request))
    loaded: list[Any] = []
    yield from _stage("load model", lambda: _load(request["path"], _numerics(request)), loaded)
    model, description = loaded[0]
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
            "model": description,
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


def _diff(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    from bitnet_engine.diffing import ModelDiff, diff_steps

    yield (start := _start(request))
    for step in diff_steps(request["reference"], request["candidate"]):
        if isinstance(step, ModelDiff):
            yield {"event": "report", "report": {**step.to_json(), "stamp": engine.stamp(id=start["id"])}}
        else:
            yield _tensor_event("compare", *step)


def _convert(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    from bitnet_engine.conversion import Conversion, convert_steps

    kind = engine.QuantType(request["type"])
    yield (start := _start(request))
    for step in convert_steps(request["path"], request["target"], kind, allow_lossy=request["allow_lossy"]):
        if isinstance(step, Conversion):
            yield {"event": "report", "report": {**step.to_json(), "stamp": engine.stamp(id=start["id"])}}
        else:
            yield _tensor_event(*step)


def _tensor_event(work: str, name: str, index: int, count: int) -> Event:
    return {"event": "tensor", "work": work, "name": name, "index": index, "count": count}


def _config(path: str) -> "Config":
    from bitnet_engine.config import Config
    from bitnet_engine.formats import open_checkpoint

    with open_checkpoint(path) as checkpoint:
        return Config.from_checkpoint(checkpoint)


def _differences(reference: "Config", candidate: "Config") -> list[str]:
    """Name the hyperparameters in which two configs differ: `activation is relu2 and silu`."""
    sides = zip(asdict(reference).items(), asdict(candidate).values(), strict=True)
    return [f"{name} is {first} and {second}" for (name, first), second in sides if first != second]


def _numerics(request: Request) -> str:
    return request.get("numerics") or NUMERICS[0]


def _together(reference: str, candidate: str) -> str:
    return str(reference) if reference == candidate else f"{reference} against {candidate}"


def _load(path: str, numerics: str) -> "tuple[Model, dict[str, Any]]":
    """Load a model; return it with what a report says of it."""
    import bitnet_engine as engine
    from bitnet_engine.loading import load_checkpoint

    with engine.open_checkpoint(path) as checkpoint:
        model, sha256 = load_checkpoint(checkpoint, numerics), checkpoint.sha256()
    if model.tokenizer.vocab_size > model.config.vocab:
        raise FormatError(
            f"{path}: the tokenizer has {model.tokenizer.vocab_size} ids and the embedding {model.config.vocab} rows. "
            f"They are not of one model: copy the tokenizer that it came with."
        )
    return model, {
        "path": path.encode("utf-8", "backslashreplace").decode(),
        "sha256": sha256,
        "config": asdict(model.config),
        "numerics": model.numerics.value,
        "tokenizer": {"fingerprint": model.tokenizer.fingerprint(), "sha256": model.tokenizer.digest()},
    }


def _corpus_path(request: Request) -> Path:
    return resource_dir("eval") if request.get("corpus") is None else Path(request["corpus"])


def _context(request: Request, *configs: "Config") -> int:
    """Tokens a window: what was asked for, else 512, never more positions than a model has."""
    most = min(config.max_positions for config in configs)
    asked = request.get("context")
    if asked is not None and not 2 <= asked <= most:
        raise SettingError(f"--context {asked} is out of range; 2 to {most} positions are allowed for this model.")
    return asked or min(512, most)
