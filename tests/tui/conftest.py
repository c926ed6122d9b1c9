"""A run and a model made up in full detail, a job that plays events, and text pictures of a screen.

pytest tests/tui --update-golden        # writes the pictures anew; look at the difference before committing
"""

import math
import queue
import random
from pathlib import Path

import pytest

from bitnet_tui.app import BitnetApp

GOLDEN = Path(__file__).parent / "golden"

HOSTILE = "[/nope]\x1b[2J[@click=app.quit]x[/]\u202etxt\x9b31m\u2028\u200b"

PROSE = """
It is a truth universally acknowledged , that a single man in possession of a good fortune , must be in want of a
wife . However little known the feelings or views of such a man may be on his first entering a neighbourhood , this
truth is so well fixed in the minds of the surrounding families
"""
TEXT = PROSE.split()


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden screens anew")
    parser.addoption("--pictures", metavar="FOLDER", type=Path, help="write every picture of a screen into FOLDER")


def token_event(index, text=None, tau=0.93, flip=False, margin=2.5, shift=0.04, **more):
    """Return a `token` event whose candidate's logits lie `shift` from the reference's."""
    words = ["Loire", "Seine", "Rhône", "Rhine", "Marne", "Oise", "Somme", "Meuse", "Garonne", "Isère"]
    reference = [[100 + k, f" {word}", 18.0 - 0.7 * k] for k, word in enumerate(words)]
    candidate = [[token, word, logit + shift] for token, word, logit in reference]
    if flip:
        candidate[0], candidate[1] = candidate[1], candidate[0]
    return {
        "event": "token",
        "index": index,
        "document": "austen.txt",
        "position": index,
        "token": 100 + index,
        "text": f" {TEXT[index % len(TEXT)]}" if text is None else text,
        "tau_b": tau,
        "kl": 0.02,
        "nll_reference": 3.1,
        "nll_candidate": 3.104,
        "same_top": not flip,
        "margin": margin,
        "top_reference": reference,
        "top_candidate": candidate,
        **more,
    }


def run_tokens():
    """Return 64 tokens: a calm run with a dip, two flips (one a near-tie) and one undefined tau-b."""
    noise = random.Random(3)
    events = [token_event(i, tau=0.9 + 0.07 * math.sin(i / 5) + 0.02 * noise.random()) for i in range(64)]
    events[17] = token_event(17, text=" fortune\n", tau=0.429, flip=True, margin=0.02)
    events[18] = token_event(18, tau=0.71)
    events[40] = token_event(40, text="日本語", tau=0.55)
    events[41] = token_event(41, text="\u0301", tau=None)
    events[52] = token_event(52, text="[/b]", flip=True)
    return events


def start_event(**more):
    """Return the first event of the run."""
    fields = {"schema": "bitnet-tui/events", "schema_version": 1, "id": "t5k2zx7f", "kind": "parity"}
    sides = {"reference": "/models/nano-bf16/model.safetensors", "candidate": "/models/nano-tq2_0.gguf"}
    sides |= {"request": {"kind": more.get("kind", "parity"), **sides}}
    return {"event": "run.start", **fields, **sides, "profile": "quantized", "argv": [], "stamp": {}, **more}


def preparation():
    """Return what comes before the first token."""
    return [
        start_event(),
        {"event": "stage", "name": "load reference", "status": "start", "seconds": None},
        {"event": "stage", "name": "load reference", "status": "done", "seconds": 1.25},
        {"event": "stage", "name": "load candidate", "status": "start", "seconds": None},
        {"event": "stage", "name": "load candidate", "status": "done", "seconds": 0.8},
        {"event": "plan", "documents": 1, "tokens": 64},
        gate_event("tokenizer", "PASS", 1.0, 0.95),
    ]


def gate_event(gate, status, value, limit, detail=""):
    return {"event": "gate", "gate": gate, "status": status, "value": value, "limit": limit, "detail": detail}


def ending(verdict="INCONCLUSIVE"):
    """Return what comes after the last token."""
    return [
        gate_event("belief", "PASS", 0.912, 0.6),
        gate_event("probability", verdict, 0.004, 0.02, "about 19 more documents are needed"),
        {"event": "run.end", "status": "done", "verdict": verdict},
    ]


def whole_run():
    """Return every event of the run."""
    return [*preparation(), *run_tokens(), *ending()]


