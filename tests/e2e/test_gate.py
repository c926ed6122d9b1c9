"""Lanes: what is missing never passes, what is red stops, and nothing is computed again."""

import json
from pathlib import Path

import pytest

from docs import schemas
from tests.e2e.program import run
from tests.tui.test_schema import fits

NANO = Path(__file__).parents[2] / "samples" / "nano"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """A real parity report of the sample against itself, and what verify, bench and accept write, in short."""
    folder = tmp_path_factory.mktemp("artifacts")
    done = run(*("parity", NANO / "packed", NANO / "model-i2_s.gguf", "--max-tokens", "480", "--export", folder))
    assert done.returncode == 0, done.stderr
    check = {"name": "logits again", "label": "bit-exact (2 runs)"}
    write(folder / "verify.json", "bitnet-tui/verify", checks=[check], holds=True)
    speed = {"baseline": "old.json", "verdict": "PASS", "why": "", "gates": [{"gate": "decode@64", "status": "PASS"}]}
    write(folder / "bench.json", "bitnet-tui/bench", judgement=speed)
    write(folder / "acceptance_summary.json", "bitnet-tui/acceptance", verdict="GO", conditions=[])
    return folder


def write(path, schema, **fields):
    path.write_text(json.dumps({"schema": schema, "schema_version": 1, **fields}))


@pytest.fixture
def folder(artifacts, tmp_path):
    """The same files, to be changed."""
    for path in artifacts.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("lane", ["pr", "nightly", "release"])
def test_all_there_and_holding_is_go(folder, lane):
    """Red when a lane asks for what no command writes."""
    done = run("gate", lane, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("GO, ")


@pytest.mark.parametrize(
    ("lane", "missing", "made_by"),
    [
        ("pr", "report.json", "parity"),
        ("nightly", "verify.json", "verify"),
        ("nightly", "bench.json", "bench"),
        ("release", "acceptance_summary.json", "accept"),
    ],
)
def test_what_is_missing_is_no_verdict(folder, lane, missing, made_by):
    """Red when a step that did not run passes."""
    (folder / missing).unlink()
    done = run("gate", lane, folder, "--json")
    assert done.returncode == 5
    result = json.loads(done.stdout)
    assert fits(result, schemas.schemas()["gate.schema.json"]) == []
    assert result["verdict"] == "NO-GO"
    (red,) = [condition for condition in result["conditions"] if condition["status"] != "GO"]
    assert red["status"] == "NO VERDICT"
    assert f"bitnet-tui {made_by}" in red["reason"]


@pytest.mark.parametrize(
    ("file", "changes", "code", "said"),
    [
        ("verify.json", {"holds": False}, 1, "determinism"),
        ("bench.json", {"judgement": {"baseline": None, "verdict": None, "why": "", "gates": []}}, 5, "no baseline"),
        ("bench.json", {"judgement": {"baseline": "b", "verdict": "FAIL", "why": "", "gates": []}}, 1, "FAIL"),
        ("bench.json", {"judgement": {"baseline": "b", "verdict": "INCONCLUSIVE", "why": "x", "gates": []}}, 5, "x"),
        ("bench.json", {"judgement": {}}, 3, "damaged"),
    ],
)
def test_what_does_not_hold_stops_the_lane(folder, file, changes, code, said):
    """Red when a lane looks whether an artifact is there, and not at what it says."""
    (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **changes}))
    done = run("gate", "nightly", folder)
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_a_lane_judges_by_the_profile_it_is_given(folder):
    """Red when the verdict that the report brings is taken for the lane's."""
    report = json.loads((folder / "report.json").read_text())
    report["judgement"]["verdict"] = "FAIL"
    (folder / "report.json").write_text(json.dumps(report))
    done = run("gate", "pr", folder, "--profile", "lossless", "--json")
    assert done.returncode == 0
    assert "under lossless: PASS" in json.loads(done.stdout)["conditions"][0]["reason"]


def test_of_several_reports_all_have_to_hold(folder):
    """Red when the first report decides for those of other models."""
    (folder / "deep").mkdir()
    report = json.loads((folder / "report.json").read_text())
    (folder / "deep" / "report.json").write_text(json.dumps({**report, "schema_version": 1}))
    done = run("gate", "pr", folder)
    assert done.returncode == 3
    assert "deep/report.json" in done.stderr
