"""replay, record and verify as processes, and the sides of a comparison that are no models of ours."""

import json

import pytest

from tests.e2e.program import run


@pytest.fixture(scope="module")
def failures(packed, i2_s, short_corpus, tmp_path_factory):
    """The failures of a run whose candidate computes in floats."""
    out = tmp_path_factory.mktemp("failures")
    scope = ("--corpus", short_corpus, "--context", 64, "--max-tokens", 150, "--profile", "lossless", "--export", out)
    done = run("parity", packed, i2_s, "--candidate-numerics", "float", *scope)
    assert done.returncode == 1, done.stderr
    return out / "parity_failures.jsonl"


def test_a_failure_is_replayed_bit_for_bit_from_its_line_alone(failures, tmp_path):
    """Red when a line lacks something, or a window of another shape is run: then the last bits differ."""
    lines = failures.read_bytes().splitlines()
    (tmp_path / "one.jsonl").write_bytes(lines[len(lines) // 2] + b"\n")
    done = run("replay", tmp_path / "one.jsonl", "--row", 1, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["identical"], report["same_stamp"]) == (True, True)
    assert {number["name"] for number in report["numbers"]} >= {"tau_b", "kl", "nll_candidate", "top_candidate"}


def test_a_replay_that_differs_says_by_how_much(failures, tmp_path):
    """Red when a changed number is called identical, or another machine's stamp is not mentioned."""
    line = json.loads(failures.read_bytes().splitlines()[0])
    line["kl"] += 0.25
    (tmp_path / "changed.jsonl").write_text(json.dumps(line) + "\n")
    same = run("replay", tmp_path / "changed.jsonl", "--row", 1)
    assert same.returncode == 1, same.stderr
    assert "differs by -0.25" in same.stdout
    assert same.stdout.splitlines()[-1] == "DIFFERENT  (bit for bit, on the same stamp)"
    line["stamp"]["cpu"] = "another\x1b[2J"
    (tmp_path / "changed.jsonl").write_text(json.dumps(line) + "\n")
    other = run("replay", tmp_path / "changed.jsonl", "--row", 1)
    assert other.returncode == 0, other.stderr
    assert "stamp: cpu is 'another" in other.stdout
    assert "\x1b" not in other.stdout


def test_another_file_under_the_same_name_is_exit_3(failures, tmp_path):
    """Red when a replay answers for a model that has been replaced since."""
    line = json.loads(failures.read_bytes().splitlines()[0])
    line["candidate"]["sha256"] = "0" * 64
    (tmp_path / "other.jsonl").write_text(json.dumps(line) + "\n")
    done = run("replay", tmp_path / "other.jsonl", "--row", 1)
    assert done.returncode == 3
    assert "its sha256 is another" in done.stderr


@pytest.mark.parametrize(
    ("content", "row", "code", "message"),
    [
        (b"", 1, 2, "has 0 lines; --row 1 is past its end"),
        (b"{", 1, 3, "not JSON"),
        (b"[1]\n", 1, 3, "lacks 'path'"),
        (b'{"path": [1]}\n', 1, 3, "lacks 'following'"),
    ],
)
def test_a_line_that_cannot_be_replayed_is_one_line(tmp_path, content, row, code, message):
    """Red when a foreign file is a traceback."""
    (tmp_path / "f.jsonl").write_bytes(content)
    done = run("replay", tmp_path / "f.jsonl", "--row", row)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]


def test_a_recording_stands_for_its_model(packed, i2_s, short_corpus, tmp_path):
    """Red when a recorded side gives another verdict, or needs the model that it was made of."""
    scope = ("--corpus", short_corpus, "--context", 64, "--max-tokens", 150)
    done = run("record", packed, tmp_path / "r", *scope)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"side        recorded:{tmp_path / 'r'}"
    files = ("--junit", tmp_path / "j.xml", "--report", tmp_path / "r.md")
    done = run("parity", f"recorded:{tmp_path / 'r'}", i2_s, *scope[:2], *scope[4:], "--profile", "lossless", *files)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "PASS  (profile lossless, numerics recorded exact-int8 against exact-int8)"
    assert b'failures="0"' in (tmp_path / "j.xml").read_bytes()
    assert (tmp_path / "r.md").read_text().startswith("# Parity: PASS")
    again = run("record", packed, tmp_path / "r", *scope)
    assert again.returncode == 4
    assert "not an empty folder" in again.stderr


def test_verify_labels_every_check(i2_s, tmp_path):
    """Red when a label is missing, fresh processes differ, or capturing every result changes a bit of the logits."""
    done = run("verify", i2_s, "--export", tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "verify.json").read_bytes())
    labels = {check["name"]: check["label"] for check in report["checks"]}
    assert labels.keys() == {"logits again", "accumulators again", "batch", "bucket", "capture", "accumulators batch"}
    again = [labels[name] for name in ("logits again", "accumulators again", "accumulators batch", "capture")]
    assert again == ["bit-exact (2 runs)"] * 4
    assert labels["batch"].startswith(("bit-exact", "reproducible to"))
    why = {check["name"]: check["why"] for check in report["checks"]}
    for name, label in labels.items():
        expected = "every sha256 is the same" if label.startswith("bit-exact") else "is summed in another order"
        assert expected in why[name]
    assert done.stdout.splitlines()[-1] == "REPRODUCIBLE  (numerics exact-int8)"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("parity", "hf:", "{i2_s}"), 2, "no path follows the colon"),
        (("parity", "kld:{i2_s}", "{i2_s}"), 3, "not a base file of llama-perplexity"),
        (("parity", "recorded:{i2_s}", "{i2_s}"), 3, "index.json"),
        (("parity", "kld:x", "{i2_s}", "--corpus", "y"), 2, "leave --corpus out"),
        (("parity", "{i2_s}", "{i2_s}", "--report", "x.pdf", "--max-tokens", "1"), 2, "no format of a report"),
        (("verify", "nothing"), 3, "nothing: no such file"),
        (("verify", "{i2_s}", "--tokens", "1000"), 2, "the model has 256 positions"),
        (("verify", "{i2_s}", "--runs", "1"), 2, "--runs"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(i2_s, arguments, code, message):
    """Red when a source that cannot be used is a traceback or another code."""
    done = run(*(argument.format(i2_s=i2_s) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert message in done.stderr.splitlines()[-1]


def test_a_variable_that_means_nothing_stops_the_run(i2_s):
    """Red when BITNET_THREADS=all computes with some default and is stamped as nothing."""
    done = run("generate", i2_s, "x", BITNET_THREADS="all")
    assert done.returncode == 2
    assert "BITNET_THREADS='all': a whole number from 1" in done.stderr
