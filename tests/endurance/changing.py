"""A checkpoint that is cut or overwritten while a command reads it: exit 4, or the answer of the file as it was.

    python -m tests.endurance.changing 20           # moments of each command and change; or commands after it

Real processes, workers included: every read of the file is counted in them, and at a read chosen at random from a seed
the file changes. Writes docs/measurements/changing.json after each row; a row of commands not named stays as it was.
tests/badfiles/test_changing.py is the short form of this, in one process.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.program import PROGRAM
from tests.endurance.artifact import NANO, ROOT, earlier, write

HOOK = """
import os
PATH, AT, KIND, COUNT = (os.environ[f"CHANGE_{name}"] for name in ("PATH", "AT", "KIND", "COUNT"))
inode, pread = os.stat(PATH).st_ino, os.pread

def change():
    before = os.stat(PATH)
    if KIND == "cut":
        os.truncate(PATH, before.st_size // 2)
        return
    with open(PATH, "r+b") as file:
        data = file.read()
        file.seek(0)
        file.write(bytes(255 - byte for byte in data))
    os.utime(PATH, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

def counted(descriptor, size, offset):
    if os.fstat(descriptor).st_ino == inode:
        with open(COUNT, "ab") as file:
            file.write(b".")
            number = file.tell()
        if number == int(AT):
            change()
    return pread(descriptor, size, offset)

os.pread = counted
"""
"""Becomes sitecustomize: every process of the command counts its reads of the file, and changes it at one of them."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "info --scan": ("info", "{model}", "--scan"),
    "tokenize": ("tokenize", "{model}", "The people of"),
    "generate": ("generate", "{model}", "The people of", "-n", "4"),
    "eval": ("eval", "{model}", "--max-tokens", "24"),
    "parity": ("parity", "{sound}", "{model}", "--max-tokens", "24", "--noise-floor", "0"),
    "diff": ("diff", "{sound}", "{model}"),
    "convert": ("convert", "{model}", "{out}", "--type", "TQ2_0"),
    "verify": ("verify", "{model}", "--runs", "2", "--tokens", "4"),
    "record": ("record", "{model}", "{out}", "--max-tokens", "24"),
    "diagnose": ("diagnose", "{sound}", "{model}", "--tokens", "8"),
    "capture": ("capture", "{model}", "--tokens", "8", "--export", "{out}"),
}
RIGHT = (0, 1, 5)
"""Exit codes of an answer; which one it is, the untouched run says."""


def main() -> None:
    """Try every command, or those of the command line, and write the artifact after each."""
    moments, names = int(sys.argv[1]), sys.argv[2:] or list(COMMANDS)
    rows = {(row["command"], row["change"]): row for row in earlier("changing").get("runs", [])}
    for name in names:
        for kind in ("cut", "overwritten"):
            rows[name, kind] = tried(name, COMMANDS[name], kind, moments)
            write("changing", {"runs": [rows[key] for key in sorted(rows)]})
    wrong = [f"{name} {kind}" for (name, kind), row in rows.items() if row["wrong"]]
    sys.exit(f"wrong: {wrong}" if wrong else 0)


def tried(name: str, words: tuple[str, ...], kind: str, moments: int) -> dict[str, Any]:
    """Change the file at `moments` reads of a command, and count the answers; `wrong` are those that are neither."""
    right, total = answer(words, kind, 0)
    row: dict[str, Any] = {"command": name, "change": kind, "reads": total, "moments": moments}
    row |= {"refused": 0, "unchanged": 0, "wrong": []}
    chosen = random.Random(f"{name} {kind}")
    for moment in sorted(chosen.choices(range(1, total + 1), k=moments)):
        found, _ = answer(words, kind, moment)
        if found[0] == 4 and "changed while it was read" in found[2]:
            row["refused"] += 1
        elif found[:2] == right[:2] and found[0] in RIGHT:
            row["unchanged"] += 1
        else:
            row["wrong"].append({"read": moment, "exit_code": found[0], "said": found[2][-300:]})
    return row


def answer(words: tuple[str, ...], kind: str, moment: int) -> tuple[tuple[int, str, str], int]:
    """Run a command on a fresh copy whose read number `moment` changes it; its answer, and how often it read."""
    with tempfile.TemporaryDirectory(prefix="changing-") as name:
        folder = Path(name)
        for file in ("model.gguf", "sound.gguf"):
            shutil.copy(NANO / "model-i2_s.gguf", folder / file)
        (folder / "sitecustomize.py").write_text(HOOK)
        (folder / "count").touch()
        places = {
            "model": "model.gguf",
            "sound": "sound.gguf",
            "out": "out" if words[0] in ("record", "capture") else "out.gguf",
        }
        command = [*PROGRAM, *(word.format(**places) for word in words)]
        told = {"PATH": folder / "model.gguf", "AT": moment, "KIND": kind, "COUNT": folder / "count"}
        environment = {f"CHANGE_{key}": str(value) for key, value in told.items()}
        environment |= {"PYTHONPATH": f"{folder}:{ROOT}", "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        said = re.sub(r"[\d.]+ (s|ms|tok/s)\b", "", done.stdout)  # times are no part of an answer
        return (done.returncode, said, done.stderr), (folder / "count").stat().st_size


if __name__ == "__main__":
    main()
