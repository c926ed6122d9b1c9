"""The only door from the program to the engine and to parity: requests in, events out.

    summary = inspect("model.gguf")                  # at once, headers only
    for event in run({"kind": "parity", "reference": a, "candidate": b}):
        ...                                          # long: call it in a worker

Engine and parity are imported inside the functions, so that a process which only shows things never starts jax.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet_engine.environment import environment
from bitnet_engine.errors import BitnetError, CorpusError, FormatError, SettingError, StorageError
from bitnet_engine.files import atomic_file, write_atomic
from bitnet_engine.folder_lock import locked_folder
from bitnet_engine.numerics import NAMES as NUMERICS
from bitnet_parity.exporting import SUFFIXES as REPORT_SUFFIXES
from bitnet_tui.core.events import SCHEMA, SCHEMA_VERSION, Event, dumps
from bitnet_tui.core.readings import LAYOUTS, needs_a_word, reading_text
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.steps import stage, tensor_event
from bitnet_tui.core.store import new_id

if TYPE_CHECKING:
    from bitnet_engine.config import Config
    from bitnet_engine.formats import Checkpoint

__all__ = [
    "JOURNAL",
    "NUMERICS",
    "REPORT_SUFFIXES",
    "BitnetError",
    "CorpusError",
    "FormatError",
    "SettingError",
    "StorageError",
    "atomic_file",
    "environment",
    "export_report",
    "finding_markdown",
    "inspect",
    "judge",
    "locked_folder",
    "run",
    "side_path",
    "tell_ci",
    "tokenize",
    "write_atomic",
]

Request = dict[str, Any]
REPORT = "report.json"
"""What a run's folder calls its report."""

NOT_ASKED = ("export", "resume", "report", "junit")
"""Fields of a request that say where results go, and change none of them."""

JOURNAL = ".parity.journal"
"""What an interrupted export leaves in its folder for `--resume`."""


def inspect(
    path: str, *, scan: bool = False, i2s_layout: str = LAYOUTS[0], kernel_config: str | None = None
) -> dict[str, Any]:
    """Return what the header of the model at `path` says, as JSON-ready values; with `scan` what its weights show too.

    Raises:
        BitnetError: the model cannot be read.
    """
    import bitnet_engine as engine

    reading = _reading({"i2s_layout": i2s_layout, "kernel_config": kernel_config})
    summary = {"schema": "bitnet-tui/info", "schema_version": 1, **engine.inspect(path, **reading).to_json()}
    if scan:
        with engine.open_checkpoint(path, **reading) as checkpoint:
            summary["findings"] += [asdict(finding) for finding in engine.scan_findings(checkpoint)]
    return {**summary, "scanned": scan, "stamp": engine.stamp()}


def tokenize(path: str, text: str, *, bos: bool) -> dict[str, Any]:
    """Return ids and pieces of `text` under the tokenizer of the model at `path`. Raises BitnetError."""
    import bitnet_engine as engine

    with engine.open_checkpoint(path) as checkpoint, _quiet_libraries():
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


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep stderr for us: of a bad file the libraries' own C++ and Rust print what the error then says too."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def judge(path: str, profile: str) -> dict[str, Any]:
    """Judge the stored report at `path` by a profile, named or a .toml file; JSON-ready.

    Raises:
        BitnetError: no report of this version there, or no such profile.
    """
    import bitnet_parity as parity

    gates = parity.Gates.named(profile)
    file = Path(path) / REPORT if Path(path).is_dir() else Path(path)
    report = parity.Report.load(file)
    return {
        "schema": "bitnet-tui/judgement",
        "schema_version": 1,
        "report": str(file).encode("utf-8", "backslashreplace").decode(),
        "judgement": report.judge(gates).to_json(),
        "stored": report.judgement.to_json(),
        "stamp": dict(report.stamp),
    }


def side_path(text: str) -> str:
    """Return the path that a side of a comparison names, without its kind. Raises SettingError for a kind alone."""
    from bitnet_parity.sources import parse_side

    return parse_side(text).path


def export_report(report: dict[str, Any], path: Path) -> None:
    """Write a parity report's JSON as the suffix of `path` says. Raises SettingError, StorageError."""
    from bitnet_parity.exporting import export

    export(report, path)


def finding_markdown(finding: dict[str, Any]) -> bytes:
    """Return a diagnosis' JSON as a page."""
    from bitnet_parity.diagnosis.markdown import markdown

    return markdown(finding).encode()


def tell_ci(report: dict[str, Any], junit_file: Path | None) -> list[str]:
    """Write a parity report's gates as JUnit XML, tell GitHub Actions where it runs us, return what to print there.

    Raises:
        StorageError: a file cannot be written.
    """
    from bitnet_parity.ci import junit, tell_github

    if junit_file is not None:
        write_atomic(junit_file, junit(report))
    return tell_github(report, os.environ)


