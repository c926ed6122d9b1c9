"""The JSON Schemas of docs/schema, made from the code that writes the artifacts.

    python docs/schemas.py              # writes them anew; a test holds the two equal

Readers of events ignore kinds that they do not know, so a stream may hold others than those described.
"""

from pathlib import Path

from bitnet_engine import bench
from bitnet_engine.bench import Progress
from bitnet_engine.bench.regression import Comparison, SpeedGate
from bitnet_engine.files import write_atomic
from bitnet_engine.schema import Schema, array, document, obj, of, stamp_schema
from bitnet_parity.diagnosis import causes
from bitnet_parity.diagnosis.schema import finding_schema
from bitnet_parity.evaluation import ScoredDocument
from bitnet_parity.report import SCHEMA, SCHEMA_VERSION
from bitnet_parity.rows import DocumentRow, Plan, Stage, TokenRow
from bitnet_parity.schema import failure_schema, gate_schema, judgement_schema, report_schema
from bitnet_tui.core import acceptance, benching, events, lanes
from bitnet_tui.core.acceptance import Condition

FOLDER = Path(__file__).parent / "schema"
_ANY_OBJECT: Schema = {"type": "object"}


def schemas() -> dict[str, Schema]:
    """Return every schema by the name of its file."""
    return {
        "report.schema.json": document(SCHEMA, SCHEMA_VERSION, report_schema()),
        "failures.schema.json": document("bitnet-tui/parity-failure", SCHEMA_VERSION, failure_schema()),
        "events.schema.json": document(events.SCHEMA, events.SCHEMA_VERSION, event_schema()),
        "finding.schema.json": document(causes.SCHEMA, causes.SCHEMA_VERSION, finding_schema()),
        "judgement.schema.json": document("bitnet-tui/judgement", 1, _judged_again()),
        "bench.schema.json": document(bench.SCHEMA, bench.SCHEMA_VERSION, _benchmark()),
        "turns.schema.json": document(benching.TURNS, benching.TURNS_VERSION, _turns()),
        "acceptance.schema.json": document(acceptance.SCHEMA, acceptance.SCHEMA_VERSION, _acceptance()),
        "gate.schema.json": document(lanes.SCHEMA, lanes.SCHEMA_VERSION, _lane()),
        "stamp.schema.json": document("bitnet-tui/stamp", 1, stamp_schema()),
    }


def event_schema() -> Schema:
    """Return the schema of one line of events.jsonl: the fields of each kind that `core.events` lists."""
    cases = [
        {"if": {"properties": {"event": {"const": kind}}}, "then": {**schema, "additionalProperties": True}}
        for kind, schema in _kinds().items()
    ]
    return {**obj({"event": of(str)}, more=True), "allOf": cases}


def _head(name: str, version: int) -> dict[str, Schema]:
    """Return the two fields that say what an artifact is."""
    return {"schema": {"const": name}, "schema_version": {"const": version}}


def _judged_again() -> Schema:
    """Return the schema of what `judge` prints and writes."""
    head = {**_head("bitnet-tui/judgement", 1), "report": of(str)}
    return obj(
        {**head, "judgement": judgement_schema(), "stored": judgement_schema(), "stamp": stamp_schema()},
    )


def _benchmark() -> Schema:
    """Return the schema of what `bench` prints and writes."""
    verdict = {"enum": [None, "PASS", "FAIL", "INCONCLUSIVE", "NOISY"]}
    judgement = obj({"baseline": of(str | None), "verdict": verdict, "why": of(str), "gates": array(of(SpeedGate))})
    fields = {**of(bench.BenchReport)["properties"], "stamp": stamp_schema(), "judgement": judgement}
    return obj({**_head(bench.SCHEMA, bench.SCHEMA_VERSION), **fields})


def _turns() -> Schema:
    """Return the schema of turns.json: two files of one model measured in turns."""
    sides = {"reference": of(str), "candidate": of(str)}
    fields = {**of(Comparison)["properties"], "stamp": stamp_schema()}
    return obj({**_head(benching.TURNS, benching.TURNS_VERSION), **sides, **fields})


def _acceptance() -> Schema:
    """Return the schema of acceptance_summary.json, of `accept` and of `audit`."""
    sides = {"profile": of(str), "reference": of(str), "candidate": of(str)}
    return obj({**_head(acceptance.SCHEMA, acceptance.SCHEMA_VERSION), **sides, **_conditions()})


def _lane() -> Schema:
    """Return the schema of gate.json."""
    asked = {"lane": {"enum": list(lanes.LANES)}, "profile": of(str), "folder": of(str)}
    return obj({**_head(lanes.SCHEMA, lanes.SCHEMA_VERSION), **asked, **_conditions()})


def _conditions() -> dict[str, Schema]:
    """Return the fields of a verdict on conditions."""
    return {"verdict": {"enum": ["GO", "NO-GO"]}, "conditions": array(of(Condition)), "stamp": stamp_schema()}


def _kinds() -> dict[str, Schema]:
    text, count = of(str), of(int)
    open_row = {"additionalProperties": True}
    return {
        "run.start": obj(
            {
                "schema": {"const": events.SCHEMA},
                "schema_version": {"const": events.SCHEMA_VERSION},
                "id": text,
                "kind": text,
                "request": _ANY_OBJECT,
                "stamp": stamp_schema(),
            }
        ),
        "stage": of(Stage),
        "plan": of(Plan),
        "gate": gate_schema(),
        "token": of(TokenRow),
        "document": {"anyOf": [{**of(kind), **open_row} for kind in (DocumentRow, ScoredDocument)]},
        "stats": obj({"tensor": text}),
        "tensor": obj({"work": text, "name": text, "index": count, "count": count}),
        "bench": obj({**of(Progress)["properties"], "seconds_left": of(float)}),
        "text": obj({"text": text}),
        "warn": obj({"message": text}),
        "report": obj({"report": _ANY_OBJECT}),
        "error": obj({"exit_code": count, "message": text}),
        "run.end": obj({"status": {"enum": ["done", "failed", "cancelled"]}, "verdict": of(str | None)}),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        write_atomic(FOLDER / name, events.dumps(schema, indent=True))
