"""`bench` as the program runs it: events, artifact, lines, judgement; and the page of committed measurements."""

import copy

import orjson
import pytest

from bitnet_tui.core import benching, measurements, session
from bitnet_tui.core.bench_text import amount
from bitnet_tui.core.measurements import Measurement
from bitnet_tui.display.bench import bench_lines
from bitnet_tui.display.performance import performance_page
from docs import schemas
from tests.tui.test_schema import fits

REQUEST = {
    "kind": "bench",
    "iterations": 2,
    "warmup": 0,
    "threads": [1],
    "quick": True,
    "peers": False,
    "allow_noise": True,
    "baseline": None,
    "command": "bitnet-tui bench model.gguf",
}


@pytest.fixture(scope="module")
def events(i2_s):
    """A real benchmark of the sample, as small as it can be; on a busy machine, where nothing else is certain."""
    return [orjson.loads(orjson.dumps(event)) for event in session.run({**REQUEST, "path": str(i2_s)})]


@pytest.fixture
def report(events):
    """Its report, to be changed at will."""
    return copy.deepcopy(events[-1]["report"])


def test_a_run_writes_what_the_schemas_say(events):
    """Red when a field is written that no schema has, or lacks, or has another type."""
    assert {event["event"] for event in events} == {"run.start", "stage", "bench", "report"}
    for event in events:
        assert fits(event, schemas.schemas()["events.schema.json"]) == [], event["event"]
    assert fits(events[-1]["report"], schemas.schemas()["bench.schema.json"]) == []


def test_progress_counts_to_its_end(events):
    """Red when the number of samples is guessed wrong, and the time that is left with it."""
    counts = [(event["index"], event["count"]) for event in events if event["event"] == "bench"]
    assert [index for index, _ in counts] == list(range(1, len(counts) + 1))
    assert {count for _, count in counts} == {len(counts)}


def test_everything_was_measured(report):
    """Red when a case is left out, has no samples, or its limit was not measured beside it."""
    found = {measure["case"]: measure for measure in report["measures"]}
    assert {"load", "peak-memory", "read", "decode@64", "ttft[32]", "prefill[32]", "body[1]", "head"} <= set(found)
    assert all(measure["value"] > 0 for measure in found.values())
    assert all(len(measure["samples"]) == 2 for measure in found.values() if measure["kind"] == "decode")
    assert found["decode@64"]["share"] > 0
    assert found["decode@64"]["limit"]["what"].startswith("reading ")
    assert [one["position"] for one in report["breakdown"]] == [64]


def test_the_lines_say_what_was_measured(report):
    """Red when a figure of the artifact is not shown, or noise is not marked."""
    text = "\n".join(bench_lines(report))
    decode = next(measure for measure in report["measures"] if measure["case"] == "decode@64")
    assert f"{amount(decode['value'])} tok/s" in text
    assert "1 thread\n" in text
    # On a busy machine some samples are disturbed in truth.
    for number, sample in enumerate(decode["samples"]):
        sample["disturbed"] = [] if number else ["steal 9.0%"]
    report["judgement"] |= {"verdict": "NOISY", "why": "because"}
    lines = bench_lines(report)
    assert any(line.startswith("~ decode@64") and "1 of 2 samples disturbed" in line for line in lines)
    assert lines[-1] == "NOISY  (because)"


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (27.84, "27.8"), (150.4, "150"), (999.96, "1000"), (1234.5, "1234")]
)
def test_numbers_keep_three_digits(value, text):
    """Red when a number is shown in powers of ten, or with a point and nothing after it."""
    assert amount(value) == text


def test_noise_is_a_verdict_unless_it_is_allowed(report):
    """Red when a noisy run ends like any other."""
    report["noisy"] = ["decode@64 of bitnet-tui on 2"]
    request = {**REQUEST, "allow_noise": False}
    assert benching.judgement(request, report, None)["verdict"] == "NOISY"
    assert benching.judgement(REQUEST, report, None)["verdict"] is None
    report["noisy"] = []
    assert benching.judgement(request, report, None)["verdict"] is None


