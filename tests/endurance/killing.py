"""kill -9 at random moments of export, resume and convert; and disks without space. Old or new, never a third state.

    python -m tests.endurance.killing 20            # moments of each; or with the names of parts after it

The command's process dies at a time chosen at random from a seed, and its worker with it or by its leash. An export is
then resumed, killed again, and in the end is the bytes of one that was never interrupted; a conversion leaves the older
file or the whole new one, and the next conversion leaves nothing of the killed ones. Disks are RLIMIT_FSIZE and, where
this may be mounted, a small tmpfs. Writes docs/measurements/killing.json.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.program import PROGRAM
from tests.endurance.artifact import NANO, ROOT, earlier, write

SCORED = ("--max-tokens", "400", "--context", "32", "--noise-floor", "0", "--candidate-numerics", "float")
OLD = b"what was there before"
BOUND = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""


def main() -> None:
    """Kill, fill, and write the artifact after each part."""
    moments, found = int(sys.argv[1]), earlier("killing")
    names = sys.argv[2:] or list(PARTS)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="killing-") as folder:
            found[name] = PARTS[name](Path(folder), moments)
        write("killing", {part: found[part] for part in PARTS if part in found})
    wrong = [name for name in names if found[name]["wrong"]]
    sys.exit(f"wrong: {wrong}" if wrong else 0)


def exported(folder: Path, moments: int) -> dict[str, Any]:
    """Kill an export at a moment, then its resumption at another, then let it end; `moments` times."""
    command = ["parity", NANO / "packed", NANO / "model-i2_s.gguf", *SCORED, "--export"]
    whole, begun = folder / "whole", time.monotonic()
    assert run(*command, whole).returncode in (0, 1, 5)
    lasts, new = time.monotonic() - begun, contents(whole)
    chosen, row = random.Random("export"), {"moments": moments, "kills": 0, "seconds": lasts, "wrong": list[str]()}
    for moment in range(moments):
        out = folder / f"out-{moment}"
        for resume in ((), ("--resume",)):
            row["kills"] += killed([*command, out, *resume], chosen.uniform(0, lasts))
            row["wrong"] += [f"{moment}: {name} is neither" for name in torn(out, new)]
        # Exit 4 is the folder still held by the last worker, which ends in seconds: ask again.
        while (done := run(*command, out, "--resume")).returncode == 4:
            pass
        left = contents(out)
        row["wrong"] += [f"{moment}: ended in other bytes: {done.stderr[-200:]}"] * (left != new)
    return row


def torn(out: Path, new: dict[str, bytes]) -> list[str]:
    """Return the artifacts of an export that are there and not whole; of hidden ones nothing is promised."""
    found = contents(out) if out.exists() else {}
    return [name for name, data in found.items() if not name.startswith(".") and new.get(name) != data]


def converted(folder: Path, moments: int) -> dict[str, Any]:
    """Kill a conversion over an older file at a moment, `moments` times; then convert, and look what is left."""
    place = folder / "models"
    place.mkdir()
    target = place / "model.gguf"
    command = ["convert", NANO / "packed", target, "--type", "TQ2_0", "--force"]
    begun = time.monotonic()
    assert run(*command).returncode == 0
    lasts, new = time.monotonic() - begun, target.read_bytes()
    chosen, row = random.Random("convert"), {"moments": moments, "kills": 0, "old": 0, "new": 0, "wrong": list[str]()}
    for moment in range(moments):
        target.write_bytes(OLD)
        row["kills"] += killed(command, chosen.uniform(0, lasts))
        state = {OLD: "old", new: "new"}.get(target.read_bytes())
        if state is None:
            row["wrong"].append(f"{moment}: neither the old file nor the new one")
        else:
            row[state] += 1
    # The last worker may live for a moment: the target is its own until it ends.
    while run(*command).returncode == 4:
        pass
    row["left"] = sorted(path.name for path in place.iterdir())
    row["wrong"] += ["strays stay"] * (row["left"] != [target.name])
    return row


FILLING: dict[str, tuple[object, ...]] = {
    "info": ("info", NANO / "model-i2_s.gguf", "--export", "{}"),
    "parity": ("parity", NANO / "packed", NANO / "model-i2_s.gguf", *SCORED, "--export", "{}"),
    "record": ("record", NANO / "packed", "{}/recording", "--max-tokens", "400"),
    "capture": ("capture", NANO / "packed", "--tokens", "64", "--export", "{}/capture"),
    "convert": ("convert", NANO / "packed", "{}/model.gguf", "--type", "TQ2_0", "--force"),
    "preserve": ("preserve", NANO / "packed", "--into", "{}"),
}
KEPT = ("info.json", "report.json", "model.gguf")


def full(folder: Path, _moments: int) -> dict[str, Any]:
    """Run every command that writes onto disks that end, over older files; each must end with exit 4 and keep them."""
    row: dict[str, Any] = {"commands": list(FILLING), "disks": ["RLIMIT_FSIZE 3 kB"], "wrong": []}
    for name, words in FILLING.items():
        row["wrong"] += without_space(folder / f"limit-{name}", words, [sys.executable, "-c", BOUND, "3000"])
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0:
        row["disks"].append("tmpfs of 256 kB, 8 kB of them free")
        try:
            for name, words in FILLING.items():
                row["wrong"] += without_space(disk / name, words, [], disk / "filling")
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return row


def without_space(out: Path, words: Sequence[object], before: list[str], filling: Path | None = None) -> list[str]:
    """Run a command whose disk ends, two pages after what `filling` takes; return what is wrong with how it ended."""
    if filling is not None:
        filling.unlink(missing_ok=True)
    out.mkdir()
    for name in KEPT:
        (out / name).write_bytes(OLD)
    if filling is not None:
        filling.write_bytes(bytes(os.statvfs(out).f_bavail * os.statvfs(out).f_frsize - 8192))
    command = [*before, *PROGRAM, *(str(word).format(out) for word in words)]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    left = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and not path.name.startswith(".")}
    problems = [f"{words[0]}: exit {done.returncode}: {done.stderr[-200:]}"] * (done.returncode != 4)
    return problems + [f"{words[0]}: {left.keys()} changed"] * (left != dict.fromkeys(KEPT, OLD))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their names."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def killed(command: Sequence[object], after: float) -> bool:
    """Start a command, kill it after `after` seconds, and return whether it still ran."""
    words = [*PROGRAM, *map(str, command)]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    words = [*PROGRAM, *map(str, command)]
    return subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    """Return the environment of every command here."""
    return {**os.environ, "JAX_PLATFORMS": "cpu"}


PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {"exported": exported, "converted": converted, "full": full}

if __name__ == "__main__":
    main()
