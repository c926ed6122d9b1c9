"""JSON Schemas from type annotations, so that what is documented is what is written.

    of(TokenRow)                        # a dataclass: an object with all of its fields
    of(float | None)                    # {"type": ["number", "null"]}
    stamp_schema()                      # what `provenance.stamp` returns

A float may be null wherever it stands: JSON has no NaN, and a value that does not exist is written as null.
Follows JSON Schema 2020-12. Knows no artifact but the stamp.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin

from bitnet_engine.environment import Environment

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    Any: {},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: {"type": "string"},
    float: {"type": ["number", "null"]},
    type(None): {"type": "null"},
    None: {"type": "null"},
    dict: {"type": "object"},
    list: {"type": "array"},
}


def of(annotation: Any) -> Schema:
    """Return the schema of an annotation.

    Raises:
        TypeError: an annotation of a kind that no artifact uses.
    """
    if annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    if is_dataclass(annotation):
        return obj({field.name: of(field.type) for field in fields(annotation)})
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return nullable_or_any([of(argument) for argument in arguments])
    if (origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis) or origin is list:
        return {"type": "array", "items": of(arguments[0])}
    if origin is tuple:
        items = [of(argument) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict:
        return {"type": "object", "additionalProperties": of(arguments[1])}
    raise TypeError(f"no artifact holds a {annotation!r}; spell its schema out")


def obj(properties: Mapping[str, Schema], *, more: bool = False) -> Schema:
    """Return an object that has all of `properties`, and with `more` others too."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": more,
    }


def array(items: Schema) -> Schema:
    """Return an array of `items`."""
    return {"type": "array", "items": items}


def nullable_or_any(schemas: list[Schema]) -> Schema:
    """Return one of `schemas`: a list of types where each is only a type, which reads better than anyOf."""
    kinds = [schema.get("type") for schema in schemas]
    if any(len(schema) != 1 or kind is None for schema, kind in zip(schemas, kinds, strict=True)):
        return {"anyOf": schemas}
    flat = [one for kind in kinds for one in (kind if isinstance(kind, list) else [kind])]
    return {"type": list(dict.fromkeys(flat))}


def document(name: str, version: int, schema: Schema) -> Schema:
    """Return `schema` as a document of its own, of the artifact `name`."""
    return {"$schema": DIALECT, "$id": f"{name}-{version}.schema.json", "title": f"{name} {version}", **schema}


def stamp_schema() -> Schema:
    """Return the schema of a stamp; commands add facts of their own (id, numerics, hashes, seeds)."""
    return obj(
        {
            "platform": of(str),
            "wsl2": of(bool),
            "python": of(str),
            "cpu": of(str),
            "isa": of(list[str]),
            "threads": of(int),
            "versions": of(dict[str, str]),
            "xla_flags": of(str),
            "determinism": of(Environment),
            "git_commit": of(str | None),
            "device": of(str | None),
        },
        more=True,
    )
