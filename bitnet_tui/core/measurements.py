"""The committed measurements that a page is rendered from, and whether a page is still theirs.

    found = load(Path("docs/measurements"))       # [Measurement(name="bench-2b.json", artifact={...}), …]

Knows no layout of a page: `display.performance` does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitnet_engine.errors import FormatError
from bitnet_engine.files import read_json

VERSIONS = {"bitnet-tui/app": 1, "bitnet-tui/bench": 1, "bitnet-tui/memory": 1}
"""What a page can be rendered from: schema and version."""


@dataclass(frozen=True)
class Measurement:
    """One artifact, by the name of its file."""

    name: str
    artifact: dict[str, Any]


def load(folder: Path) -> list[Measurement]:
    """Return the artifacts in `folder` that a page is rendered from, in the order of their names; others are left out.

    Raises:
        StorageError: a file cannot be read.
        FormatError: there is none, one is no JSON, or one is of another version.
    """
    read = [Measurement(path.name, _artifact(path)) for path in sorted(folder.glob("*.json"))]
    found = [one for one in read if one.artifact.get("schema") in VERSIONS]
    if not found:
        raise FormatError(f"{folder}: holds no measurement; `bitnet-tui bench MODEL --export DIR` writes a bench.json.")
    for one in found:
        schema, version = one.artifact["schema"], one.artifact.get("schema_version")
        if version != VERSIONS[schema]:
            raise FormatError(
                f"{folder / one.name}: is {schema} of version {version}; version {VERSIONS[schema]} is what a page is "
                f"rendered from. Measure it again."
            )
    return found


def of_schema(found: list[Measurement], schema: str) -> Iterator[Measurement]:
    """Yield the measurements of one schema."""
    return (one for one in found if one.artifact["schema"] == schema)


def _artifact(path: Path) -> dict[str, Any]:
    value = read_json(path, "measure it again")
    return value if isinstance(value, dict) else {}


def first_difference(page: str, rendered: str) -> str | None:
    """Return where a page differs from what its measurements say, or None where it does not."""
    lines = page.split("\n"), rendered.split("\n")
    for number, (there, here) in enumerate(zip(*lines, strict=False), 1):
        if there != here:
            return f"line {number} is {there!r}, and the measurements say {here!r}"
    if len(lines[0]) != len(lines[1]):
        return f"it has {len(lines[0])} lines, and the measurements make {len(lines[1])}"
    return None
