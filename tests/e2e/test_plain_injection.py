"""Names, tokens, metadata and artifacts full of escape sequences, through every command and plain display.

The commands' own code runs up to and including the way they end, in this process: what a worker would compute is
computed here, once, on two tiny models that are payloads through and through. As in test_injection, nothing may be left
of what is written that a terminal obeys.
"""

import io

import orjson
import pytest

from bitnet_parity.verify import Check, Proof
from bitnet_tui.cli import headless
from bitnet_tui.cli.ending import Outcome, end_with
from bitnet_tui.cli.main import bitnet_tui
from bitnet_tui.core import session
from bitnet_tui.display import bench, diagnosis, diff, plain, proofs
from tests.e2e.hostile import CORPUS, hostile, left_over, write_corpus, write_model, write_pair, write_runs
from tests.e2e.terminal import ROOT

TEXT = "".join(CORPUS[:20])


class Here:
    """A job whose worker is this process."""

    running = False

    def __init__(self, request):
        self._request = request

    @classmethod
    def start(cls, request, hold=()):
        return cls(request)

    def events(self):
        return session.run(self._request)


@pytest.fixture
def say(monkeypatch, capfdbinary):
    """Return a function that runs a command to its end and returns its exit code and what it wrote, both streams."""
    monkeypatch.setattr(headless, "Job", Here)

    def run(*words, debug=False):
        capfdbinary.readouterr()
        try:
            code = bitnet_tui.main([str(word) for word in words], standalone_mode=False) or 0
        except Exception as error:
            with pytest.raises(SystemExit) as end:
                end_with(error, Outcome(debug=debug, as_json=False))
            code = int(str(end.value.code))
        out, err = capfdbinary.readouterr()
        return code, out + err

    return run


def test_no_command_passes_a_byte_on(say, tmp_path):
    """Red when a line of a command, or its progress, writes what a model, a text or a path says as it stands."""
    reference, candidate = write_pair(tmp_path)
    text, out, kept = write_corpus(tmp_path), tmp_path / "out\u2066", tmp_path / "kept\x1b[3J"
    packed, failures = reference.parent / "g\x9b31m.gguf", out / "parity_failures.jsonl"
    seen = {}
    for code, *words in (
        (0, "convert", candidate, packed, "--type", "I2_S", "--allow-lossy"),
        (0, "info", packed),
        (0, "info", "--scan", reference),
        (0, "tokenize", reference, TEXT),
        (1, "parity", reference, packed, "--corpus", text, "--export", out, "--max-tokens", 40, "--noise-floor", 0),
        (0, "eval", reference, "--corpus", text, "--max-tokens", 40),
        (0, "record", reference, tmp_path / "recorded\x9b", "--corpus", text, "--max-tokens", 40),
        (1, "judge", out),
        (0, "replay", failures, "--row", 1),
        (1, "diff", reference, packed),
        (1, "diagnose", reference, f"{packed}?", "--export", tmp_path / "diagnosed\u202e"),
        (0, "capture", reference, "--tokens", 8, "--export", tmp_path / "captured\x1b[3J"),
        (0, "generate", reference, TEXT, "-n", 8),
        (1, "gate", "nightly", out),
        (0, "preserve", out, "--into", kept),
        (1, "accept", f"{reference}?", packed, "--export", tmp_path / "accepted\x07"),
        (0, "report", "signoff", tmp_path / "accepted\x07" / "acceptance_summary.json"),
    ):
        found, written = say(*words)
        assert found == code, written.decode()
        seen[words[0]] = left_over(written)
        assert len(written) > 40
    (archive,) = kept.iterdir()
    for damaged in (False, True):
        if damaged:
            archive.write_bytes(archive.read_bytes()[:-200])
        code, written = say("preserve", "--verify", archive, archive)
        assert code == int(damaged)
        seen[f"preserve --verify, {damaged}"] = left_over(written)
    pages = [path for path in tmp_path.rglob("*") if path.suffix in (".md", ".csv", ".html")]
    seen |= {path.name: left_over(path.read_bytes()) for path in pages}
    assert {words: left for words, left in seen.items() if left} == {}


