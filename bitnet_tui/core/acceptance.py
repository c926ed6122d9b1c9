"""Production readiness: conditions that all have to hold, each tried for real, and GO or NO-GO.

    conditions = ACCEPTANCE                                   # or AUDIT
    for condition in try_all(Trial(reference, candidate, folder, run=run_headless), conditions):
        print(condition.status, condition.name, condition.reason)
    summary(trial, conditions_tried)["verdict"]               # "GO" or "NO-GO"

A condition that could not be tried is NO VERDICT, and never a pass. What a condition runs is what a user would run: the
requests of `core.session`, in child processes, through `run`. Knows no command line and no terminal.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from bitnet_engine.files import read_json
from bitnet_tui.core import planting, preserving, pretence, session
from bitnet_tui.core.events import dumps
from bitnet_tui.core.text import counted, number

SCHEMA, SCHEMA_VERSION = "bitnet-tui/acceptance", 1
SUMMARY = "acceptance_summary.json"

Status = Literal["GO", "NO-GO", "NO VERDICT"]
Run = Callable[[dict[str, Any]], dict[str, Any]]
"""Runs a request of `core.session` to its end and returns its report; raises BitnetError where it has none."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, tried."""

    name: str
    status: Status
    reason: str
    """What was found, in one line; of a NO-GO what made it one."""
    seconds: float
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What trying a condition showed."""

    status: Status
    reason: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What is accepted or not, and how it is run."""

    reference: str
    candidate: str
    folder: Path
    """Where the artifacts go."""
    run: Run
    profile: str = "quantized"
    corpus: str | None = None
    max_tokens: int | None = None
    packages: Sequence[Path] | None = None
    """Folders of source in place of the installed packages."""
    baseline: str | None = None
    """An artifact of `bench` to hold the candidate's speed against; the reference's, measured now, without it."""

    @cached_property
    def parity(self) -> dict[str, Any]:
        """The report of the comparison, made once, and exported as `parity --export` does."""
        return self.run(self.parity_request(self.candidate, self.max_tokens, self.folder / "parity"))

    def parity_request(self, candidate: str, max_tokens: int | None, export: Path | None) -> dict[str, Any]:
        """Return the request that compares the reference with `candidate`."""
        return {
            "kind": "parity",
            "reference": self.reference,
            "candidate": candidate,
            "profile": self.profile,
            "corpus": self.corpus,
            "max_tokens": max_tokens,
            "export": None if export is None else str(export),
        }


Check = Callable[[Trial], Found]


def try_all(trial: Trial, conditions: Iterable[str]) -> Iterator[Condition]:
    """Try the conditions in order, each whatever became of those before it."""
    for name in conditions:
        begun = time.monotonic()
        try:
            found = CHECKS[name](trial)
        except session.BitnetError as error:
            found = Found("NO-GO", " ".join(str(error).split()), {"exit_code": error.exit_code})
        yield Condition(name, found.status, found.reason, time.monotonic() - begun, found.numbers)


def summary(trial: Trial, tried: Iterable[Condition]) -> dict[str, Any]:
    """Return the artifact: GO where every condition is."""
    head = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "profile": trial.profile}
    return {**head, "reference": trial.reference, "candidate": trial.candidate, **summarised(list(tried))}


def summarised(conditions: Sequence[Condition]) -> dict[str, Any]:
    """Return the verdict on conditions, they themselves, and the stamp."""
    verdict = "GO" if conditions and all(condition.status == "GO" for condition in conditions) else "NO-GO"
    tried = [asdict(condition) for condition in conditions]
    return {"verdict": verdict, "conditions": tried, "stamp": session.stamp()}


def load_summary(path: Path) -> dict[str, Any]:
    """Return the acceptance at `path`. Raises StorageError, or FormatError for what is none."""
    value = read_json(path, f"name a {SUMMARY} that `accept` wrote")
    if not isinstance(value, dict) or (value.get("schema"), value.get("schema_version")) != (SCHEMA, SCHEMA_VERSION):
        raise session.FormatError(f"{path}: is no {SCHEMA} of version {SCHEMA_VERSION}; make it again with `accept`.")
    return value


