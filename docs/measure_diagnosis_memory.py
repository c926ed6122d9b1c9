"""Peak memory of `diagnose` on a pair of the size people have: 30 layers, 2.4 thousand million weights, one fault.

    python docs/measure_diagnosis_memory.py MODEL.gguf FOLDER   # 3 GB free in FOLDER; what is made there is removed

MODEL is one of `python -m bitnet_engine.synthetic`; the candidate is a copy of it with a fault of the library in one
of its last ten layers. Writes docs/measurements/diagnosis-memory.json: the largest resident set of the command with
all its processes, what it found, how long it took, and what a Ctrl-C in the middle of it leaves: nothing. Exits 1
where the fault is not found, or something is left.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

import bitnet_engine as engine
from bitnet_engine.config import Config
from bitnet_parity import faults

ARTIFACT = Path(__file__).parent / "measurements" / "diagnosis-memory.json"
FAULT, LAST_LAYERS = "rows-zero", 10
INTERRUPTED = 4
"""The second diagnosis is interrupted after this part of the first one's time: it may have less to wait for."""


def main() -> None:
    """Plant the fault, diagnose the pair, interrupt a second diagnosis, and write the artifact."""
    # Whoever is started in the background ignores interrupts, and so would the commands that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    model, parent = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        (scratch := folder / "scratch").mkdir()
        candidate, truth = _planted(model, folder)
        command = [sys.executable, "-m", "bitnet_tui", "diagnose", str(model), str(candidate)]
        found, peak, seconds = _diagnosed(command, scratch)
        interrupted = _interrupted(command, scratch, seconds / INTERRUPTED)
    named = [cause["name"] for cause in found["causes"] if cause["layer"] == truth.layer]
    artifact = {
        "schema": "bitnet-tui/diagnosis-memory",
        "schema_version": 1,
        "model_bytes": model.stat().st_size,
        "tokens": len(found["tokens"]),
        "operations": len(found["operations"]),
        "fault": truth.to_json(),
        "verdict": found["verdict"],
        "named": named,
        "sentences": [cause["sentence"] for cause in found["causes"]],
        "proof": found["proof"],
        "peak_bytes": peak,
        "seconds": seconds,
        "interrupted": interrupted,
        "stamp": engine.stamp(),
    }
    ARTIFACT.write_bytes(orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.exit(0 if named == [FAULT] and interrupted == {"exit_code": 130, "files_left": 0} else "not as it should be")


def _planted(model: Path, folder: Path) -> tuple[Path, faults.Injected]:
    """Return a copy with the fault in one of the last layers: the first seed that puts it there."""
    candidate, layers = folder / "candidate.gguf", _layers(model)
    for seed in range(1, 20):
        truth = faults.inject_file(model, candidate, FAULT, seed, engine.QuantType.I2_S)
        if truth.layer is not None and truth.layer >= layers - LAST_LAYERS:
            return candidate, truth
        candidate.unlink()
    sys.exit("no seed puts the fault into one of the last layers")


def _layers(model: Path) -> int:
    with engine.open_checkpoint(model) as checkpoint:
        return Config.from_checkpoint(checkpoint).layers


def _diagnosed(command: list[str], scratch: Path) -> tuple[dict[str, Any], int, float]:
    """Return the finding, the peak of the largest of the command's processes in bytes, and seconds on the wall."""
    begun, report = time.monotonic(), scratch.parent / "finding.json"
    with report.open("wb") as out:
        child = subprocess.Popen([*command, "--json"], stdout=out, env=_environment(scratch))
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1, 5):
        sys.exit(f"diagnose: exit code {child.returncode}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return orjson.loads(report.read_bytes()), peak, time.monotonic() - begun


def _interrupted(command: list[str], scratch: Path, seconds: float) -> dict[str, int]:
    """Press Ctrl-C after that time; return the exit code and how many files there are more than before."""
    folder = scratch.parent
    before = set(folder.rglob("*"))
    repaired = ["--write-repaired", str(folder / "repaired.gguf")]
    child = subprocess.Popen([*command, *repaired], stdout=subprocess.DEVNULL, env=_environment(scratch))
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
    return {"exit_code": child.wait(), "files_left": len(set(folder.rglob("*")) - before)}


def _environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(scratch), "BITNET_TUI_COMPILED": "off"}


if __name__ == "__main__":
    main()