def test_a_missing_baseline_is_no_verdict(report, tmp_path):
    """Red when a gate without a baseline passes."""
    found = benching.judgement({**REQUEST, "baseline": str(tmp_path / "b.json")}, report, None)
    assert found["verdict"] == "INCONCLUSIVE"
    assert "there is no baseline at" in found["why"]


def test_a_baseline_is_judged(report):
    """Red when the comparison is made and not said, or the gates are not those of the schema."""
    then = copy.deepcopy(report)
    for measure in then["measures"]:
        for taken in measure["samples"]:
            taken["disturbed"] = []
        measure["noisy"] = False
    found = benching.judgement({**REQUEST, "baseline": "b.json"}, then, then)
    rule = schemas.schemas()["bench.schema.json"]["properties"]["judgement"]
    assert fits(orjson.loads(orjson.dumps(found)), rule) == []
    assert {gate["gate"] for gate in found["gates"]} >= {"decode@64, 1 threads", "load, 1 threads"}


def test_another_machines_baseline_is_refused_before_measuring(i2_s, report, tmp_path):
    """Red when a run of minutes ends in a refusal that its first second could have given."""
    report["stamp"]["cpu"] = "another"
    (tmp_path / "b.json").write_bytes(orjson.dumps(report))
    request = {**REQUEST, "path": str(i2_s), "baseline": str(tmp_path / "b.json")}
    with pytest.raises(session.SettingError, match="another stamp: cpu was 'another'"):
        next(session.run(request))


def test_a_page_is_the_same_bytes_and_every_digit_counts(report, root):
    """Red when a page is rendered otherwise the second time, or an edited digit passes."""
    memory = orjson.loads((root / "docs" / "measurements" / "memory.json").read_bytes())
    found = [Measurement("bench.json", report), Measurement("memory.json", memory)]
    page = performance_page(found)
    assert performance_page(copy.deepcopy(found)) == page
    assert measurements.first_difference(page, page) is None
    decode = next(measure for measure in report["measures"] if measure["case"] == "decode@64")
    shown = f"{amount(decode['value'])} tok/s"
    edited = page.replace(shown, "9" + shown)
    assert "and the measurements say" in (measurements.first_difference(edited, page) or "")
    assert "lines" in (measurements.first_difference(page + "\n", page) or "")


def test_what_nobody_measured_is_named(report):
    """Red when a page is silent on a machine that no artifact is of, or still lists one that has been measured."""
    page = performance_page([Measurement("b.json", report)])
    assert "- TPU" in page.split("## Not measured")[1]
    report["stamp"] |= {"device": "tpu: v5", "isa": ["asimd"], "cpu": "AMD EPYC"}
    left = performance_page([Measurement("b.json", report)]).split("## Not measured")[1]
    assert "GPU" in left
    assert not any(name in left for name in ("TPU", "ARM", "AMD"))


def test_a_page_without_benchmarks_says_so(root):
    """Red when a page that nobody measured speed for reads as if there were nothing to say."""
    memory = orjson.loads((root / "docs" / "measurements" / "memory.json").read_bytes())
    assert "nothing is said of speed" in performance_page([Measurement("memory.json", memory)])


def test_other_files_among_measurements_are_left_out(tmp_path, report):
    """Red when a page is rendered from what is not understood, or an artifact of another kind stops it."""
    (tmp_path / "other.json").write_bytes(b'[{"schema": "bitnet-tui/bench"}]')
    with pytest.raises(session.FormatError, match="holds no measurement"):
        measurements.load(tmp_path)
    (tmp_path / "bench.json").write_bytes(orjson.dumps(report))
    assert [one.name for one in measurements.load(tmp_path)] == ["bench.json"]
    (tmp_path / "old.json").write_bytes(b'{"schema": "bitnet-tui/bench", "schema_version": 9}')
    with pytest.raises(session.FormatError, match=r"old\.json: is bitnet-tui/bench of version 9; version 1"):
        measurements.load(tmp_path)
    (tmp_path / "old.json").write_bytes(b"{")
    with pytest.raises(session.FormatError, match="is no JSON"):
        measurements.load(tmp_path)
