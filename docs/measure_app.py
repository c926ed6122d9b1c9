"""How quick the app is in a terminal: first paint, key to repaint, and its memory over long replays.

    python docs/measure_app.py [first-paint] [keys] [layers] [live] [memory]       # all of them where none is named

Each piece takes under 45 seconds and replaces its part of docs/measurements/app.json, so that a busy machine can be
given a piece at a time. The program runs in a pseudo-terminal of 120 × 40: a time is that from the key's byte, or from
the start of the process, to the byte that ends the text which answers it. Exits 1 where a median is over its limit; it
is written all the same.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import orjson

import bitnet_engine as engine

ROOT = Path(__file__).resolve().parents[1]
ARTIFACT = ROOT / "docs" / "measurements" / "app.json"
NANO, DEMO = ROOT / "samples" / "nano", ROOT / "samples" / "demo" / "events.jsonl"
STARTS, KEYS, REPLAYS = 7, 30, 5
TOKENS, LAYERS, EVENTS = 4000, 30, 10_000
PATIENCE = 30.0
LEFT, RIGHT, HOME = b"\x1b[D", b"\x1b[C", b"\x1b[H"


class Terminal:
    """A program in a pseudo-terminal, and all that it has written."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self.begun = time.perf_counter()
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "TEXTUAL_ANIMATIONS": "none", **env}
            for name in ("COLUMNS", "LINES", "NO_COLOR"):
                os.environ.pop(name, None)
            os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **settings})
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._written = b""

    def until(self, pattern: bytes) -> float:
        """Return the time at which what was written since the last key matches `pattern`."""
        deadline = time.perf_counter() + PATIENCE
        while not re.search(pattern, self._written):
            if time.perf_counter() > deadline:
                sys.exit(f"{pattern!r} was never shown; the last bytes were {self._written[-400:]!r}")
            self._read(0.5)
        return time.perf_counter()

    def press(self, key: bytes, pattern: bytes) -> float:
        """Press a key and return the seconds until `pattern` is shown."""
        while self._read(0.1):
            pass  # what an earlier key has caused
        self._written = b""
        begun = time.perf_counter()
        os.write(self._file, key)
        return self.until(pattern) - begun

    def press_at_once(self, key: bytes, pattern: bytes) -> float:
        """Press a key while the screen changes by itself, and return the seconds until `pattern` is shown."""
        self._written = b""
        begun = time.perf_counter()
        os.write(self._file, key)
        return self.until(pattern) - begun

    def _read(self, seconds: float) -> bool:
        if not select.select([self._file], [], [], seconds)[0]:
            return False
        try:
            self._written += os.read(self._file, 1 << 16)
        except OSError:
            sys.exit(f"the program has ended; its last bytes were {self._written[-400:]!r}")
        return True

    def resident(self) -> int:
        """Return the bytes that the program has in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        """End the program, which ends its child processes."""
        os.kill(self.pid, signal.SIGTERM)
        with open(self._file, "rb", buffering=0) as stream, suppress(OSError):  # once the other end is gone
            while stream.read(1 << 16):
                pass
        os.waitpid(self.pid, 0)


@contextmanager
def program(*arguments: str) -> Iterator[Terminal]:
    """Run the program, with a folder of runs of its own."""
    with tempfile.TemporaryDirectory(prefix="measure-app-") as folder:
        Path(folder, "config.toml").touch()
        terminal = Terminal(*arguments, BITNET_TUI_RUNS=folder, BITNET_TUI_CONFIG=f"{folder}/config.toml")
        try:
            yield terminal
        finally:
            terminal.close()


@contextmanager
def recorded(count: int) -> Iterator[tuple[Path, Terminal]]:
    """Run the program on a recorded run of `count` tokens."""
    with tempfile.TemporaryDirectory(prefix="measure-app-") as folder:
        run = _run(Path(folder), count)
        with program("-m", "bitnet_tui", str(run)) as terminal:
            yield run, terminal


def first_paint() -> Iterator[dict[str, Any]]:
    """Start on the sample; the first frame is there when its header line is."""
    frames, facts = [], []
    for _ in range(STARTS + 1):
        with program("-m", "bitnet_tui", str(NANO / "model-i2_s.gguf")) as terminal:
            frames.append(terminal.until(rb"Runs") - terminal.begun)
            facts.append(terminal.until(rb"68 tensors") - terminal.begun)
    # The first start fills the page cache, and is no sample.
    yield measure("process start to first frame", frames[1:], 1000)
    yield measure("process start to the facts of the sample", facts[1:], 1000)


def keys() -> Iterator[dict[str, Any]]:
    """Step through a replay of 4 000 tokens, and jump from difference to difference."""
    with recorded(TOKENS) as (_, terminal):
        terminal.until(rb"replay")
        terminal.press(HOME, rb" 1/%d" % TOKENS)
        steps = [terminal.press(RIGHT, rb" %d/%d" % (i, TOKENS)) for i in range(2, 2 + KEYS)]
        jumps = [terminal.press(b"n", rb"\d/%d" % TOKENS) for _ in range(KEYS)]
        tables = [terminal.press(b"c", rb"\d/%d" % TOKENS) for _ in range(KEYS // 3)]
    yield measure(f"right: the next of {TOKENS} tokens", steps, 50)
    yield measure(f"n: the next difference of {TOKENS} tokens", jumps, 50)
    yield measure(f"c: text, table, differences of {TOKENS} tokens", tables, 50)


def layers() -> Iterator[dict[str, Any]]:
    """Move over a map of 30 layers."""
    with program(__file__, "--layers") as terminal:
        terminal.until(rb"layer 0 ")
        steps = [terminal.press(RIGHT, rb"layer %d " % i) for i in range(1, LAYERS)]
    yield measure(f"right: the next of {LAYERS} layers", steps, 50)


def live() -> Iterator[dict[str, Any]]:
    """Step through a parity run of the sample while it goes on."""
    sides = [str(NANO / "packed"), str(NANO / "model-i2_s.gguf")]
    with program("-m", "bitnet_tui", *sides) as terminal:
        terminal.until(rb"tok/s")
        terminal.press_at_once(HOME, rb" 1/\d")
        steps = [terminal.press_at_once(RIGHT, rb" %d/\d" % i) for i in range(2, 2 + KEYS)]
    yield measure("right: the next token while a run is live", steps, 100)


def memory() -> Iterator[dict[str, Any]]:
    """Replay 10 000 events again and again in one session."""
    sizes = []
    with recorded(EVENTS) as (run, terminal):
        for _ in range(REPLAYS):
            terminal.until(rb"replay")
            terminal.press(HOME, rb" 1/%d" % EVENTS)
            sizes.append(terminal.resident())
            terminal.press(b"o", rb"open")
            terminal.press(str(run).encode() + b"\r", rb"reading|replay")
    grown = 100 * (sizes[-1] / sizes[1] - 1)
    what = f"memory after {REPLAYS} replays of {EVENTS} events, over that after two"
    yield {
        "what": what,
        "unit": "%",
        "value": grown,
        "limit": 5.0,
        "within": grown <= 5.0,
        "samples": [size / 1e6 for size in sizes],
        "unit_of_samples": "MB",
    }


def measure(what: str, seconds: list[float], limit_ms: float) -> dict[str, Any]:
    """Return a measure: the median of its samples, beside its limit, in milliseconds."""
    samples = [1e3 * each for each in seconds]
    value = median(samples)
    return {
        "what": what,
        "unit": "ms",
        "value": value,
        "limit": limit_ms,
        "within": value <= limit_ms,
        "samples": samples,
        "unit_of_samples": "ms",
    }


PIECES: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    "first-paint": first_paint,
    "keys": keys,
    "layers": layers,
    "live": live,
    "memory": memory,
}


def _run(folder: Path, count: int) -> Path:
    """Write a run of `count` tokens: those of the tour's recorded run, again and again."""
    lines = DEMO.read_bytes().splitlines(keepends=True)
    is_token = [line.startswith(b'{"event":"token"') for line in lines]
    first = is_token.index(True)
    tokens = [line for line, token in zip(lines, is_token, strict=True) if token]
    numbered = [re.sub(rb'"index":\d+', b'"index":%d' % i, tokens[i % len(tokens)], count=1) for i in range(count)]
    rest = [line for line, token in zip(lines[first:], is_token[first:], strict=True) if not token]
    path = folder / "events.jsonl"
    path.write_bytes(b"".join([*lines[:first], *numbered, *rest]))
    return path