def summary(path="/models/bitnet-2B/ggml-model-i2_s.gguf", **more):
    """Return the Summary of a small ternary GGUF."""
    tensors = [{"name": "token_embd.weight", "type": "F16", "shape": [4096, 256], "nbytes": 2097152}]
    for block in range(6):
        tensors.append({"name": f"blk.{block}.attn_norm.weight", "type": "F32", "shape": [256], "nbytes": 1024})
        for part, rows in (("attn_q", 256), ("attn_output", 256), ("ffn_up", 768), ("ffn_down", 256)):
            name = f"blk.{block}.{part}.weight"
            tensors.append({"name": name, "type": "I2_S", "shape": [rows, 256], "nbytes": rows * 64 + 32})
    offset = 0x2A40
    for tensor in tensors:
        tensor |= {"offset": offset, "file": "ggml-model-i2_s.gguf"}
        offset += tensor["nbytes"]
    return {
        "path": path,
        "format": "gguf",
        "version": "3",
        "bytes": 3_500_000,
        "architecture": "bitnet-b1.58",
        "parameters": 3_400_000,
        "ternary_parameters": 2_359_296,
        "bits_per_weight": 8.23,
        "body_bits_per_weight": 2.001,
        "types": [{"type": "I2_S", "tensors": 24, "bytes": 590_592}, {"type": "F16", "tensors": 1, "bytes": 2097152}],
        "tensors": tensors,
        "metadata": {
            "general.architecture": "bitnet-b1.58",
            "tokenizer.ggml.tokens": {"array": "str", "count": 4096, "head": ["!", '"', "#"]},
            "tokenizer.chat_template": "{% for m in messages %}\n{{ m.content }}\n{% endfor %}",
        },
        "tokenizer": {"model": "gpt2", "pre": "llama-bpe", "tokens": 4096, "bos": 4088, "add_bos": True},
        "scale_meaning": "multiply",
        "findings": [
            {
                "code": "file_type",
                "severity": "warning",
                "subject": "general.file_type",
                "message": "says MOSTLY_F16, but 24 of 31 tensors are I2_S",
                "advice": "convert the file again; readers that trust the key fail",
            }
        ],
        **more,
    }


def stats_events(model):
    """Return the statistics of every tensor of `model`."""
    events = []
    for tensor in model["tensors"]:
        if tensor["type"] == "I2_S":
            counts = {"neg": 31, "zero": 39, "pos": 30, "code3": 0, "scale": 0.01734, "entropy": 1.572}
        else:
            counts = {"rms": 0.981, "min": -3.5, "max": 4.25, "nan": 0}
        events.append({"event": "stats", "tensor": tensor["name"], **counts})
    return [start_event(kind="stats"), *events, {"event": "run.end", "status": "done", "verdict": None}]


def bench_measure(case, kind, value, threads=2, unit="tok/s", share=None, disturbed=0, **more):
    """Return a measure of a benchmark: five samples around `value`, the first `disturbed` of them disturbed."""
    values = [value * (1 + 0.002 * (k - 2)) for k in range(5)]
    why = ["steal 3.1%"]
    samples = [
        {"value": v, "round": k, "count": 3, "seconds": 1 / v, "disturbed": why if k < disturbed else []}
        for k, v in enumerate(values)
    ]
    rises = unit in ("tok/s", "GB/s", "GOPS")
    what = "reading 1187.5 MB at 31.0 GB/s"
    limit = None if share is None else {"what": what, "value": value / share if rises else value * share}
    return {
        "engine": "bitnet-tui",
        "threads": threads,
        "case": case,
        "kind": kind,
        "rows": 1,
        "position": 64,
        "batch": 1,
        "unit": unit,
        "better": "higher" if rises else "lower",
        "value": value,
        "coverage": 0.94,
        "interval": [values[0], values[4]],
        "spread_ms": [45.0, 48.0, 52.5],
        "limit": limit,
        "share": share,
        "noisy": disturbed > 2,
        "samples": samples,
        **more,
    }


