"""The only door from the program to the engine and to parity: requests in, events out.

    summary = inspect("model.gguf")                  # at once, headers only
    for event in run({"kind": "parity", "reference": a, "candidate": b}):
        ...                                          # long: call it in a worker

A kind of request is a function in a module of its own, imported when it is asked for, and engine and parity are
imported inside the functions here: a process which only shows things never starts jax.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from bitnet_engine.environment import environment
from bitnet_engine.errors import BitnetError, CorpusError, FormatError, SettingError, StorageError
from bitnet_engine.files import atomic_file, write_atomic
from bitnet_engine.folder_lock import locked_folder
from bitnet_engine.numerics import CACHE_TYPES
from bitnet_engine.numerics import NAMES as NUMERICS
from bitnet_parity.exporting import SUFFIXES as REPORT_SUFFIXES
from bitnet_tui.core.asking import JOURNAL, Request, reading
from bitnet_tui.core.events import Event
from bitnet_tui.core.readings import LAYOUTS

__all__ = [
    "CACHE_TYPES",
    "JOURNAL",
    "NUMERICS",
    "REPORT_SUFFIXES",
    "BitnetError",
    "CorpusError",
    "FormatError",
    "SettingError",
    "StorageError",
    "atomic_file",
    "bench_changes",
    "canonical",
    "environment",
    "export_report",
    "finding_markdown",
    "inspect",
    "judge",
    "load_bench",
    "locked_folder",
    "raise_limits",
    "run",
    "side_path",
    "stamp",
    "tell_ci",
    "tensor_values",
    "tokenize",
    "write_atomic",
]

REPORT = "report.json"
"""What a run's folder calls its report."""


def inspect(
    path: str, *, scan: bool = False, i2s_layout: str = LAYOUTS[0], kernel_config: str | None = None
) -> dict[str, Any]:
    """Return what the header of the model at `path` says, as JSON-ready values; with `scan` what its weights show too.

    Raises:
        BitnetError: the model cannot be read.
    """
    import bitnet_engine as engine

    how = reading({"i2s_layout": i2s_layout, "kernel_config": kernel_config})
    summary = {"schema": "bitnet-tui/info", "schema_version": 1, **engine.inspect(path, **how).to_json()}
    if scan:
        with engine.open_checkpoint(path, **how) as checkpoint:
            summary["findings"] += [asdict(finding) for finding in engine.scan_findings(checkpoint)]
    return {**summary, "scanned": scan, "stamp": engine.stamp()}


def raise_limits(asked: Sequence[str]) -> None:
    """Set the limits of headers, NAME=N each, for this process and its workers. Raises SettingError."""
    if not asked:
        return
    from bitnet_engine.formats import limits

    for limit in asked:
        limits.parse(limit, "--limit")
    os.environ[limits.VARIABLE] = ",".join([*filter(None, [os.environ.get(limits.VARIABLE)]), *asked])


def canonical(name: str) -> str:
    """Return GGUF's name of a tensor, whichever format `name` comes from; a name of neither stays as it is."""
    from bitnet_engine.naming import canonical

    return canonical(name)


def tensor_values(path: str, name: str, rows: int, columns: int, **how_read: Any) -> list[list[float | None]]:
    """Return the first rows and columns of a tensor, `how_read` as `inspect` takes it. Raises BitnetError."""
    import bitnet_engine as engine

    with engine.open_checkpoint(path, **reading(how_read)) as checkpoint:
        return engine.tensor_values(checkpoint, name, rows, columns)


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


def stamp() -> dict[str, Any]:
    """Return what every artifact says of the machine and the versions."""
    import bitnet_engine as engine

    return engine.stamp()


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


def load_bench(path: Path) -> dict[str, Any]:
    """Return the artifact of a benchmark. Raises StorageError, FormatError."""
    from bitnet_engine.bench import load_report

    return load_report(path)


def bench_changes(baseline: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how each measure of two artifacts has changed. Raises SettingError for another machine or model."""
    from bitnet_engine.bench import changes

    return [asdict(change) for change in changes(dict(baseline), dict(now))]


def tell_ci(report: dict[str, Any], junit_file: Path | None) -> list[str]:
    """Write a parity report's gates as JUnit XML, tell GitHub Actions where it runs us, return what to print there.

    Raises:
        StorageError: a file cannot be written.
    """
    from bitnet_parity.ci import junit, tell_github

    if junit_file is not None:
        write_atomic(junit_file, junit(report))
    return tell_github(report, os.environ)


KINDS = {
    "parity": "comparing.compare",
    "eval": "running.evaluate",
    "generate": "running.generate",
    "stats": "checkpoints.stats",
    "scan": "checkpoints.scan",
    "diff": "checkpoints.diff",
    "convert": "checkpoints.convert",
    "record": "proofs.record",
    "replay": "proofs.replay",
    "verify": "proofs.verify",
    "bench": "benching.bench",
    "diagnose": "diagnosing.diagnose",
    "capture": "capturing.capture",
    "demo": "diagnosing.demo",
    "turns": "benching.turns",
}
"""Where the function of each kind of request is, in this package."""


def run(request: Request) -> Iterator[Event]:
    """Run `request` and yield its events, all but `run.end` and `error`, which are the worker's.

    | kind | fields (None where optional) |
    |---|---|
    | all | i2s_layout="auto", kernel_config=None; parity, diff, diagnose also candidate_i2s_layout, candidate_… |
    | eval, generate, parity, record | mesh=1; all but generate data_parallel=1; all but record processes=None or |
    | | {coordinator, processes, process} |
    | eval, generate, parity, record, verify, | numerics=NUMERICS[0]; parity also candidate_numerics=numerics |
    | diagnose, capture | |
    | generate, bench | cache_type=CACHE_TYPES[0] |
    | parity | reference, candidate, corpus=None, profile, context=None, max_tokens=None, export=None, resume=False, |
    | | exact=False, seed=0, floor_documents=None |
    | record | path, folder, corpus=None, context=None, max_tokens=None |
    | replay | path, row |
    | verify | path, runs, tokens |
    | eval | path, corpus=None, context=None, max_tokens=None |
    | generate | path, prompt, max_new, temperature, top_k, top_p, seed |
    | turns | reference, candidate |
    | bench | path, iterations, warmup, threads (empty: all), quick, peers, allow_noise, baseline, command, numerics |
    | diagnose | reference, candidate, text=None, tokens, export=None |
    | capture | path, folder, text=None, tokens |
    | demo | fault, seed, path=None, text=None, tokens |
    | stats, scan | path |
    | diff | reference, candidate |
    | convert | path, target, type, allow_lossy, force=False, scale=None, max_shard_size=None, byte_order=None |
    """
    if request.get("processes"):
        from bitnet_tui.core.placing import join  # before jax starts, which the first event's stamp may be asked about

        join(request)
    module, function = KINDS[request["kind"]].split(".")
    yield from getattr(import_module(f"bitnet_tui.core.{module}"), function)(request)
