"""Peak memory of `convert` and `diff` on a model of the size people have: 1.2 GB, one tensor of it 0.66 GB.

    python docs/measure_memory.py FOLDER        # 5 GB free in FOLDER; what is made there is removed

Writes docs/measurements/memory.json: the largest resident set of each command with all its processes, beside the limit
of 1.5 times the largest tensor and 150 MB. Exits 1 where one is over it; a number over the limit is written all the
same. The model is `bitnet_engine.synthetic`'s, from a seed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

import bitnet_engine as engine

ARTIFACT = Path(__file__).parent / "measurements" / "memory.json"
FACTOR, ALLOWANCE = 1.5, 150_000_000
"""The limit: FACTOR times the bytes of the largest tensor, and ALLOWANCE bytes."""


def main() -> None:
    """Make the model, measure every command, and write the artifact after each: one cut short keeps what it has."""
    runs: list[dict[str, Any]] = []
    with _folder(Path(sys.argv[1])) as folder:
        i2_s, packed = folder / "model-i2_s.gguf", folder / "packed"
        for path, kind in ((i2_s, "I2_S"), (packed, "HF_PACKED")):
            _run("-m", "bitnet_engine.synthetic", path, "--type", kind)
        largest = max(tensor.nbytes for tensor in engine.inspect(i2_s).tensors)
        limit = int(FACTOR * largest) + ALLOWANCE
        facts = {"model_bytes": i2_s.stat().st_size, "largest_tensor_bytes": largest, "limit_bytes": limit}
        for command in _commands(folder, i2_s, packed):
            runs.append(_measured(command, limit))
            _write(facts, runs)
    over = [run["command"] for run in runs if not run["within"]]
    sys.exit(f"over the limit: {over}" if over else 0)


def _write(facts: dict[str, int], runs: list[dict[str, Any]]) -> None:
    artifact = {"schema": "bitnet-tui/memory", "schema_version": 1, **facts, "runs": runs, "stamp": engine.stamp()}
    ARTIFACT.parent.mkdir(exist_ok=True)
    ARTIFACT.write_bytes(orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _commands(folder: Path, i2_s: Path, packed: Path) -> Iterator[list[str | Path]]:
    yield ["info", i2_s]
    yield ["diff", packed, i2_s]
    yield ["convert", packed, folder / "again.gguf", "--type", "I2_S"]
    yield ["diff", i2_s, folder / "again.gguf"]
    for kind in ("TQ2_0", "TQ1_0"):
        yield ["convert", i2_s, folder / f"{kind}.gguf", "--type", kind]
        (folder / f"{kind}.gguf").unlink()
    yield ["convert", i2_s, folder / "packed-again", "--type", "HF_PACKED"]
    yield ["info", "--scan", i2_s]


def _measured(command: list[str | Path], limit: int) -> dict[str, Any]:
    """Run a command; its peak is that of the largest of its processes, which never work at the same time."""
    child = subprocess.Popen([sys.executable, "-m", "bitnet_tui", *map(str, command)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command}: exit code {child.returncode}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    named = " ".join(part if isinstance(part, str) else part.name for part in command)
    return {"command": named, "peak_bytes": peak, "within": peak <= limit}


def _run(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


if __name__ == "__main__":
    main()