def bench_report(faster=1.0, sha256="a" * 64):
    """Return the artifact of a small benchmark whose speeds are `faster` times less than usual."""
    speeds = [
        bench_measure("decode@64", "decode", 21.9 / faster, share=0.42 / faster),
        bench_measure("prefill[512]", "prefill", 172.0 / faster, share=0.39 / faster, disturbed=3),
        bench_measure("decode@64", "decode", 12.1 / faster, threads=1, share=0.46 / faster),
        bench_measure("body[1]", "body", 26.8 / faster, unit="GB/s", share=0.99 / faster),
        bench_measure("load", "load", 2.1 * faster, unit="s", share=0.06 / faster),
        bench_measure("peak-memory", "peak-memory", 1601.6, unit="MB", share=0.75),
        bench_measure("read", "read", 31.0, unit="GB/s"),
        bench_measure("peak avx512-vnni", "peak", 1855.0, unit="GOPS"),
    ]
    parts = dict(zip(("body", "attention", "head", "norms", "rest"), (29.0, 0.7, 15.1, 0.1, 0.8), strict=True))
    whole = {"threads": 2, "position": 64, "total_ms": 45.7, **{f"{name}_ms": value for name, value in parts.items()}}
    stamp = {"id": "x1", "cpu": "Some CPU", "kernel": "native avx512-vnni", "numerics": "exact-int8", "threads": 2}
    stamp |= {"model_sha256": sha256}
    return {
        "schema": "bitnet-tui/bench",
        "schema_version": 1,
        "command": "bitnet-tui bench ggml-model-i2_s.gguf",
        "model": {"path": "/models/ggml-model-i2_s.gguf", "sha256": sha256, "facts": {"layers": 30}},
        "settings": {},
        "measures": speeds,
        "breakdown": [whole],
        "peer": None,
        "versus": [],
        "noisy": ["prefill[512] of bitnet-tui on 2"],
        "stamp": {**stamp, "git_commit": "0123456789abcdef"},
        "judgement": {"baseline": None, "verdict": None, "why": "", "gates": []},
    }


def bench_run(id="t5k3cc03", faster=1.0, **more):
    """Return the events of a benchmark."""
    path = "/models/ggml-model-i2_s.gguf"
    sample = {"event": "bench", "engine": "bitnet-tui", "threads": 2, "case": "decode@64", "count": 40}
    progress = [{**sample, "round": k, "seconds": 0.046, "index": k + 1, "seconds_left": 78 - 2 * k} for k in range(3)]
    return [
        start_event(kind="bench", id=id, path=path, reference=None, candidate=None, request={"kind": "bench"}),
        {"event": "stage", "name": "load, 2 threads", "status": "start", "seconds": None},
        {"event": "stage", "name": "load, 2 threads", "status": "done", "seconds": 1.5},
        *progress,
        {"event": "report", "report": bench_report(faster, **more)},
        {"event": "run.end", "status": "done", "verdict": None},
    ]


OPERATIONS = ("attn_norm", "attn_q", "attn_k", "attn_v", "rope_q", "rope_k", "attention", "attn_output", "ffn_down")


def finding_report():
    """Return the finding of a candidate whose blk.3.attn_v is scaled, and whose attention of layer 4 is off."""

    def one(layer, name, residual=4e-8, cause=None):
        return {"layer": layer, "operation": name, "residual": residual, "tolerance": 2e-6, "cause": cause}

    off = {(3, "attn_v"): (0.41, "scale-of-tensor"), (4, "attention"): (None, None)}
    body = [one(layer, name, *off.get((layer, name), (4e-8, None))) for layer in range(6) for name in OPERATIONS]
    cause = {
        "name": "scale-of-tensor",
        "operation": "attn_v",
        "layer": 3,
        "tensors": ["blk.3.attn_v.weight"],
        "rows": [],
    }
    said = {"sentence": "layer 3, attn_v: candidate has a scale of 0.0245; it should be 0.0174", "offset": 10816}
    proof = {"what": "logits", "before": 0.12, "after": 3e-14, "floor": 2e-13, "holds": True}
    return {
        "schema": "bitnet-tui/finding",
        "schema_version": 1,
        "reference": "/models/a",
        "candidate": "/models/b.gguf",
        "verdict": "UNEXPLAINED",
        "tokens": [1, 2],
        "first": one(3, "attn_v", 0.41),
        "proof": proof,
        "stamp": {},
        "causes": [{**cause, **said, "evidence": "every weight by 1.41", "remedy": "convert again", "harmless": False}],
        "unexplained": [
            {
                **one(4, "attention", None),
                "description": ["in all heads, from the third token on"],
                "reproduction": None,
            }
        ],
        "operations": [one(None, "token_embd", 0.0), *body, one(None, "output_norm"), one(None, "output")],
    }


