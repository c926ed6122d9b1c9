"""Names, tokens, metadata and artifacts full of escape sequences, through every screen and every plain display.

What is read is what reaches the terminal, byte for byte: after our own control sequences are taken out of it, nothing
may be left that a terminal obeys or that reorders what a person reads.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.badfiles.builders import Tensor, gguf_file, string, strings
from tests.e2e.terminal import ROOT, Terminal, available

CORPUS = (
    *(
        "\x1b[3J",
        "\x1b[31mred",
        "\x1b]0;title\x07",
        "\x1b]52;p;UFdO\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bP1$q\x1b\\",
        "\x1bc",
    ),
    *("\x9b31m", "\x9d0;t\x9c", "\x90q", "\x07bell", "back\x08\x08", "\x7fdel", "cr\rover", "\x0eshift", "tab\tstop"),
    *("\u202egnp.exe", "\u2066iso\u2069", "\u200bzero", "\ufeffbom", "\u2028line", "\U000e0041tag", "\u0301mark"),
    *(
        "[/nope]",
        "[@click=app.quit]x[/]",
        "[bold red]",
        "{{ 7*7 }}",
        "{% x %}",
        "%1000000000d",
        "日本語",
        "👩‍👩‍👧",
        "a" * 300,
    ),
)
"""Payloads; the last few are only odd."""

OURS = re.compile(
    rb"\x1b\[(?:(?:[0-9]|2[0-9]|[34]8;2;\d+;\d+;\d+)(?:;|(?=m)))*m"  # styles: numbers, and colours as three bytes
    rb"|\x1b\[\d+;\d+H"  # where a piece of a line goes
    rb"|\x1b\[\?\d+(?:;\d+)*[hl]|\x1b\[\?\d+\$p|\x1b\[[<>=]\d*u|\x1b\[\?u"  # modes, asked for and given back
    rb"|\x1b\[\d+;\d+;\d+t|\x1b\[\d* q"
    rb"|\x1b\]22;[a-z-]+\x07|\x1b\]52;c;[A-Za-z0-9+/=]*\x07"  # the mouse's shape; what `y` copies, in base64
)
UNSEEN = "\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\ufeff"
"""Beside bidi controls and tags: characters without width, and separators of lines."""


def left_over(written: bytes) -> list[str]:
    """Return what a terminal would obey, or hide, in what was written beside our own sequences."""
    text = OURS.sub(b"", written).decode("utf-8")
    odd = lambda c: (ord(c) < 32 and c not in "\r\n") or 0x7F <= ord(c) < 0xA0 or c in UNSEEN  # noqa: E731
    hidden = lambda c: "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" or "\U000e0000" <= c <= "\U000e007f"  # noqa: E731
    return [repr(text[max(0, at - 20) : at + 20]) for at, c in enumerate(text) if odd(c) or hidden(c)]


def payload(number: int) -> str:
    return CORPUS[number % len(CORPUS)]


KEPT = ("schema", "schema_version", "kind", "unit", "better", "status", "verdict", "event", "id")
COMPUTED = ("sha256", "numerics", "head_type")
"""Words of our own, not a file's."""


def hostile(value, number=0):
    """Return JSON with every text that a file decides turned into a payload."""
    if isinstance(value, dict):
        own = (*KEPT, *COMPUTED)
        return {key: item if key in own else hostile(item, number + i) for i, (key, item) in enumerate(value.items())}
    if isinstance(value, list):
        return [hostile(item, number + i) for i, item in enumerate(value)]
    return payload(number + len(value)) if isinstance(value, str) else value


def write_model(folder: Path) -> Path:
    """Write a GGUF whose keys, values, tokens and tensors are the corpus; its name is a payload too."""
    pairs = [("general.architecture", string("bitnet-b1.58")), ("tokenizer.ggml.tokens", strings(list(CORPUS)))]
    pairs += [(f"general.{i}.{text[:40]}", string(text)) for i, text in enumerate(CORPUS)]
    pairs += [("tokenizer.chat_template", string("\n".join(CORPUS))), ("tokenizer.ggml.model", string(CORPUS[0]))]
    tensors = [Tensor(f"{text[:50]}{i}.weight", 0, (8,), 32 * i) for i, text in enumerate(CORPUS)]
    path = folder / "m\x1b[3J\u202e.gguf"
    path.write_bytes(gguf_file(pairs, tensors, bytes(32 * len(CORPUS))))
    return path


def write_runs(folder: Path, model: Path) -> None:
    """Record two parity runs and a benchmark, every text of which is a payload."""
    lines = (ROOT / "samples" / "demo" / "events.jsonl").read_bytes().splitlines()
    events = [orjson.loads(line) for line in lines]
    token = [event for event in events if event["event"] == "token"][: 2 * len(CORPUS)]
    rest = [event for event in events if event["event"] in ("stage", "gate", "run.end", "warn")]
    sides = {"reference": str(model), "candidate": str(model), "profile": payload(3)}
    head = {**events[0], **sides, "id": payload(1), "request": {"kind": "parity", **sides}}
    for number, id in enumerate(("first", "second")):
        bad = [{**hostile(one, i + number), "tau_b": one["tau_b"] if number else 0.1} for i, one in enumerate(token)]
        write_run(folder / id, [head, *(hostile(one, number) for one in rest[:-1]), *bad, rest[-1]])
    report = hostile(orjson.loads((ROOT / "docs" / "screens" / "bench.json").read_bytes()))
    for one in report["measures"]:
        one["limit"] = {"what": payload(one["threads"]), "value": 1.0}
        one["samples"][0]["disturbed"] = list(CORPUS[:4])
    start = {"event": "run.start", "kind": "bench", "id": payload(2), "path": str(model)}
    end = {"event": "run.end", "status": "done", "verdict": payload(5)}
    write_run(folder / "third", [start, {"event": "report", "report": report}, end])


