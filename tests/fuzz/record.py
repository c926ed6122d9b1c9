"""Every fuzzer for a while, one after another, and what came of it: docs/measurements/fuzz.json.

    python -m tests.fuzz.record 600                  # seconds each; or with names of targets after it

Each target runs in a process of its own (tests/fuzz/run.py), in a folder of its own where a crash leaves its input. The
artifact is written after each, so that one cut short keeps what it has; targets that are named replace their own rows.
Exits 1 where one crashed, hung or took too much memory; its row says how it ended.
"""

import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

import bitnet_engine as engine
from bitnet_engine.files import write_atomic
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
ARTIFACT = ROOT / "docs" / "measurements" / "fuzz.json"
STATISTICS = {
    "executions": r"stat::number_of_executed_units: +(\d+)",
    "slowest_seconds": r"stat::slowest_unit_time_sec: +(\d+)",
    "peak_rss_mb": r"stat::peak_rss_mb: +(\d+)",
    "coverage": r"cov: (\d+)",
    "corpus": r"corp: (\d+)",
}
"""What libFuzzer prints; `coverage` counts edges of our own functions, the last that is told holds."""
WITHOUT_ATHERIS = r": (\d+) inputs in"


def main() -> None:
    """Run the targets of the command line, or all."""
    seconds, names = int(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    crashed = []
    for name in names:
        row = measured(name, seconds)
        _write({**_earlier(), name: row})  # read again: two may run, of other targets
        crashed += [name] * (row["exit_code"] != 0)
    sys.exit(f"crashed: {', '.join(crashed)}" if crashed else 0)


def measured(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one target and return its row."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        command = [sys.executable, "-m", "tests.fuzz.run", name, str(seconds)]
        # In the folder: what crashes is written to where the process stands.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        with (Path(folder) / "log").open("w+", errors="replace") as log:
            done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
            log.seek(0)
            said = log.read()
        found = [path for kind in ("crash", "timeout", "oom", "leak") for path in Path(folder).glob(f"{kind}-*")]
        inputs = {path.name: path.read_bytes().hex() for path in sorted(found)}
    row = {"target": name, "seconds": seconds, "exit_code": done.returncode, **statistics(said)}
    return {**row, "crashes": inputs, "last_lines": said.splitlines()[-25:] if done.returncode else []}


def statistics(said: str) -> dict[str, int | str | None]:
    """Return what a run printed of itself; None for what it did not."""
    guided = "stat::number_of_executed_units" in said
    rules = STATISTICS if guided else {**STATISTICS, "executions": WITHOUT_ATHERIS}
    found = {key: int(values[-1]) if (values := re.findall(rule, said)) else None for key, rule in rules.items()}
    return {"by": f"atheris {version('atheris')}" if guided else "hypothesis", **found}


def _earlier() -> dict[str, dict[str, Any]]:
    if not ARTIFACT.exists():
        return {}
    return {row["target"]: row for row in orjson.loads(ARTIFACT.read_bytes())["targets"]}


def _write(found: dict[str, dict[str, Any]]) -> None:
    rows = [found[name] for name in TARGETS if name in found]
    artifact = {
        "schema": "bitnet-tui/fuzz",
        "schema_version": 1,
        "command": "python -m tests.fuzz.record SECONDS",
        "targets": rows,
        "stamp": engine.stamp(),
    }
    write_atomic(ARTIFACT, orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
