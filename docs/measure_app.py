"""How fast the app is, in a real terminal: from process start to the first picture, and from a key to its repaint.

    python docs/measure_app.py

Writes docs/measurements/app.json: seconds to the first paint of Inspect on the sample; milliseconds from a key to the
bytes that answer it on the Parity screen, with a run of 4 000 tokens; and the memory of the app after each of five
replays of 10 000 events, which has to stay flat. Under two minutes. The run repeats the tokens of the tour's.
"""

import asyncio
import itertools
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from fcntl import ioctl
from pathlib import Path
from statistics import median
from termios import TIOCSWINSZ

import orjson

import bitnet_engine as engine

ROOT = Path(__file__).resolve().parents[1]
ARTIFACT = ROOT / "docs" / "measurements" / "app.json"
MODEL = ROOT / "samples" / "nano" / "model-i2_s.gguf"
DEMO = ROOT / "samples" / "demo" / "events.jsonl"
ROWS, COLUMNS = 40, 120
LIMITS = {"first_paint_seconds": 1.0, "key_to_repaint_ms": 50.0, "growth_bytes": 8 << 20}
KEYS = {"right": b"\x1b[C", "left": b"\x1b[D", "next": b"n", "table": b"c", "measure": b"m"}


class Screen:
    """The app in a terminal of its own."""

    def __init__(self, argument: Path, folder: Path) -> None:
        self.begun = time.perf_counter()
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "BITNET_TUI_RUNS": str(folder / "runs")}
            os.execv(sys.executable, [sys.executable, "-m", "bitnet_tui", str(argument)])
        ioctl(self._terminal, TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def wait(self, text: bytes) -> float:
        """Return the seconds from the start until `text` has been drawn."""
        seen = b""
        while text not in seen:
            seen = seen[-4096:] + self._read(20.0)
        return time.perf_counter() - self.begun

    def quiet(self, seconds: float = 0.3) -> None:
        """Read until nothing has been drawn for some time."""
        while select.select([self._terminal], [], [], seconds)[0]:
            os.read(self._terminal, 1 << 16)

    def press(self, key: bytes) -> float:
        """Return the seconds from a key to the first bytes of its repaint."""
        begun = time.perf_counter()
        os.write(self._terminal, key)
        self._read(20.0)
        return time.perf_counter() - begun

    def _read(self, seconds: float) -> bytes:
        if not select.select([self._terminal], [], [], seconds)[0]:
            raise SystemExit("the app drew nothing")
        return os.read(self._terminal, 1 << 16)

    def close(self) -> None:
        """End the app."""
        os.kill(self._pid, signal.SIGTERM)
        self.quiet(0.5)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)


def make_run(path: Path, tokens: int) -> Path:
    """Write a finished run of `tokens` tokens."""
    lines = [json.loads(line) for line in DEMO.read_bytes().splitlines()]
    known = [line for line in lines if line["event"] == "token"]
    some = itertools.islice(itertools.cycle(known), tokens)
    events = [lines[0], *({**event, "index": index} for index, event in enumerate(some)), lines[-1]]
    path.mkdir(parents=True)
    (path / "events.jsonl").write_bytes(b"".join(orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in events))
    return path


def first_paint(folder: Path) -> list[float]:
    """Return the seconds until the facts of the sample are on the screen, five times."""
    found = []
    for _ in range(5):
        screen = Screen(MODEL, folder)
        found.append(screen.wait(b"68 tensors"))
        screen.close()
    return found


def key_times(folder: Path) -> dict[str, list[float]]:
    """Return milliseconds from each key to its repaint, twenty times."""
    screen = Screen(make_run(folder / "4k", 4000), folder)
    screen.wait(b"replay")
    screen.quiet(1.0)
    found: dict[str, list[float]] = {}
    for name, key in KEYS.items():
        found[name] = []
        for _ in range(20):
            found[name].append(1000 * screen.press(key))
            screen.quiet(0.05)
    screen.close()
    return found


def memory(folder: Path) -> list[int]:
    """Return the resident bytes of a process that has shown a run of 10 000 events once, twice, … five times."""
    run = make_run(folder / "10k", 10_000)
    done = subprocess.run([sys.executable, __file__, "replay", str(run)], capture_output=True, check=True)
    return list(orjson.loads(done.stdout))


async def replay(run: str) -> None:
    """Show `run` five times in one app, and print its resident bytes after each."""
    from bitnet_tui.app import BitnetApp
    from bitnet_tui.screens.parity import ParityScreen

    sizes = []
    app = BitnetApp([])
    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        for _ in range(5):
            app.open_path(run)
            await pilot.pause(0.2)
            while not (isinstance(app.screen, ParityScreen) and app.screen.view.tokens and not app.screen.busy):
                await pilot.pause(0.05)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sizes.append(pages * os.sysconf("SC_PAGE_SIZE"))
    sys.stdout.write(json.dumps(sizes))


def main() -> None:
    """Measure, write the artifact, and exit 1 where something is over its limit."""
    with tempfile.TemporaryDirectory() as name:
        paints, keys, sizes = first_paint(Path(name)), key_times(Path(name)), memory(Path(name))
    found = {
        "first_paint_seconds": median(paints),
        "key_to_repaint_ms": max(median(times) for times in keys.values()),
        # The first two replays fill what is kept for the next.
        "growth_bytes": sizes[-1] - sizes[1],
    }
    within = {name: value <= LIMITS[name] for name, value in found.items()}
    artifact = {"schema": "bitnet-tui/app", "schema_version": 1, **found, "limits": LIMITS, "within": within}
    artifact |= {"first_paints": paints, "keys_ms": keys, "resident_bytes": sizes, "stamp": engine.stamp()}
    ARTIFACT.write_bytes(orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    over = [name for name, fits in within.items() if not fits]
    sys.exit(f"over the limit: {over}" if over else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["replay"]:
        asyncio.run(replay(sys.argv[2]))
    else:
        main()