def test_no_artifact_passes_a_byte_on(say, tmp_path, monkeypatch):
    """Red when a command that reads artifacts, or lists what was recorded, writes what a file of those says."""
    model, seen = write_model(tmp_path), {}
    write_runs(tmp_path / "runs", model)
    monkeypatch.setenv("BITNET_TUI_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "made\x9b"
    folder.mkdir()
    for name, artifact in artifacts().items():
        (folder / f"{name}.json").write_bytes(orjson.dumps(hostile(artifact)))
    signed = folder / "signed"
    signed.write_bytes(orjson.dumps({**artifacts()["acceptance"], "verdict": CORPUS[0]}))
    damaged = folder / "damaged\x07"
    damaged.write_bytes(orjson.dumps({**artifacts()["acceptance"], "stamp": {}}))
    page = folder / "p\u202e.md"
    page.write_text("\x1b[3J")
    for words in (
        ("info", model),
        ("runs", "list"),
        ("runs", "prune", "--limit-gib", "0.000000001", "--dry-run"),
        ("gate", "release", folder),
        ("gate", "nightly", folder),
        ("judge", folder / "parity.json"),
        ("preserve", "--verify", folder / "parity.json"),
        ("report", "signoff", folder / "acceptance.json"),
        ("report", "signoff", signed),
        ("report", "signoff", damaged),
        ("report", "perf", "--measurements", folder, "--page", page, "--check"),
        ("report", "perf", "--measurements", folder, "--page", page),
        ("report", "signoff", folder / "parity.json"),
        ("locate",),
    ):
        code, written = say(*words)
        assert code in (0, 1, 3), written.decode()
        seen[words] = left_over(written)
    assert {words: left for words, left in seen.items() if left} == {}


def artifacts():
    """Return an artifact of each kind that commands read."""
    gate = {"gate": "decode", "status": "PASS", "value": 0.5, "limit": 0.9, "interval": [None, None], "detail": "slow"}
    bench = orjson.loads((ROOT / "docs" / "screens" / "bench.json").read_bytes())
    condition = {"name": "performance", "status": "NO-GO", "reason": "slow", "seconds": 1.0, "numbers": {}}
    summary = {"schema": "bitnet-tui/acceptance", "schema_version": 1, "profile": "quantized", "verdict": "NO-GO"}
    summary |= {"reference": "a", "candidate": "b", "conditions": [condition], "stamp": bench["stamp"]}
    judged = {**bench, "judgement": {"baseline": "a", "verdict": "FAIL", "why": "slow", "gates": [gate]}}
    return {"bench": judged, "parity": parity_report(), "verify": proof().to_json(), "acceptance": summary}


def parity_report():
    """Return the report of the recorded run that is shipped."""
    lines = (ROOT / "samples" / "demo" / "events.jsonl").read_bytes().splitlines()
    return next(event["report"] for event in map(orjson.loads, lines) if event["event"] == "report")


def proof():
    """Return a proof of determinism, one of whose checks fails."""
    check = Check("logits again", "of fresh processes", "not reproducible", "a reason", ("ab" * 32, "cd" * 32), 0.5)
    return Proof("model.gguf", "exact-int8", 2, 16, (check,))


READING = {"i2s_layout": "B", "i2s_basis": "detected", "i2s_evidence": "shares", "kernel_config": "kernel.ini"}
READING |= {"kernel_config_sha256": "ab" * 32}


def differences():
    """Return a report of `diff` in which everything is something else."""
    tensor = {"name": "w", "ternary": False, "equal": False, "reference_type": "F32", "candidate_type": "F16"}
    tensor |= {"note": "why", "different": None, "reference_shape": [1], "candidate_shape": [2]}
    tokenizer = {"equal": False, "note": "none", "reference": None, "candidate": None}
    found = {"settings": [{"key": "eps", "reference": "a", "candidate": "b"}], "settings_compared": 3}
    found |= {"tokenizer": tokenizer, "tensors": [tensor], "only_reference": ["a"], "only_candidate": ["b"]}
    sides = {"reference": "a", "candidate": "b", "reference_reading": READING, "candidate_reading": READING}
    return {**sides, **found, "identical": False}


def finding():
    """Return a report of `diagnose` with a cause, something unexplained, and a repair."""
    one = {"layer": 1, "operation": "attn_q", "residual": 0.5, "tolerance": 1e-6, "cause": "scale"}
    cause = {"tensors": ["a", "b"], "rows": [1], "offset": 7, "harmless": False}
    cause |= {"sentence": "it is off", "name": "scale", "evidence": "the same", "remedy": "convert"}
    unexplained = {**one, "description": ["rows"], "reproduction": "none"}
    repaired = {"path": "b.gguf", "says": "written", "tensors": []}
    found = {"causes": [cause], "unexplained": [unexplained], "first": one, "proof": None, "repaired": repaired}
    return {"reference": "a", "candidate": "b", "verdict": "UNEXPLAINED", **found}


def conversion():
    """Return a report of `convert` that lists what was rounded."""
    loss = {"tensor": "w", "what": "the scale", "max_rel": None}
    return {"target": "b.gguf", "type": "I2_S", "tensors": 3, "bytes": 9, "reading": READING, "losses": [loss]}


def replayed():
    """Return a report of `replay` on another stamp."""
    number = {"name": "kl", "recorded": 0.5, "replayed": 0.25, "difference": 0.25}
    stamps = {"stamp_differences": ["cpu: a, b"], "same_stamp": False, "identical": False}
    return {"line": "row 1", "document": "a.txt", "position": 1, "numbers": [number], **stamps}


def test_no_report_passes_a_byte_on():
    """Red when a display writes a text of a report as it stands, wherever in the report it is."""
    made = artifacts()
    lines = [
        *bench.bench_lines(hostile(made["bench"])),
        *plain.parity_lines({"weights": None, **hostile(made["parity"])}),
        *proofs.verify_lines({**made["verify"], "path": CORPUS[0], "stamp": {"numerics": "exact-int8"}}),
        *diagnosis.finding_lines(hostile(finding())),
        *diff.diff_lines(hostile(differences())),
        *diff.conversion_lines(hostile(conversion())),
        *proofs.replay_lines({**hostile(replayed()), "numbers": replayed()["numbers"]}),
    ]
    assert left_over("\n".join(lines).encode()) == []


class Screen(io.StringIO):
    """A terminal's stream: progress is one line redrawn."""

    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Screen])