def diagnosis_events():
    """Return the events of that diagnosis."""
    steps = [("load", "reference", 1, 2), ("compare", "blk.3.attn_v.weight", 12, 68), ("replay", "layer 0", 1, 6)]
    return [
        start_event(kind="diagnose"),
        *({"event": "tensor", "work": w, "name": n, "index": i, "count": c} for w, n, i, c in steps),
        {"event": "report", "report": finding_report()},
        {"event": "run.end", "status": "done", "verdict": None},
    ]


class FakeJob:
    """A job that plays `events`; with `hold` it stays open until cancelled."""

    def __init__(self, events, hold=False):
        self.pid = 4711
        self.running = True
        self.cancelled = 0
        self._queue = queue.Queue()
        for event in events:
            self._queue.put(event)
        if not hold:
            self._queue.put(None)

    def push(self, *events):
        for event in events:
            self._queue.put(event)

    def end(self):
        self._queue.put(None)

    def events(self):
        while (event := self._queue.get()) is not None:
            yield event
        self.running = False

    def cancel(self):
        self.cancelled += 1
        if self.running:
            self.push({"event": "run.end", "status": "cancelled", "verdict": None}, None)


class Made:
    """The functions above, for tests: pytest's import mode lets a test import no neighbour."""

    hostile = HOSTILE
    golden = GOLDEN
    Job = FakeJob
    token = staticmethod(token_event)
    tokens = staticmethod(run_tokens)
    start = staticmethod(start_event)
    preparation = staticmethod(preparation)
    gate = staticmethod(gate_event)
    ending = staticmethod(ending)
    run = staticmethod(whole_run)
    summary = staticmethod(summary)
    stats = staticmethod(stats_events)
    bench_report = staticmethod(bench_report)
    bench_run = staticmethod(bench_run)
    diagnosis = staticmethod(diagnosis_events)


@pytest.fixture
def made():
    return Made


@pytest.fixture
def update_golden(request):
    return request.config.getoption("--update-golden")


@pytest.fixture
def pictures(request):
    return request.config.getoption("--pictures")


@pytest.fixture(autouse=True)
def quiet_world(monkeypatch, tmp_path):
    """Keep the user's folders, colours and clock out of the tests."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("BITNET_TUI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("BITNET_MODELS", "BITNET_TUI_CONFIG", "BITNET_TUI_THEME", "BITNET_TUI_KEYMAP", "BITNET_TUI_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("bitnet_tui.core.scan.resource_dir", lambda name: tmp_path / "none")


@pytest.fixture
def app_of(tmp_path):
    """Return a function that makes an app of fakes; `app.jobs` lists the jobs it started."""

    def make(paths=(), request=None, events=None, hold=False, hold_stats=False, inspect=None, diagnosis=None, **more):
        jobs = []

        def start(request):
            if request["kind"] == "stats":
                jobs.append(FakeJob(stats_events(summary()), hold=hold_stats))
            elif request["kind"] == "diagnose" and diagnosis is not None:
                jobs.append(FakeJob(diagnosis, hold=hold))
            else:
                jobs.append(FakeJob(events or whole_run(), hold=hold))
            jobs[-1].request = request
            return jobs[-1]

        reader = inspect or (lambda path, **reading: summary(path))
        if len(paths) == 2 and request is None:
            request = {"kind": "parity", "reference": paths[0], "candidate": paths[1], "profile": "quantized"}
        app = BitnetApp(paths, request, start, reader, **more)
        app.jobs = jobs
        return app

    return make


def screen_text(app):
    """Return what is on the screen, line by line, without styles."""
    # Private, so used here only; a test holds it against the public screenshot.
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


@pytest.fixture
def text_of():
    return screen_text


@pytest.fixture
def until():
    """Return `await until(pilot, condition)`: waits for what a thread brings, with a deadline, never by time."""

    async def wait(pilot, condition):
        for _ in range(400):
            if condition():
                await pilot.pause()
                return
            await pilot.pause(0.01)
        raise AssertionError(f"never came true; the screen was:\n{screen_text(pilot.app)}")

    return wait