def exit_code(result: dict[str, Any]) -> int:
    """Return 0 for GO, 1 where a condition is NO-GO, 5 where some only have no verdict."""
    if result["verdict"] == "GO":
        return 0
    return 1 if any(condition["status"] == "NO-GO" for condition in result["conditions"]) else 5


def environment(trial: Trial) -> Found:
    """What computed is the kernel that is meant for this machine; where the numbers come from is told in full."""
    stamp = trial.parity["stamp"]
    facts = ("platform", "wsl2", "cpu", "isa", "threads", "device", "kernel", "versions", "determinism")
    numbers = {name: stamp[name] for name in facts}
    if stamp["kernel"] is None:
        return Found("NO VERDICT", "no kernel of this engine multiplied, so none is shown to work here", numbers)
    if str(stamp["device"]).startswith("cpu") and not stamp["kernel"].startswith("native"):
        reason = f"on this processor the native kernel is meant to multiply, and it was {stamp['kernel']}"
        return Found("NO-GO", reason, numbers)
    return Found("GO", f"{stamp['cpu']}, {stamp['threads']} threads, kernel {stamp['kernel']}", numbers)


def introspection(trial: Trial) -> Found:
    """Both headers are read, and hold no error."""
    facts, errors = [], list[str]()
    for name, path in (("reference", trial.reference), ("candidate", trial.candidate)):
        found = session.inspect(session.side_path(path))
        session.write_atomic(_made(trial.folder) / f"info-{name}.json", dumps(found, indent=True))
        facts.append(f"{found['format']} with {counted(len(found['tensors']), 'tensor')}")
        errors += [f"{name}: {it['message']}" for it in found["findings"] if it["severity"] == "error"]
    return Found("NO-GO", errors[0], {"errors": errors}) if errors else Found("GO", " against ".join(facts))


def _gate(trial: Trial, name: str) -> Found:
    for gate in trial.parity["judgement"]["gates"]:
        if gate["gate"] == name:
            reason = f"{number(gate['value'])}, limit {number(gate['limit'])}: {gate['detail']}"
            return Found(STATUS[gate["status"]], reason, {"value": gate["value"], "limit": gate["limit"]})
    return Found("NO VERDICT", f"the report has no gate '{name}'")


def weights(trial: Trial) -> Found:
    """What both files store agrees, as far as the profile has limits for it; logits do not show all of it."""
    if trial.parity["weights"] is None:
        return Found("NO VERDICT", "a side is no file of weights; name the file or folder itself")
    if all(gate["gate"] != "weights" for gate in trial.parity["judgement"]["gates"]):
        return Found("GO", f"the profile {trial.parity['judgement']['profile']} sets no limit for stored weights")
    return _gate(trial, "weights")


def determinism(trial: Trial) -> Found:
    """The candidate's answer is the same again, in fresh processes and other shapes."""
    proof = trial.run({"kind": "verify", "path": session.side_path(trial.candidate), "runs": 2, "tokens": 16})
    session.write_atomic(_made(trial.folder) / "verify.json", dumps(proof, indent=True))
    return repeated(proof)


def repeated(proof: dict[str, Any]) -> Found:
    """Return what a report of `verify` says."""
    said = "; ".join(f"{check['name']}: {check['label']}" for check in proof["checks"])
    return Found("GO" if proof["holds"] else "NO-GO", said)


def gates_operational(trial: Trial) -> Found:
    """Each gate turns red on a fault that is planted for it, and a sound copy passes."""
    _made(trial.folder)
    wrong = {fault: problem for fault, problem in planting.prove(trial) if problem is not None}
    if wrong:
        return Found("NO-GO", "; ".join(f"planted {fault}: {problem}" for fault, problem in wrong.items()))
    gates = [*(gate for gates in planting.PLANTS.values() for gate in gates), "performance"]
    return Found("GO", f"of {', '.join(gates)} each that is asked turns red on a planted fault; a sound copy passes")