def test_no_progress_passes_a_byte_on(monkeypatch, stream):
    """Red when progress, redrawn or line by line, writes a stage, a tensor or a warning as it stands."""
    monkeypatch.setattr(plain, "REDRAW_SECONDS", 0.0)
    said = stream()
    narrator = plain.Narrator(said)
    for text in CORPUS:
        narrator.feed({"event": "stage", "name": text, "status": "start", "seconds": None})
        narrator.feed({"event": "warn", "message": text})
        narrator.feed({"event": "tensor", "work": "compare", "name": text, "index": 1, "count": 2})
        progress = {"engine": "bitnet-tui", "case": text, "index": 1, "count": 2, "seconds_left": 1.0}
        narrator.feed({"event": "bench", **progress})
    narrator.close()
    written = said.getvalue().replace("\r\x1b[K", "\n")
    assert written.count("\n") >= 2 * len(CORPUS)
    assert left_over(written.encode()) == []


@pytest.mark.parametrize("debug", [False, True])
def test_no_refusal_passes_a_byte_on(say, tmp_path, debug):
    """Red when the line that ends a command, or its traceback, quotes a path or a file as it stands."""
    missing, broken, seen = tmp_path / "no\x1b[3J\u202e", tmp_path / "b\x9b.gguf", {}
    broken.write_bytes(write_model(tmp_path).read_bytes()[:2000])
    for words in (
        ("info", broken),
        ("tokenize", missing, TEXT),
        ("generate", broken, TEXT),
        ("eval", broken, "--corpus", missing),
        ("parity", broken, missing),
        ("parity", broken, missing, "--profile", missing),
        ("judge", missing),
        ("replay", missing, "--row", "1"),
        ("record", missing, tmp_path / "recorded"),
        ("verify", broken),
        ("bench", missing),
        ("report", "signoff", missing),
        ("report", "perf", "--measurements", missing),
        ("diff", missing, broken),
        ("capture", broken, "--export", tmp_path / "captured"),
        ("convert", broken, missing, "--type", "I2_S"),
        ("convert", broken, missing, "--type", TEXT),
        ("gate", "pr", missing),
        ("preserve", missing, "--into", tmp_path),
        ("preserve", "--verify", missing),
        ("runs", "list", f"tau<{TEXT}"),
        ("info", broken, "--\x1b[3J"),
        ("info", broken, "--limit", TEXT),
    ):
        code, written = say(*words, debug=debug)
        assert code in (2, 3, 4, 6), written.decode()
        seen[words] = left_over(written)
    assert {words: left for words, left in seen.items() if left} == {}