def run(request: Request) -> Iterator[Event]:
    """Run `request` and yield its events, all but `run.end` and `error`, which are the worker's.

    | kind | fields (None where optional) |
    |---|---|
    | all | i2s_layout="auto", kernel_config=None; parity, diff, diagnose also candidate_i2s_layout, candidate_… |
    | eval, generate, parity, record, verify, | numerics=NUMERICS[0]; parity also candidate_numerics=numerics |
    | diagnose, capture | |
    | parity | reference, candidate, corpus=None, profile, context=None, max_tokens=None, export=None, resume=False, |
    | | exact=False, seed=0, floor_documents=None |
    | record | path, folder, corpus=None, context=None, max_tokens=None |
    | replay | path, row |
    | verify | path, runs, tokens |
    | eval | path, corpus=None, context=None, max_tokens=None |
    | generate | path, prompt, max_new, temperature, top_k, top_p, seed |
    | diagnose | reference, candidate, text=None, tokens, export=None |
    | capture | path, folder, text=None, tokens |
    | demo | fault, seed, path=None, text=None, tokens |
    | stats, scan | path |
    | diff | reference, candidate |
    | convert | path, target, type, allow_lossy, force=False, scale=None, max_shard_size=None, byte_order=None |
    """
    kinds: dict[str, Callable[[Request], Iterator[Event]]] = {
        "parity": _parity,
        "eval": _eval,
        "generate": _generate,
        "stats": _stats,
        "scan": _scan,
        "diff": _diff,
        "convert": _convert,
        **dict.fromkeys(("record", "replay", "verify"), _proof),
        **dict.fromkeys(("diagnose", "capture", "demo"), _explanation),
    }
    yield from kinds[request["kind"]](request)


def _start(request: Request) -> Event:
    import bitnet_engine as engine

    shown = ("kind", "reference", "candidate", "profile", "path")
    stamp = engine.stamp()
    # Where an export goes, and whether it goes on, is not what was asked: the same run is the same bytes anywhere.
    asked = {name: value for name, value in request.items() if name not in NOT_ASKED}
    return {
        "event": "run.start",
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "id": _derived_id(asked, stamp) if request.get("export") else new_id(),
        "request": asked,
        "stamp": stamp,
        **{name: request[name] for name in shown if name in request},
    }


def _derived_id(asked: Request, stamp: dict[str, Any]) -> str:
    """Return the id of an exported run: one for each request and stamp, so that an export can be made again."""
    return "x" + hashlib.sha256(dumps([asked, stamp])).hexdigest()[:12]


def _kernel_warning() -> Iterator[Event]:
    """Say so where the native kernel should have multiplied and XLA does: nothing else would show why it is slow."""
    from bitnet_engine.kernels import backend

    if (chosen := backend()).missed:
        yield {"event": "warn", "message": f"trits are multiplied by {chosen.describe()}, the slower way"}


def _parity(request: Request) -> Iterator[Event]:
    import bitnet_parity as parity
    from bitnet_tui.core import comparing, sides

    gates = parity.Gates.named(request["profile"])
    named = [parity.parse_side(request[side]) for side in ("reference", "candidate")]
    corpus = comparing.given_corpus(request, named, resource_dir("eval"))
    yield (start := _start(request))
    loaded: list[sides.Opened] = []
    with sides.open_checkpoints(named, _reading(request), _reading(request, "candidate_")) as files:
        # Both headers before any weight: what the second file is refused for must not wait for the first to load.
        headers = [sides.read_header(side, file) for side, file in zip(named, files, strict=True)]
        context = sides.window(request.get("context"), headers)
        yield from _warnings(files, [header.config for header in headers])
        numerics = [_numerics(request), request.get("candidate_numerics") or _numerics(request)]
        for i, name in enumerate(("reference", "candidate")):
            opening = partial(sides.open_side, named[i], files[i], numerics[i], context)
            yield from stage(f"load {name}", opening, loaded)
    if any(side.kind == "model" for side in named):
        yield from _kernel_warning()
    inputs = comparing.inputs(loaded, corpus)
    stamp = sides.stamp(*loaded)
    settings = {
        "context": context,
        "max_tokens": request.get("max_tokens"),
        "exact": request.get("exact", False),
        "seed": request.get("seed", 0),
        "floor_documents": comparing.floor_documents(request),
    }
    variants = comparing.variants(loaded[0].source, settings["seed"])
    with comparing.open_journal(JOURNAL, request, settings, {"stamp": stamp, **inputs}) as journal:
        stamp = {**stamp, "id": start["id"]}
        stream = parity.stream(**inputs, **settings, gates=gates, variants=variants, stamp=stamp, journal=journal)
        yield from comparing.parity_events(stream, gates, request.get("export"))