def _show_layers() -> None:
    """Run the app on a finding of 30 layers that is made up: what is measured is the drawing of it."""
    from bitnet_tui.app import BitnetApp
    from bitnet_tui.core.layers_view import LayersView
    from bitnet_tui.screens.layers import LayersScreen

    names = [f"operation_{i}" for i in range(20)]
    operations = [
        {"layer": layer, "operation": name, "residual": 1e-5 * (layer + 1), "tolerance": 2e-6, "cause": None}
        for layer in range(LAYERS)
        for name in names
    ]
    view = LayersView()
    head = {"verdict": "UNEXPLAINED", "causes": [], "unexplained": [], "first": None, "proof": None}
    view.feed({"event": "report", "report": {**head, "operations": operations}})

    class Opened(BitnetApp):
        def on_mount(self) -> None:
            self.call_later(self._show)

        def _show(self) -> None:
            screen = LayersScreen("made up", {"candidate": ""}, view)
            self.push_screen(screen)

    Opened().run()


def main() -> None:
    """Measure the named pieces and put them into the artifact."""
    if sys.argv[1:] == ["--layers"]:
        _show_layers()
        return
    wanted = sys.argv[1:] or list(PIECES)
    if unknown := [name for name in wanted if name not in PIECES]:
        sys.exit(f"{unknown[0]}: is no piece; {', '.join(PIECES)} are.")
    known = orjson.loads(ARTIFACT.read_bytes())["pieces"] if ARTIFACT.exists() else {}
    for name in wanted:
        known[name] = {"measures": list(PIECES[name]()), "stamp": engine.stamp()}
        pieces = {piece: known[piece] for piece in PIECES if piece in known}
        artifact = {"schema": "bitnet-tui/app", "schema_version": 1, "pieces": pieces}
        ARTIFACT.write_bytes(orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    measured = [one for name in wanted for one in known[name]["measures"]]
    over = [f"{one['what']} ({one['value']:.1f} {one['unit']})" for one in measured if not one["within"]]
    sys.exit(f"over the limit: {'; '.join(over)}" if over else 0)


if __name__ == "__main__":
    main()
