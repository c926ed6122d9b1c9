"""The JSON Schema of a finding, made from the classes that write it.

finding_schema()                    # finding.json
"""

from dataclasses import fields

from bitnet_engine.schema import Schema, array, obj, of, stamp_schema
from bitnet_parity.diagnosis.causes import SCHEMA, SCHEMA_VERSION, Cause, Finding, OpResult, Proof, Unexplained, Verdict


def finding_schema() -> Schema:
    """Return the schema of finding.json; a demonstration's holds the fault that was put in too."""
    cause = of(Cause)["properties"]
    proof = of(Proof)["properties"]
    own = {
        "verdict": {"enum": [verdict.value for verdict in Verdict]},
        "first": {"anyOf": [of(OpResult), of(None)]},
        "causes": array(obj({"sentence": of(str), **cause})),
        "unexplained": array(of(Unexplained)),
        "proof": {"anyOf": [obj({**proof, "holds": of(bool)}), of(None)]},
        "operations": array(of(OpResult)),
    }
    plain = {field.name: of(field.type) for field in fields(Finding) if field.name not in own}
    head = {"schema": {"const": SCHEMA}, "schema_version": {"const": SCHEMA_VERSION}}
    return obj({**head, **plain, **own, "stamp": stamp_schema()}, more=True)
