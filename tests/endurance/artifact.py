"""Where the long runs write what they found, and what they share."""

import sys
from pathlib import Path
from typing import Any

import orjson

import bitnet_engine as engine
from bitnet_engine.files import write_atomic

ROOT = Path(__file__).parents[2]
NANO = ROOT / "samples" / "nano"


def write(name: str, found: dict[str, Any]) -> None:
    """Write docs/measurements/NAME.json: what was found, by which command, on which machine."""
    head = {"schema": f"bitnet-tui/{name}", "schema_version": 1}
    command = " ".join(["python -m", f"tests.endurance.{name}", *sys.argv[1:]])
    artifact = {**head, "command": command, **found, "stamp": engine.stamp()}
    write_atomic(_path(name), orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def earlier(name: str) -> dict[str, Any]:
    """Return what docs/measurements/NAME.json holds, nothing where there is none."""
    return orjson.loads(_path(name).read_bytes()) if _path(name).exists() else {}


def _path(name: str) -> Path:
    return ROOT / "docs" / "measurements" / f"{name}.json"
