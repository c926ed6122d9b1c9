"""The gates of a CI lane over artifacts that earlier steps left in a folder: GO or NO-GO, and nothing computed again.

    result = gate(Path("artifacts"), "pr")              # {"verdict": "GO", "conditions": [...], …}

| lane | every one of these has to be there, and to hold |
|---|---|
| pr | a parity report, under `quantized` |
| nightly | a parity report, under `nightly`; a proof of determinism; a benchmark that passed against its baseline |
| release | an acceptance that said GO; a proof of determinism; a benchmark that passed against its baseline |

Artifacts are known by their schema, not by their names. Of several of a kind all have to hold; one that is missing is
NO VERDICT, and never a pass.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bitnet_engine.files import read_json
from bitnet_tui.core import session
from bitnet_tui.core.acceptance import STATUS, Condition, Found, repeated, summarised

SCHEMA, SCHEMA_VERSION = "bitnet-tui/gate", 1
LANES = {
    "pr": ("parity",),
    "nightly": ("parity", "determinism", "performance"),
    "release": ("acceptance", "determinism", "performance"),
}
PROFILES = {"pr": "quantized", "nightly": "nightly", "release": "nightly"}
"""What a lane judges parity by where it is not told."""

Artifacts = dict[str, list[tuple[Path, dict[str, Any]]]]
"""Files and what they hold, by their schema."""


def gate(folder: Path, lane: str, profile: str | None = None) -> dict[str, Any]:
    """Return the verdict of `lane` on the artifacts in `folder`, JSON-ready.

    Raises:
        FormatError: there is no such folder, or a file in it is no JSON.
        SettingError: no such profile.
    """
    if not folder.is_dir():
        raise session.FormatError(f"{folder}: no such folder; name the one that --export wrote.")
    found, chosen = _artifacts(folder), profile or PROFILES[lane]
    conditions = [
        Condition(name, result.status, result.reason, 0.0, result.numbers)
        for name in LANES[lane]
        for result in _tried(name, found, chosen)
    ]
    head = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "lane": lane, "profile": chosen, "folder": str(folder)}
    return {**head, **summarised(conditions)}


def _artifacts(folder: Path) -> Artifacts:
    found: Artifacts = {}
    for path in sorted(folder.rglob("*.json")):
        value = read_json(path, "remove it, or make it again")
        if isinstance(value, dict) and isinstance(value.get("schema"), str):
            found.setdefault(value["schema"], []).append((path, value))
    return found


def _tried(name: str, artifacts: Artifacts, profile: str) -> Iterator[Found]:
    schema, check = CHECKS[name]
    if schema not in artifacts:
        yield Found("NO VERDICT", f"there is no artifact of {schema}; {MADE_BY[name]} makes one")
    for path, value in artifacts.get(schema, []):
        try:
            yield check(path, value, profile)
        except (KeyError, TypeError, AttributeError) as error:
            raise session.FormatError(f"{path}: is a damaged {schema}: {error!r}; make it again.") from error


def _parity(path: Path, _value: dict[str, Any], profile: str) -> Found:
    judgement = session.judge(str(path), profile)["judgement"]
    verdict = judgement["verdict"]
    gates = "; ".join(f"{gate['gate']} {gate['status']}" for gate in judgement["gates"])
    return Found(STATUS[verdict], f"{path.name} under {profile}: {verdict} ({gates})")


def _determinism(path: Path, proof: dict[str, Any], _profile: str) -> Found:
    found = repeated(proof)
    return Found(found.status, f"{path.name}: {found.reason}")


def _performance(path: Path, report: dict[str, Any], _profile: str) -> Found:
    judgement = report["judgement"]
    if judgement["baseline"] is None:
        return Found("NO VERDICT", f"{path.name} was held against no baseline; bench --baseline FILE does that")
    slow = [gate["gate"] for gate in judgement["gates"] if gate["status"] != "PASS"]
    said = f"{path.name}: {judgement['verdict']} {', '.join(slow) or judgement['why']}".rstrip()
    return Found(STATUS[judgement["verdict"]], said)


def _acceptance(path: Path, summary: dict[str, Any], _profile: str) -> Found:
    red = [condition["name"] for condition in summary["conditions"] if condition["status"] != "GO"]
    return Found("GO" if summary["verdict"] == "GO" else "NO-GO", f"{path.name}: {summary['verdict']} {', '.join(red)}")


CHECKS: dict[str, tuple[str, Callable[[Path, dict[str, Any], str], Found]]] = {
    "parity": ("bitnet-tui/parity-report", _parity),
    "determinism": ("bitnet-tui/verify", _determinism),
    "performance": ("bitnet-tui/bench", _performance),
    "acceptance": ("bitnet-tui/acceptance", _acceptance),
}
MADE_BY = {
    "parity": "`bitnet-tui parity … --export DIR`",
    "determinism": "`bitnet-tui verify MODEL --export DIR`",
    "performance": "`bitnet-tui bench MODEL --baseline FILE --export DIR`",
    "acceptance": "`bitnet-tui accept REFERENCE CANDIDATE`",
}
