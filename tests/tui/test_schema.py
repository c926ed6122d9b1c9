"""The JSON Schemas: those in docs/schema are those of the code, and what a run writes is what they say."""

import copy
from typing import Any

import orjson
import pytest

from bitnet_engine import schema as made
from bitnet_tui.core import session
from docs import schemas

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


def fits(value, rule):
    """Hold a value against the part of JSON Schema 2020-12 that ours use; return where it does not fit."""
    if "anyOf" in rule:
        return [] if any(not fits(value, one) for one in rule["anyOf"]) else ["no alternative fits"]
    wrong = [] if "type" not in rule or is_of(value, rule["type"]) else [f"{value!r} is no {rule['type']}"]
    wrong += [f"{value!r} is none of {rule.get('enum')}"] * (value not in rule.get("enum", [value]))
    wrong += [f"{value!r} is not {rule.get('const')!r}"] * (value != rule.get("const", value))
    if isinstance(value, dict):
        wrong += fits_object(value, rule)
    elif isinstance(value, list):
        wrong += [f"{len(value)} items"] * (not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", 1 << 60))
        for i, item in enumerate(value):
            items = rule.get("prefixItems", [])
            wrong += [f"[{i}] {w}" for w in fits(item, items[i] if i < len(items) else rule.get("items", {}))]
    for case in rule.get("allOf", []):
        if not fits(value, case["if"]):
            wrong += fits(value, case["then"])
    return wrong


def fits_object(value, rule):
    properties, more = rule.get("properties", {}), rule.get("additionalProperties", True)
    wrong = [f"{name} is missing" for name in rule.get("required", []) if name not in value]
    for name, item in value.items():
        if name in properties:
            wrong += [f".{name} {w}" for w in fits(item, properties[name])]
        elif more is False:
            wrong.append(f"{name} is not known")
        elif isinstance(more, dict):
            wrong += [f".{name} {w}" for w in fits(item, more)]
    return wrong


def is_of(value, kinds):
    names = {name for name, kind in TYPES.items() if isinstance(value, kind)}
    if not isinstance(value, bool):
        names |= {"number"} if isinstance(value, int | float) else set()
        names |= {"integer"} if isinstance(value, int) else set()
    return bool(names & set([kinds] if isinstance(kinds, str) else kinds))


@pytest.fixture(scope="module")
def run(packed, i2_s, samples, tmp_path_factory):
    """Events of a real run that fails, and the folder it was exported to."""
    folder = tmp_path_factory.mktemp("out")
    request = {
        "kind": "parity",
        "reference": str(packed),
        "candidate": str(i2_s),
        "candidate_numerics": "float",
        "corpus": str(samples / "eval" / "shakespeare-cymbeline-022.txt"),
        "profile": "lossless",
        "max_tokens": 12,
        "floor_documents": 1,
        "export": str(folder),
    }
    events = [orjson.loads(orjson.dumps(event)) for event in session.run(request)]
    return events, folder


def test_the_files_are_those_of_the_code(root):
    """Red when a field changes and docs/schema does not: run `python docs/schemas.py`."""
    expected = schemas.schemas()
    assert {path.name for path in (root / "docs" / "schema").iterdir()} == set(expected)
    for name, value in expected.items():
        assert orjson.loads((root / "docs" / "schema" / name).read_bytes()) == value, name


def test_a_run_writes_what_the_schemas_say(run):
    """Red when a field is written that no schema has, or lacks, or has another type."""
    events, folder = run
    report = orjson.loads((folder / "report.json").read_bytes())
    assert fits(report, schemas.schemas()["report.schema.json"]) == []
    assert fits(report["stamp"], schemas.schemas()["stamp.schema.json"]) == []
    lines = (folder / "parity_failures.jsonl").read_bytes().splitlines()
    assert len(lines) > 0
    for line in lines:
        assert fits(orjson.loads(line), schemas.schemas()["failures.schema.json"]) == []
    assert {event["event"] for event in events} >= {"run.start", "stage", "plan", "token", "document", "gate", "report"}
    for event in events:
        assert fits(event, schemas.schemas()["events.schema.json"]) == [], event["event"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report["metrics"].pop("kl"), "kl is missing"),
        (lambda report: report["metrics"].update(extra=1), "extra is not known"),
        (lambda report: report.update(schema_version=1), "1 is not 3"),
        (lambda report: report["judgement"].update(verdict="OK"), "'OK' is none of"),
        (lambda report: report["documents"][0].update(tokens=1.5), "1.5 is no integer"),
    ],
)
def test_the_schemas_refuse(run, change, message):
    """Red when a schema lets everything through."""
    report = copy.deepcopy(orjson.loads((run[1] / "report.json").read_bytes()))
    change(report)
    assert message in "; ".join(fits(report, schemas.schemas()["report.schema.json"]))


def test_an_annotation_that_no_artifact_has_is_refused():
    """Red when an unknown type becomes a schema that allows anything."""
    with pytest.raises(TypeError, match="no artifact holds a <class 'bytes'>"):
        made.of(bytes)