def artifacts(trial: Trial) -> Found:
    """What was written is readable, says what it is, and every byte of it survives being kept."""
    trial.parity  # noqa: B018 - there is nothing to keep before it
    strange = [path for path in sorted(trial.folder.rglob("*.json")) if not _is_artifact(path)]
    if strange:
        return Found("NO-GO", f"{strange[0]}: is no artifact of this program")
    with tempfile.TemporaryDirectory(prefix="kept-", dir=trial.folder.parent) as place:
        kept = preserving.preserve(trial.folder, Path(place), session.stamp())  # which reads it back
    return Found("GO", f"{counted(len(kept.files), 'file')}, each read, kept with its checksum and proved")


def _is_artifact(path: Path) -> bool:
    try:
        return str(read_json(path, "")["schema"]).startswith("bitnet-tui/")
    except (session.BitnetError, KeyError, TypeError):
        return False


def nothing_pretended(trial: Trial) -> Found:
    """No module of the installed packages imports or defines a stand-in."""
    found = pretence.scan(trial.packages)
    if found.hits:
        return Found("NO-GO", f"{found.hits[0]}" + (f", and {len(found.hits) - 1} more" if found.hits[1:] else ""))
    return Found("GO", f"{found.files} modules of {', '.join(found.packages)} import and define no stand-in")


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise session.StorageError(f"{folder}: cannot make this folder: {error.strerror}") from error
    return folder


def performance(trial: Trial) -> Found:
    """The candidate is as fast as a stored baseline, or as the reference in turns with it; 10 % are let through."""
    candidate = session.side_path(trial.candidate)
    if trial.baseline is None:
        reference = session.side_path(trial.reference)
        report = trial.run({"kind": "turns", "reference": reference, "candidate": candidate})
        judged, name = {**report, "why": ""}, "turns.json"
    else:
        report = trial.run({**BENCH, "path": candidate, "baseline": trial.baseline})
        judged, name = report["judgement"], "bench.json"
    session.write_atomic(_made(trial.folder) / name, dumps(report, indent=True))
    gates = judged["gates"]
    slowest = min(gates, key=lambda gate: gate["value"]) if gates else None
    said = (
        f"{slowest['gate']} at {number(slowest['value'])} of the baseline's, limit {slowest['limit']}"
        if slowest
        else ""
    )
    red = [f"{gate['gate']} {gate['status']} ({gate['detail']})" for gate in gates if gate["status"] != "PASS"]
    return Found(STATUS[judged["verdict"]], "; ".join(filter(None, [*red, said, judged["why"]])), {"gates": gates})


BENCH = {
    "kind": "bench",
    "iterations": 10,
    "warmup": 2,
    "threads": [],
    "quick": False,
    "peers": False,
    "allow_noise": False,
    "command": "bitnet-tui accept",
}
STATUS: dict[str | None, Status] = {
    "PASS": "GO",
    "FAIL": "NO-GO",
    "INCONCLUSIVE": "NO VERDICT",
    "NOISY": "NO VERDICT",
    None: "NO VERDICT",
}
CHECKS: dict[str, Check] = {
    "environment": environment,
    "introspection": introspection,
    "tokenizer": partial(_gate, name="tokenizer"),
    "belief": partial(_gate, name="belief"),
    "probability": partial(_gate, name="probability"),
    "weights": weights,
    "performance": performance,
    "determinism": determinism,
    "gates operational": gates_operational,
    "no pretence": nothing_pretended,
    "artifacts": artifacts,
}
ACCEPTANCE = tuple(name for name in CHECKS if name not in ("environment", "determinism"))
AUDIT = tuple(CHECKS)
