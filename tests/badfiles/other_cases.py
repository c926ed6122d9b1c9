"""Bad files that are no models: texts to score, reports, recorded runs, themes; and odd models that are read.

Who meets them: `eval` and `parity` a corpus, `Report.load` a report, the app a run (`replay`) and a theme (`theme`),
`info` an odd model, of which it must say what is odd.
"""

import json
import os
from pathlib import Path
from typing import Any

from bitnet_parity.report import SCHEMA_VERSION
from tests.badfiles.builders import (
    Tensor,
    big_endian_gguf,
    config,
    entry,
    gguf_file,
    safetensors_file,
    small_gguf,
    small_safetensors,
    string,
    u32,
)
from tests.badfiles.case import BAD, IO, OPENS, Build, Case, file, files

CORPUS, REPORT, REPLAY, THEME, ODD = ("corpus",), ("report",), ("replay",), ("theme",), ("findings",)
"""Commands of tests.badfiles.answers beside the program's own."""


def _sized(name: str, size: int) -> Build:
    """Return the builder of a hole of `size` bytes."""

    def build(folder: Path) -> Path:
        (folder / name).write_bytes(b"")
        os.truncate(folder / name, size)
        return folder / name

    return build


def _pipe(name: str) -> Build:
    """Return the builder of a FIFO that nobody writes to; opening it would wait for ever."""

    def build(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return folder / name

    return build


def _folder(name: str) -> Build:
    """Return the builder of a folder that holds a folder where a file should be."""

    def build(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder

    return build


def _corpus(name: str, build: Build, says: str, code: int = BAD) -> Case:
    return Case(f"corpus-{name}", build, code, says, CORPUS)


CORPORA = [
    _corpus("missing", lambda folder: folder / "absent.txt", "no such file; pass a text file"),
    _corpus("empty", file("a.txt", b""), "is empty (0 bytes); a document needs text"),
    _corpus("utf8", file("a.txt", b"sound\xff"), "not UTF-8 at byte 5 (0xff: invalid start byte)"),
    _corpus("utf16", file("a.txt", "text".encode("utf-16")), "not UTF-8 at byte 0"),
    _corpus("surrogate", file("a.txt", b"\xed\xa0\x80"), "not UTF-8 at byte 0"),
    _corpus("pipe", _pipe("a.txt"), "not a regular file; pass a text file"),
    _corpus("device", lambda _: Path("/dev/zero"), "not a regular file; pass a text file"),
    _corpus("folder-empty", lambda folder: folder, "no .txt file in it"),
    _corpus("folder-one-bad", files({"a.txt": b"sound", "b.txt": b"\x80"}), "b.txt: not UTF-8 at byte 0"),
    _corpus("folder-in-folder", _folder("a.txt"), "a.txt: not a regular file"),
    _corpus("huge", _sized("a.txt", 2**42), "the limit of a document is 67108864; split it"),
    _corpus("long-name", lambda folder: folder / ("n" * 300), "cannot read: File name too long", IO),
]

SOUND_REPORT: dict[str, Any] = {
    "schema": "bitnet-tui/parity-report",
    "schema_version": SCHEMA_VERSION,
    **{name: {} for name in ("stamp", "reference", "candidate", "settings", "corpus")},
    "metrics": {
        "tau_b": {"median": 1.0, "undefined": 0, "not_one": 0, "estimated": 0, "error": None},
        "nll_undefined": 0,
        "nll_unequal": 0,
    },
    "failures": 0,
    "failures_omitted": 0,
    "floor": None,
    "weights": None,
    "tokenizer": {"strings": 1, "equal": 1, "first_difference": None},
    "documents": [],
    "judgement": {"profile": "lossless", "verdict": "PASS", "gates": []},
}
DAMAGED = "a damaged parity report: "


def _report(name: str, says: str, then: str = "", data: bytes | None = None, **changes: Any) -> Case:
    made = json.dumps({**SOUND_REPORT, **changes}).encode() if data is None else data
    return Case(f"report-{name}", file("report.json", made), BAD, says, REPORT, then)


REPORTS = [
    _report("empty", "not JSON at byte 0: ", "byte 0: ", b""),
    _report("cut", "not JSON at byte ", "byte ", b'{"schema": "bitnet'),
    _report("deep", "not JSON at byte ", "byte ", b"[" * 99_999),
    _report("utf8", "not JSON at byte ", "byte ", b'{"a": "\xff"}'),
    _report("list", "not a parity report: schema is None", data=b"[]"),
    _report("other", "schema is 'bitnet-tui/info', 'bitnet-tui/parity-report' is needed", schema="bitnet-tui/info"),
    _report(
        "newer",
        f"schema_version is {SCHEMA_VERSION + 1}, this program reads {SCHEMA_VERSION}",
        schema_version=SCHEMA_VERSION + 1,
    ),
    _report("stamp-number", DAMAGED, DAMAGED, stamp=5),
    _report("tokenizer-list", DAMAGED, DAMAGED, tokenizer=[]),
    _report("strings-null", DAMAGED, DAMAGED, tokenizer={**SOUND_REPORT["tokenizer"], "strings": None}),
    _report("strings-zero", DAMAGED, DAMAGED, tokenizer={**SOUND_REPORT["tokenizer"], "strings": 0}),
    _report("documents-number", DAMAGED, DAMAGED, documents=5),
    _report("document-number", DAMAGED, DAMAGED, documents=[1]),
    _report("weights-list", DAMAGED, DAMAGED, weights=[]),
    _report("weights-error", DAMAGED, DAMAGED, weights={"tensors": 1, "differing": [{"name": "x", "error": "0"}]}),
    _report("metrics-none", DAMAGED, DAMAGED, metrics={}),
    _report("verdict", DAMAGED, DAMAGED, judgement={"profile": "x", "verdict": "MAYBE", "gates": []}),
    Case("report-pipe", _pipe("report.json"), BAD, "is no regular file; pass a report.json", REPORT),
    Case("report-missing", lambda folder: folder / "report.json", BAD, "no such file; pass a report.json", REPORT),
]


def _lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def _run(name: str, data: bytes, says: str) -> Case:
    return Case(f"run-{name}", file("events.jsonl", data), OPENS, says, REPLAY)


NOTHING, ONE = "no run in it: interrupted, 0 tokens", "interrupted, 1 tokens"
TOKEN = {"event": "token", "index": 0, "text": "a", "tau_b": 1.0}
RUNS = [
    _run("empty", b"", NOTHING),
    _run("zeros", bytes(4096), NOTHING),
    _run("other-json", _lines([1], 5, None, {}, {"event": 5}), NOTHING),
    _run("deep", b'{"event":' + b"[" * 99_999 + b"\n", NOTHING),
    _run("no-newline", b'{"event":"token","text":"' + b"x" * 2_000_000, NOTHING),
    _run("many-values", b'{"event":"report","a":[' + b"1," * 1_100_000 + b"1]}\n", NOTHING),
    _run("surrogate", b'{"event":"warn","message":"\\ud800"}\n', NOTHING),
    _run("torn", _lines(TOKEN, TOKEN)[:-9], ONE),
    _run("numbers", _lines({**TOKEN, "tau_b": 2**63, "token": 2**70, "kl": True}), ONE),
    _run("tops", _lines({**TOKEN, "top_reference": [[1], {}, [[], {}, "x"]], "top_candidate": 7}), ONE),
    _run("index", _lines({**TOKEN, "index": "x"}, {**TOKEN, "index": 2**70}), "interrupted, 2 tokens"),
    _run("gate", _lines({"event": "gate", "gate": ["belief"], "status": {}, "value": "x"}, TOKEN), ONE),
    _run("limit", _lines({"event": "gate", "gate": "belief", "limit": True, "detail": [1]}, TOKEN), ONE),
    _run("stage", _lines({"event": "stage", "name": {}, "status": "done", "seconds": "x"}, TOKEN), ONE),
    _run("start", _lines({"event": "run.start", "id": [], "reference": {"path": 5}}, TOKEN), ONE),
    _run("end", _lines(TOKEN, {"event": "run.end", "status": ["done"], "verdict": {}}), "failed, 1 tokens"),
    Case(
        "run-error",
        file("events.jsonl", _lines({"event": "error", "exit_code": "x", "message": "\x1b[2J"})),
        6,
        "␛[2J",
        REPLAY,
    ),
    Case("run-pipe", _pipe("events.jsonl"), IO, "not a regular file", REPLAY),
    Case("run-missing", lambda folder: folder / "events.jsonl", IO, "No such file or directory", REPLAY),
]  # fmt: skip

SHIPPED = (Path(__file__).parents[2] / "themes" / "bitnet-dark.toml").read_bytes()


def _theme(name: str, says: str, data: bytes | None = None, then: str = "", swap: tuple[str, str] = ("", "")) -> Case:
    made = SHIPPED.replace(swap[0].encode(), swap[1].encode(), 1) if data is None else data
    return Case(f"theme-{name}", file("mine.toml", made), OPENS, says, THEME, then)


THEMES = [
    _theme("empty", "name is None; lower-case letters", b""),
    _theme("syntax", "mine.toml: ", b"name = ", "mine.toml: "),
    _theme("utf8", "mine.toml: ", b"\xff\xfe", "mine.toml: "),
    _theme("integer", "mine.toml: ", b"a = " + b"9" * 6000, "mine.toml: "),
    _theme("deep", "is nested too deeply; no theme needs that", b"a = " + b"[" * 30_000),
    _theme("deep-tables", "is nested too deeply; no theme needs that", b"a = " + b"{a=" * 9_000),
    _theme("large", "has more than 65536 bytes, the limit of a theme", b"#" * 65_537),
    _theme("colour-word", "colors.primary is 'blue'; #rrggbb", swap=("#7aa2f7", "blue")),
    _theme("colour-long", "colors.primary is '#7aa2f7#7aa2f7", swap=("#7aa2f7", "#7aa2f7" * 2000)),
    _theme("name", "name is 'A [/b]\\x1b'", swap=('"bitnet-dark"', '"A [/b]\\u001b"')),
    _theme("dark", "dark is 1; true or false", swap=("dark = true", "dark = 1")),
    _theme("unknown", "app.tau-worse is unknown", swap=("tau-bad", "tau-worse")),
    _theme("no-heat", "the table [heat] is missing", swap=("[heat]", "[heap]")),
    _theme("glyphs", "heat.glyphs needs at least two printable", swap=('glyphs = "', 'glyphs = "\\u001b')),
    Case("theme-pipe", _pipe("mine.toml"), OPENS, "mine.toml: is no regular file", THEME),
    Case("theme-folder", _folder("mine.toml"), OPENS, "mine.toml: is no regular file", THEME),
]  # fmt: skip


def _odd(name: str, build: Build, says: str) -> Case:
    return Case(f"odd-{name}", build, OPENS, says, ODD)


def _beside(config_json: bytes) -> Build:
    return files({"model.safetensors": small_safetensors(), "config.json": config_json})


F32_8 = Tensor("w", 0, (8,), 0)
_NORM = {"w": entry("F32", [4], 0, 16)}
_QUANT = json.dumps(config()["quantization_config"])
ODDITIES = [
    _odd("gguf-trailing", file("m.gguf", gguf_file([], [F32_8], bytes(131))), "trailing-bytes: 99 bytes follow"),
    _odd("safetensors-trailing", file("m.safetensors", safetensors_file(_NORM, bytes(20))), "trailing-bytes: 4 bytes"),
    _odd(
        "gguf-hole",
        file("m.gguf", gguf_file([], [Tensor("a", 0, (8,), 0), Tensor("b", 0, (8,), 64)], bytes(96))),
        "hole: 32 bytes belong to no tensor",
    ),
    _odd(
        "gguf-type",
        file("m.gguf", gguf_file([], [Tensor("w", 200, (8,), 0)], bytes(32))),
        "unknown-type: 1 tensor(s) have the type id 200",
    ),
    _odd(
        "safetensors-type",
        file("m.safetensors", safetensors_file({"w": entry("F3", [4], 0, 16)}, bytes(16))),
        "unknown-type: has the dtype 'F3'",
    ),
    _odd("big-endian", file("m.gguf", big_endian_gguf()), "big-endian: is big-endian"),
    _odd(
        "split",
        file("m.gguf", gguf_file([("split.count", u32(3)), ("split.no", u32(1))], [])),
        "split: is part 1 (from 0) of 3 parts",
    ),
    _odd("extension", file("m.safetensors", small_gguf()), "extension: "),
    _odd(
        "two-files",
        files({"model.safetensors": small_safetensors(), "x.gguf": b"", "config.json": json.dumps(config()).encode()}),
        "other-model-files: is read; beside it lies 'x.gguf'",
    ),
    _odd(
        "config-key-twice",
        _beside(f'{{"quantization_config": {{}}, "quantization_config": {_QUANT}}}'.encode()),
        "config-key-twice: holds quantization_config twice",
    ),
    _odd(
        "no-scale",
        file("m.safetensors", safetensors_file({"q.weight": entry("U8", [2, 2], 0, 4)}, bytes(4))),
        "scale-missing: ",
    ),
    _odd(
        "hostile-template",
        file("m.gguf", gguf_file([("tokenizer.chat_template", string("{{ ''.__class__ }}\x1b[2J"))], [])),
        "no finding",
    ),
]

OTHERS = [*CORPORA, *REPORTS, *RUNS, *THEMES, *ODDITIES]