def _eval(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    import bitnet_parity as parity
    from bitnet_tui.core import sides

    corpus = parity.load_corpus(_corpus_path(request))
    yield (start := _start(request))
    loaded: list[Any] = []
    with _open(request) as checkpoint:
        context = sides.window(request.get("context"), [sides.read_header(parity.Side("model", ""), checkpoint)])
        yield from stage("load model", lambda: sides.load_model(checkpoint, _numerics(request)), loaded)
    yield from _kernel_warning()
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
    from bitnet_tui.core import sides

    yield (start := _start(request))
    loaded: list[Any] = []
    with _open(request) as checkpoint:
        yield from stage("load model", lambda: sides.load_model(checkpoint, _numerics(request)), loaded)
    yield from _kernel_warning()
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

    with _open(request) as checkpoint:
        yield _start(request)
        for tensor in sorted(checkpoint.tensors.values(), key=lambda tensor: -tensor.nbytes):
            stats = engine.tensor_stats(checkpoint, tensor.name).to_json()
            yield {"event": "stats", "tensor": stats.pop("name"), **stats}


def _scan(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    from bitnet_engine.scanning import scan_steps

    with _open(request) as checkpoint:
        yield (start := _start(request))
        for step in scan_steps(checkpoint):
            if isinstance(step, list):
                found = {"findings": [asdict(finding) for finding in step], "reading": checkpoint.reading.to_json()}
                report = {"schema": "bitnet-tui/scan", "schema_version": 1, "path": start["path"], **found}
                yield {"event": "report", "report": {**report, "stamp": engine.stamp(id=start["id"])}}
            else:
                yield tensor_event("scan", *step)


def _diff(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    from bitnet_engine.diffing import ModelDiff, diff_steps

    yield (start := _start(request))
    with _open_pair(request) as files:
        for step in diff_steps(*files):
            if isinstance(step, ModelDiff):
                yield {"event": "report", "report": {**step.to_json(), "stamp": engine.stamp(id=start["id"])}}
            else:
                yield tensor_event("compare", *step)


def _convert(request: Request) -> Iterator[Event]:
    import bitnet_engine as engine
    from bitnet_engine.conversion import Conversion, convert_steps

    kind = engine.QuantType(request["type"])
    allowed = {"allow_lossy": request["allow_lossy"], "force": request.get("force", False)}
    allowed |= {name: request.get(name) for name in ("scale", "max_shard_size", "byte_order")}
    yield (start := _start(request))
    for step in convert_steps(request["path"], request["target"], kind, **allowed, **_reading(request)):
        if isinstance(step, Conversion):
            yield {"event": "report", "report": {**step.to_json(), "stamp": engine.stamp(id=start["id"])}}
        else:
            yield tensor_event(*step)


def _proof(request: Request) -> Iterator[Event]:
    from bitnet_tui.core import proofs

    yield (start := _start(request))
    reading = _reading(request)
    record = partial(proofs.record, _corpus_path(request), reading)
    kinds = {"record": record, "replay": proofs.replay, "verify": partial(proofs.verify, reading)}
    yield from kinds[request["kind"]]({**request, "numerics": _numerics(request)}, start["id"])


def _explanation(request: Request) -> Iterator[Event]:
    from bitnet_tui.core import diagnosing

    yield (start := _start(request))
    own = {f"candidate_{name}": value for name, value in _reading(request, "candidate_").items()}
    asked = {**request, "numerics": _numerics(request)}
    if request["kind"] == "demo":
        yield from diagnosing.demo(asked, start["id"])
    elif request["kind"] == "capture":
        yield from diagnosing.capture(asked, _reading(request), start["id"])
    else:
        yield from diagnosing.diagnose(asked, _reading(request) | own, start["id"])


def _open(request: Request) -> "Checkpoint":
    import bitnet_engine as engine

    return engine.open_checkpoint(request["path"], **_reading(request))


def _open_pair(request: Request) -> "AbstractContextManager[tuple[Checkpoint, Checkpoint]]":
    import bitnet_engine as engine

    own = {f"candidate_{name}": value for name, value in _reading(request, "candidate_").items()}
    return engine.open_pair(request["reference"], request["candidate"], **_reading(request), **own)


def _reading(request: Request, side: str = "") -> dict[str, Any]:
    """Return what a request says of how to read a file, as the engine's functions take it."""
    from bitnet_engine.formats import I2SLayout

    layout, config = (request.get(f"{side}{name}") for name in ("i2s_layout", "kernel_config"))
    return {
        "i2s_layout": None if layout in (None, LAYOUTS[0]) else I2SLayout(layout),
        "kernel_config": None if config is None else Path(config),
    }


def _warnings(files: "Sequence[Checkpoint | None]", configs: "Sequence[Config | None]") -> Iterator[Event]:
    """Yield what a person should know of two files before their numbers."""
    for name, checkpoint in zip(("reference", "candidate"), files, strict=True):
        if checkpoint is not None and needs_a_word(reading := checkpoint.reading.to_json()):
            yield {"event": "warn", "message": f"the {name} is read as {reading_text(reading)}"}
    for difference in _differences(*configs):
        yield {"event": "warn", "message": f"the files differ: {difference}"}


def _differences(reference: "Config | None", candidate: "Config | None") -> list[str]:
    """Name the hyperparameters in which two configs differ: `activation is relu2 and silu`."""
    if reference is None or candidate is None:
        return []
    sides = zip(asdict(reference).items(), asdict(candidate).values(), strict=True)
    return [f"{name} is {first} and {second}" for (name, first), second in sides if first != second]


def _numerics(request: Request) -> str:
    return request.get("numerics") or NUMERICS[0]


def _corpus_path(request: Request) -> Path:
    return resource_dir("eval") if request.get("corpus") is None else Path(request["corpus"])
