"""The artifact: it round-trips, is judged again, is whole or absent, and never holds a NaN."""

import dataclasses
import math

import orjson
import pytest

from bitnet_engine.errors import FormatError, StorageError
from bitnet_parity import FailureLog, Gates, Report, TokenRow, Verdict, compare

from .fakes import Bigram, Bytes, noise, write_corpus


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a noisy candidate with tokenizers that differ."""
    return compare(
        reference=Bigram(),
        candidate=Bigram(noise(0.2)),
        reference_tokenizer=Bytes(),
        candidate_tokenizer=Bytes(spell=lambda text: text.replace("Ö", "O").replace("Ü", "U")),
        corpus=write_corpus(tmp_path_factory.mktemp("text") / "eval", documents=21, words=8),
        gates=Gates.profile("quantized"),
        context=32,
        stamp={"id": "run-1"},
        reference_description={"path": "a"},
        candidate_description={"path": "b"},
    )


def test_a_stored_report_is_the_report(report, tmp_path):
    """Red when a field is lost or changes its type on the way through JSON."""
    assert [path.name for path in report.export(tmp_path / "new" / "folder")] == [
        "parity_failures.jsonl",
        "report.json",
    ]
    again = Report.load(tmp_path / "new" / "folder" / "report.json")
    assert again == report
    assert again.to_json() == report.to_json()


@pytest.mark.parametrize("profile", ["lossless", "nightly", "fp32", "quantized"])
def test_a_stored_report_is_judged_as_the_live_one(report, tmp_path, profile):
    """Red when something a gate looks at is not in the file."""
    report.export(tmp_path)
    gates = Gates.profile(profile)
    assert Report.load(tmp_path / "report.json").judge(gates) == report.judge(gates)
    assert report.judge(Gates.profile("quantized")) == report.judgement


def test_other_gates_other_verdict(report):
    """Red when judging again returns the stored verdict."""
    lenient = dataclasses.replace(Gates.profile("quantized"), median_tau_b=0.1, delta_mean_nll=10.0, tokenizer_rate=0.5)
    assert report.judge(lenient).verdict is Verdict.PASS
    assert report.judge(Gates.profile("lossless")).verdict is Verdict.FAIL


def test_a_loaded_report_leaves_the_failures_alone(report, tmp_path):
    """Red when exporting a loaded report empties the failures of the run."""
    report.export(tmp_path)
    before = (tmp_path / "parity_failures.jsonl").read_bytes()
    assert before
    assert [path.name for path in Report.load(tmp_path / "report.json").export(tmp_path)] == ["report.json"]
    assert (tmp_path / "parity_failures.jsonl").read_bytes() == before


def test_schema_and_identity_are_in_the_file(report, tmp_path):
    """Red when a reader cannot tell what it reads, or which text was scored."""
    report.export(tmp_path)
    value = orjson.loads((tmp_path / "report.json").read_bytes())
    assert (value["schema"], value["schema_version"]) == ("bitnet-tui/parity-report", 3)
    assert value["stamp"] == {"id": "run-1"}
    assert value["corpus"].keys() == {"name", "sha256", "documents", "tokens"}
    assert value["judgement"]["profile"] == "quantized"
    assert value["tokenizer"]["first_difference"]["string"].startswith("battery ")


def test_a_floor_is_part_of_the_stored_numbers(report, tmp_path):
    """Red when a report is judged again under limits finer than the noise of its own run."""
    report.export(tmp_path)
    again = Report.load(tmp_path / "report.json")
    assert again.floor == report.floor
    strict = dataclasses.replace(Gates.profile("quantized"), median_tau_b=1.0, floor_factor=10.0)
    assert again.judge(strict).gates[1].limit == pytest.approx(1 - 10 * (1 - report.floor.tau_b))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not JSON at byte 1"),
        (b"[1]", "not a parity report: schema is None"),
        (b'{"schema": "bitnet-tui/events"}', "not a parity report: schema is 'bitnet-tui/events'"),
        (
            b'{"schema": "bitnet-tui/parity-report", "schema_version": 1}',
            "schema_version is 1, this program reads 3",
        ),
        (b'{"schema": "bitnet-tui/parity-report", "schema_version": 3}', "a damaged parity report: KeyError"),
    ],
)
def test_a_bad_report_is_one_line(tmp_path, data, message):
    """Red when a foreign or torn file is a traceback, or a missing field a default."""
    (tmp_path / "report.json").write_bytes(data)
    with pytest.raises(FormatError, match=message) as raised:
        Report.load(tmp_path / "report.json")
    assert str(tmp_path / "report.json") in str(raised.value)


def test_an_absent_report(tmp_path):
    """Red when a missing file is a FileNotFoundError."""
    with pytest.raises(FormatError, match=r"report\.json: no such file; pass a report.json"):
        Report.load(tmp_path / "report.json")


def test_a_folder_that_cannot_be_made(report, tmp_path):
    """Red when a file in the way is a traceback after an hour's run."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="taken: cannot make the folder"):
        report.export(tmp_path / "taken")


def row(**changes):
    fields = {
        "index": 0,
        "document": "a.txt",
        "position": 0,
        "token": 1,
        "text": "x",
        "tau_b": 0.5,
        "tau_b_error": 0.0,
        "tau_top": 0.4,
        "kl": 0.1,
        "js": 0.02,
        "nll_reference": 1.0,
        "nll_candidate": 1.0,
        "delta_p": 0.0,
        "nmse": 0.01,
        "cosine": 0.99,
        "max_abs": 0.5,
        "overlap": 0.9,
        "same_top": True,
        "margin": 0.2,
        "top_reference": ((1, "x", 2.0),),
        "top_candidate": ((1, "x", math.nan),),
    }
    return TokenRow(**(fields | changes))


def test_a_row_in_json_has_no_nan():
    """Red when a NaN logit deep in a row reaches the file."""
    found = row(tau_b=math.nan, kl=math.inf).to_json()
    assert (found["tau_b"], found["kl"], found["top_candidate"]) == (None, None, [[1, "x", None]])


def test_failures_past_the_limit_are_counted(tmp_path):
    """Red when a log grows without end, or drops lines without saying so."""
    log = FailureLog({"run": "r"}, limit=1000)
    for i in range(20):
        log.add(row(index=i), [1, 2], [3], ["tau_b"])
    log.write(tmp_path / "f.jsonl")
    lines = (tmp_path / "f.jsonl").read_bytes().splitlines()
    assert 0 < len(lines) == len(log) < 20
    assert log.omitted == 20 - len(log)
    assert [orjson.loads(line)["index"] for line in lines] == list(range(len(lines)))
    assert (tmp_path / "f.jsonl").stat().st_size <= 1000