def write_run(folder: Path, events: list[dict]) -> None:
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"".join(orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in events))


@pytest.fixture
def world(tmp_path):
    """Return a folder with the model, the runs and a theme, and what the program is told of it."""
    models = tmp_path / "models"
    models.mkdir()
    model = write_model(models)
    for name in ("config", "state", "runs"):
        (tmp_path / name).mkdir()
    write_runs(tmp_path / "runs", model)
    for age, id in enumerate(("second", "third", "first")):
        os.utime(tmp_path / "runs" / id / "events.jsonl", (1_700_000_000 - age, 1_700_000_000 - age))
    (tmp_path / "config.toml").write_text(f"models_dirs = [{str(models)!r}]\n")
    return tmp_path, {"BITNET_TUI_RUNS": str(tmp_path / "runs"), "BITNET_TUI_CONFIG": str(tmp_path / "config.toml")}


@pytest.mark.tmux
@pytest.mark.skipif(not available, reason="tmux is not installed")
def test_no_screen_passes_a_byte_on(world, tmp_path):
    """Red when a widget, a title, a notification or the program itself writes what a file says as it stands."""
    folder, env = world
    window = Terminal(f"{folder}/models/*.gguf", folder, **env, BITNET_MODELS=str(folder / "models"))
    written = folder / "written"
    try:
        window.record(written)
        visit(window)
        window.press("q")
        window.wait("EXIT=0")
    finally:
        window.close()
    data = written.read_bytes()
    assert len(data) > 50_000
    assert left_over(data) == []


GONE = "no more: "


def visit(window):
    """Go to every screen, and open what hides behind a key."""
    for keys, awaited in (
        ((), f"{len(CORPUS)} tensors"),
        (("Down", "Down", "Down", "Down", "v", "S", "End", "s"), "scanned"),
        (("?",), "Everything here"),
        (("?", "e"), "file ("),
        (("Escape",), GONE + "file ("),
        (("4",), "3 of 3 · "),
        (("Enter",), "replay"),
        (("n", "c", "c", "m", "c", "w", "z", "z", "Enter"), "exit code"),
        (("Escape",), GONE + "operations by layer"),
        (("4", "Space", "Down", "Down", "Space", "c"), "changed tokens"),
        (("Escape",), GONE + "changed tokens"),
        (("Up", "Enter"), "bars of what"),
        (("Down", "m", "m", "a", "x", "b", "Tab", "y"), "copied"),
        ((",",), "what for"),
        (("Escape",), GONE + "what for"),
        (("0",), "recent runs"),
    ):
        for key in keys:
            window.press(key)
        if awaited.startswith(GONE):
            # An escape that is followed at once by a key is another key: alt and it.
            window.wait_until_gone(awaited.removeprefix(GONE))
        else:
            window.wait(awaited)


PLAIN = """
import sys, orjson
from bitnet_tui.cli.main import bitnet_tui
from bitnet_tui.display import bench, diagnosis, plain
for line in orjson.loads(open(sys.argv[1], "rb").read()):
    show = {"bench": bench.bench_lines, "finding": diagnosis.finding_lines, "parity": plain.parity_lines}[line["of"]]
    print("\\n".join(show(line["report"])))
for words in (["info", sys.argv[2]], ["info", "--scan", sys.argv[2]], ["runs", "list"], ["locate", "runs"]):
    bitnet_tui.main(words, standalone_mode=False)
narrator = plain.Narrator()
for line in open(sys.argv[3], "rb"):
    narrator.feed(orjson.loads(line))
"""


def test_no_plain_display_passes_a_byte_on(world):
    """Red when a line of a command, or its progress, writes what a file or an artifact says as it stands."""
    folder, env = world
    demo = (ROOT / "samples" / "demo" / "events.jsonl").read_bytes().splitlines()
    parity = next(event["report"] for event in map(orjson.loads, demo) if event["event"] == "report")
    bench = orjson.loads((ROOT / "docs" / "screens" / "bench.json").read_bytes())
    one = {"layer": 1, "operation": CORPUS[0], "residual": 0.5, "tolerance": 1e-6, "cause": CORPUS[1]}
    cause = {"tensors": list(CORPUS[:6]), "rows": [1], "offset": 7, "harmless": False}
    cause |= dict(zip(("sentence", "name", "evidence", "remedy"), CORPUS, strict=False))
    left = {**one, "description": list(CORPUS), "reproduction": CORPUS[2]}
    finding = {"reference": CORPUS[3], "candidate": CORPUS[4], "causes": [cause], "unexplained": [left], "first": one}
    finding |= {"proof": None, "verdict": "UNEXPLAINED"}
    finding["repaired"] = {"path": CORPUS[0], "says": CORPUS[1], "tensors": []}
    reports = [{"of": "finding", "report": finding}]
    reports += [
        {"of": "bench", "report": hostile(bench)},
        {"of": "parity", "report": {"weights": None, **hostile(parity)}},
    ]
    (folder / "reports.json").write_bytes(orjson.dumps(reports))
    (model,) = (folder / "models").iterdir()
    arguments = [str(folder / "reports.json"), str(model), str(folder / "runs" / "first" / "events.jsonl")]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout) > 5_000
    assert left_over(done.stdout + done.stderr) == []


def test_what_the_corpus_would_do():
    """Red when the reader of this file takes a payload for a sequence of ours."""
    caught = [text for text in CORPUS if left_over(text.encode())]
    assert len(caught) >= 21
    assert left_over(b"\x1b[1;38;2;224;175;104;48;2;35;40;56me\x1b[0m\x1b[40;51H\x1b[?25l") == []
