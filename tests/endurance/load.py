"""Much of everything: nothing lost, and memory flat. Each part is a row of docs/measurements/load.json.

    python -m tests.endurance.load                  # all parts, a quarter of an hour and more; or the names of some

| part | what |
|---|---|
| session | 50 parity runs in a row in one session of the app: its memory, threads and open files after each |
| exports | 8 exports at once into one folder: the others are exit 4, and the folder is that of a lone export |
| corpus | 1 000 000 tokens and 100 000 through `eval`: the peak of both |
| tensors | a checkpoint of 2 000 tensors through info, info --scan, diff, convert |
| shards | a checkpoint in 400 shards, likewise |
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.program import PROGRAM
from tests.endurance.artifact import NANO, ROOT, earlier, write
from tests.engine import tiny

RUNS = 50
WRITERS = 8
COPIES = 27
"""Of the shipped text, which has 38 014 tokens."""
PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""A small process between, because a child's peak begins with what its parent has."""
ID_BYTES = 4
"""Of each token of a corpus its id is kept: the text is encoded once, and how much there is is said beforehand."""
GROWTH = 1.05
"""What memory may grow to after the first fifth of the runs, or from a tenth of the tokens to all."""


def main() -> None:
    """Try the parts that the command line names, or all, and write the artifact after each."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    found = earlier("load")
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            found[name] = PARTS[name](Path(folder))
        write("load", {part: found[part] for part in PARTS if part in found})
    wrong = [name for name in sys.argv[1:] or PARTS if not found[name]["holds"]]
    sys.exit(f"does not hold: {wrong}" if wrong else 0)


def session(folder: Path) -> dict[str, Any]:
    """Run parity again and again in one app, headless."""
    os.environ |= {"BITNET_TUI_RUNS": str(folder / "runs"), "BITNET_TUI_CONFIG": str(folder / "config.toml")}
    (folder / "config.toml").touch()
    from textual.pilot import Pilot

    from bitnet_tui.app import BitnetApp

    app, rows = BitnetApp([]), list[dict[str, Any]]()
    sides = {"reference": str(NANO / "packed"), "candidate": str(NANO / "model-i2_s.gguf")}
    request = {"kind": "parity", **sides, "profile": "quantized", "max_tokens": 240, "floor_documents": 0}

    async def drive(_: Pilot[Any]) -> None:
        last = None
        for _ in range(RUNS):
            app.start_run(request)
            while not (view := _ended(app, last)):
                await asyncio.sleep(0.05)
            last = view.id
            rows.append({"verdict": view.verdict, "tokens": len(view.tokens), **_own()})
        app.exit()

    app.run(headless=True, size=(120, 40), auto_pilot=drive)
    settled = max(row["resident_bytes"] for row in rows[: max(1, RUNS // 5)])
    row = {"runs": len(rows), "recorded": len(list((folder / "runs").iterdir())), "rows": rows}
    holds = all(row["verdict"] == "PASS" and row["tokens"] == 240 for row in rows)
    holds = holds and row["recorded"] == RUNS and rows[-1]["resident_bytes"] <= GROWTH * settled
    return {"holds": holds and rows[-1]["files"] <= rows[0]["files"] + 2, **row}


def _ended(app: Any, last: str | None) -> Any:
    """Return the view of a run after `last` that has ended; None while there is none."""
    view = getattr(app.screen, "view", None)
    over = view is not None and view.id not in ("", None, last) and not view.live and app.working is None
    return view if over else None


def _own() -> dict[str, int]:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = len(list(Path("/proc/self/fd").iterdir()))
    return {
        "resident_bytes": int(status["VmRSS"].split()[0]) * 1024,
        "threads": threading.active_count(),
        "files": files,
    }


def exports(folder: Path) -> dict[str, Any]:
    """Export one comparison into one folder from several processes at once."""
    out, lone = folder / "out", folder / "lone"
    command = ["parity", NANO / "packed", NANO / "model-i2_s.gguf", "--max-tokens", "2400", "--export"]
    started = [_started([*command, out]) for _ in range(WRITERS)]
    said = [process.communicate()[1] for process in started]
    codes = sorted(process.returncode for process in started)
    assert _started([*command, lone]).wait() == 0
    same = _contents(out) == _contents(lone)
    refused = sum("another run is writing into this folder" in text for text in said)
    # Whoever comes after the first has ended may export again, to the same bytes.
    holds = same and set(codes) <= {0, 4} and 0 in codes and refused == codes.count(4)
    return {"holds": holds, "writers": WRITERS, "exit_codes": codes, "refused_by_the_lock": refused, "same_bytes": same}


def corpus(folder: Path) -> dict[str, Any]:
    """Score a million tokens, and a tenth of them."""
    texts = sorted((ROOT / "samples" / "eval").glob("*.txt"))
    (folder / "text").mkdir()
    for copy in range(COPIES):
        for text in texts:
            shutil.copy(text, folder / "text" / f"{copy:02}-{text.name}")
    command = ["eval", NANO / "model-i2_s.gguf", "--corpus", folder / "text", "--max-tokens"]
    rows = [{"tokens": count, **_measured([*command, str(count)])} for count in (100_000, 1_000_000)]
    kept = ID_BYTES * (rows[1]["tokens"] - rows[0]["tokens"])
    holds = rows[1]["peak_bytes"] <= GROWTH * rows[0]["peak_bytes"] + kept
    holds = holds and all(row["exit_code"] == 0 for row in rows)
    return {"holds": holds, "rows": rows}


def tensors(folder: Path) -> dict[str, Any]:
    """Read, compare and convert a model of 2 000 tensors."""
    packed = _deep(folder)
    gguf = folder / "model.gguf"
    rows = [_measured(["convert", packed, gguf, "--type", "I2_S"])]
    return _walked(gguf, packed, rows, _count(gguf), 2000)


def shards(folder: Path) -> dict[str, Any]:
    """Read, compare and convert a model in 400 files."""
    packed, split = _deep(folder), folder / "split"
    rows = [_measured(["convert", packed, split, "--type", "HF_PACKED", "--max-shard-size", "20KB"])]
    return _walked(split, packed, rows, len(list(split.glob("*.safetensors"))), 400)


def _walked(model: Path, other: Path, rows: list[dict[str, Any]], count: int, least: int) -> dict[str, Any]:
    back = model.parent / "back"
    for command in (
        ["info", model],
        ["info", model, "--scan"],
        ["diff", other, model],
        ["convert", model, back, "--type", "HF_PACKED"],
        ["diff", other, back],
    ):
        rows.append(_measured(command))
    return {"holds": count >= least and all(row["exit_code"] == 0 for row in rows), "count": count, "rows": rows}


def _deep(folder: Path) -> Path:
    """Write a narrow model of many layers: 11 tensors a layer as GGUF, 18 as a packed folder."""
    tiny.SIZES = replace(tiny.SIZES, layers=182)
    model = tiny.plain_model(seed=1)
    # Every storage holds what float16 holds, so that nothing is lost on the way.
    model.dense = {name: values.astype(np.float16).astype(np.float32) for name, values in model.dense.items()}
    model.ternary = {name: (trits, float(np.float16(scale))) for name, (trits, scale) in model.ternary.items()}
    return tiny.write_packed(model, folder / "packed", NANO / "packed" / "tokenizer.json")


def _count(model: Path) -> int:
    import bitnet_engine as engine

    return len(engine.inspect(model).tensors)


def _measured(command: list[Any]) -> dict[str, Any]:
    """Run a command to its end: how it ended, how long it took, and the peak of the largest of its processes."""
    begun = time.monotonic()
    words = [sys.executable, "-c", PEAK, *PROGRAM, *map(str, command)]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    said, _, peak = done.stderr.rstrip().rpartition("\n")
    named = " ".join(part.name if isinstance(part, Path) else part for part in command)
    row = {"command": named, "exit_code": done.returncode, "seconds": round(time.monotonic() - begun, 2)}
    row |= {"peak_bytes": int(peak) * 1024}
    return {**row, "said": said[-300:]} if done.returncode else row


def _started(command: list[Any]) -> subprocess.Popen[str]:
    words = [*PROGRAM, *map(str, command)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "session": session,
    "exports": exports,
    "tensors": tensors,
    "shards": shards,
    "corpus": corpus,
}

if __name__ == "__main__":
    main()
