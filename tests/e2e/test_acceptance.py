"""GO and NO-GO: every condition is made to fail once, by what it is there to find."""

import json
from pathlib import Path

import pytest

from bitnet_tui.cli.parity_command import run_exporting
from bitnet_tui.core import session
from bitnet_tui.core.acceptance import Trial, exit_code, summary, try_all
from bitnet_tui.core.events import dumps
from bitnet_tui.core.session import BitnetError
from docs import schemas
from tests.e2e.program import run as program
from tests.tui.test_schema import fits

SCHEMAS = schemas.schemas()
NANO = Path(__file__).parents[2] / "samples" / "nano"
PACKED, I2_S = str(NANO / "packed"), str(NANO / "model-i2_s.gguf")


def tried(folder, *names, reference=PACKED, candidate=I2_S, run=run_exporting, **more):
    """The summary of the conditions `names`, which is what its schema says, and the last of them."""
    trial = Trial(reference, candidate, folder / "artifacts", run, **{"max_tokens": 480, **more})
    result = summary(trial, try_all(trial, names))
    assert fits(json.loads(dumps(result)), SCHEMAS["acceptance.schema.json"]) == []
    return result, result["conditions"][-1]


def broken(folder, fault, **more):
    from bitnet_engine import QuantType
    from bitnet_parity.faults import inject_file

    path = folder / f"{fault}.gguf"
    inject_file(PACKED, path, fault, 1, QuantType.I2_S, **more)
    return str(path)


def reporting(**fields):
    """A runner whose every report is `fields`."""
    return lambda _request: fields


@pytest.mark.parametrize(
    ("device", "kernel", "code", "said"),
    [
        ("cpu: cpu", "xla (there is no compiler)", 1, "it was xla (there is no compiler)"),
        ("cpu: cpu", None, 5, "no kernel of this engine multiplied"),
        ("cpu: cpu", "native avx2", 0, "kernel native avx2"),
        ("gpu: H100", "xla (no processor)", 0, "kernel xla"),
    ],
)
def test_another_kernel_than_the_one_for_this_machine(tmp_path, device, kernel, code, said):
    """Red when an audit passes on the slower stand-in of the kernel that is shipped, or refuses a GPU."""
    facts = dict.fromkeys(["platform", "wsl2", "cpu", "isa", "threads", "versions", "determinism"])
    run = reporting(stamp={**facts, "device": device, "kernel": kernel})
    result, last = tried(tmp_path, "environment", run=run)
    assert exit_code(result) == code
    assert said in last["reason"]


@pytest.mark.parametrize(
    ("weights", "code", "said"),
    [(None, 5, "no file of weights"), ({}, 0, "the profile fp32 sets no limit for stored weights")],
)
def test_weights_that_nobody_compared(tmp_path, weights, code, said):
    """Red when a condition that could not be tried passes, or a profile without limits for weights cannot accept."""
    run = reporting(weights=weights, judgement={"profile": "fp32", "gates": []})
    result, last = tried(tmp_path, "weights", run=run)
    assert exit_code(result) == code
    assert said in last["reason"]


@pytest.mark.parametrize("condition", ["introspection", "performance"])
def test_a_missing_side(tmp_path, condition):
    """Red when a candidate that is not there is accepted, or the reason is how a process died of it."""
    result, last = tried(tmp_path, condition, candidate="nothing.gguf")
    assert exit_code(result) == 1
    assert last["reason"].startswith("nothing.gguf: no such file")


def test_the_command_ends_as_its_summary_says(tmp_path):
    """Red when a process that found NO-GO exits 0, prints another summary than it writes, or writes none."""
    done = program("accept", "nothing.gguf", I2_S, "--export", tmp_path / "out", "--json")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert fits(result, SCHEMAS["acceptance.schema.json"]) == []
    assert json.loads((tmp_path / "out" / "acceptance_summary.json").read_bytes()) == result
    assert {condition["status"] for condition in result["conditions"]} == {"GO", "NO-GO"}
    assert done.stderr.count("✘") == len([one for one in result["conditions"] if one["status"] == "NO-GO"])


def test_a_header_with_an_error(tmp_path):
    """Red when a file whose header shows that tensors of the graph are gone is introspected without a word."""
    result, last = tried(tmp_path, "introspection", candidate=broken(tmp_path, "sub-norms-dropped"))
    assert exit_code(result) == 1
    assert last["reason"].startswith("candidate: ")
    assert "norm" in last["reason"]


@pytest.mark.parametrize(
    ("gate", "fault", "more", "tokens"),
    [
        ("tokenizer", "bos-missing", {}, 24),
        ("belief", "signs-flipped", {"everywhere": True}, 48),
        ("probability", "activation-other", {}, 480),
        ("weights", "scale-gain", {}, 24),
    ],
)
def test_a_gate_that_fails(tmp_path, gate, fault, more, tokens):
    """Red when a candidate that a parity gate rejects is accepted."""
    result, last = tried(tmp_path, gate, candidate=broken(tmp_path, fault, **more), max_tokens=tokens)
    assert (exit_code(result), last["name"], last["status"]) == (1, gate, "NO-GO")
    assert "limit" in last["reason"]


def test_too_little_text_is_no_verdict(tmp_path):
    """Red when a corpus that cannot tell lets a candidate pass: not equal to the bit, and under twenty documents."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("The people of the town were glad, and the river ran on.")
    result, last = tried(
        tmp_path, "probability", candidate=broken(tmp_path, "eps-other"), corpus=str(tmp_path / "text")
    )
    assert (exit_code(result), last["status"]) == (5, "NO VERDICT")


def test_an_answer_that_is_another_the_second_time(tmp_path):
    """Red when a model that answers otherwise in a fresh process is accepted."""
    check = {"name": "logits again", "label": "not reproducible"}
    result, last = tried(tmp_path, "determinism", run=reporting(checks=[check], holds=False))
    assert exit_code(result) == 1
    assert last["reason"] == "logits again: not reproducible"


def test_gates_that_cannot_turn_red(tmp_path):
    """Red when a profile that lets everything pass is taken for a gate: faults are planted, and none is stopped."""
    profile = tmp_path / "blind.toml"
    limits = [
        "tokenizer_rate = 0.0",
        "tokenizer_rate_excluded = false",
        "median_tau_b = -1.0",
        "delta_mean_nll = 100.0",
    ]
    profile.write_text("\n".join(['base = "quantized"', *limits]))
    result, last = tried(tmp_path, "gates operational", profile=str(profile))
    assert exit_code(result) == 1
    for gate in ("tokenizer", "belief"):
        assert f"the gate '{gate}' is PASS" in last["reason"]


def test_a_speed_gate_that_cannot_turn_red(tmp_path, monkeypatch):
    """Red when nobody notices that the speed gate lets everything through."""
    monkeypatch.setattr("bitnet_engine.bench.turns.status_of", lambda interval: "PASS")
    gates = [{"gate": gate, "status": "FAIL"} for gate in ("tokenizer", "belief", "probability", "weights")]
    verdicts = iter(["PASS", "FAIL", "FAIL"])  # the sound copy is the first

    def alive(_request):
        return {"judgement": {"verdict": next(verdicts), "gates": gates}}

    result, last = tried(tmp_path, "gates operational", run=alive)
    assert exit_code(result) == 1
    assert "the gate 'performance' is PASS where it takes 1.25 times as long" in last["reason"]


def test_a_gate_that_is_always_red(tmp_path):
    """Red when gates that reject a sound copy count as working."""

    def always_red(request):
        gates = [{"gate": gate, "status": "FAIL"} for gate in ("tokenizer", "belief", "probability")]
        return {"judgement": {"verdict": "FAIL", "gates": gates}}

    result, last = tried(tmp_path, "gates operational", run=always_red)
    assert exit_code(result) == 1
    assert "a sound copy of the reference is FAIL" in last["reason"]


def speed(verdict, why="", status=None):
    gates = (
        []
        if status is None
        else [{"gate": "decode@64, 2 threads", "status": status, "value": 0.8, "limit": 0.9, "detail": "x"}]
    )
    return {"verdict": verdict, "why": why, "gates": gates}


@pytest.mark.parametrize(
    ("judged", "code", "said"),
    [
        (speed("FAIL", status="FAIL"), 1, "decode@64, 2 threads FAIL"),
        (speed("INCONCLUSIVE", status="INCONCLUSIVE"), 5, "decode@64, 2 threads INCONCLUSIVE"),
        (speed("INCONCLUSIVE", "there is no baseline at x"), 5, "no baseline"),
        (speed("NOISY", "half of the samples were disturbed"), 5, "disturbed"),
    ],
)
def test_a_candidate_that_is_slower_or_may_be(tmp_path, judged, code, said):
    """Red when a speed that is under the limit, unknown, or compared with nothing is accepted."""
    for baseline, report in (("x", {"judgement": judged}), (None, judged)):
        result, last = tried(tmp_path, "performance", run=lambda _request, report=report: report, baseline=baseline)
        assert exit_code(result) == code
        assert said in last["reason"] or baseline is None


def test_a_baseline_of_another_machine(tmp_path):
    """Red when a speed is held against one that was measured elsewhere."""
    other = {"schema": "bitnet-tui/bench", "schema_version": 1, "stamp": {"platform": "a calculator"}}
    (tmp_path / "bench.json").write_text(json.dumps(other))
    result, last = tried(tmp_path, "performance", baseline=str(tmp_path / "bench.json"))
    assert exit_code(result) == 1
    assert "another stamp: platform was 'a calculator'" in last["reason"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from unittest.mock import Mock\n", "a.py:1: imports unittest.mock"),
        ("class FakeEngine:\n    pass\n", "a.py:1: defines 'FakeEngine'"),
        ("def mock_logits():\n    return 0\n", "a.py:1: defines 'mock_logits'"),
    ],
)
def test_a_stand_in_in_the_package(tmp_path, source, said):
    """Red when a package that only pretends to compute is accepted."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text(source)
    result, last = tried(tmp_path, "no pretence", packages=[tmp_path / "package"])
    assert exit_code(result) == 1
    assert said in last["reason"]


def test_a_file_that_is_no_artifact(tmp_path):
    """Red when what lies among the artifacts is kept unread."""

    def run(request):
        Path(request["export"]).mkdir(parents=True)
        (Path(request["export"]) / "report.json").write_text("{not json")
        return {}

    result, last = tried(tmp_path, "artifacts", run=run)
    assert exit_code(result) == 1
    assert "report.json: is no artifact" in last["reason"]


def test_an_error_is_no_go_and_the_others_are_tried(tmp_path):
    """Red when one condition that breaks off ends the acceptance, or counts as held."""

    def fails(request):
        raise BitnetError("the engine's process ended by signal 9")

    result, last = tried(tmp_path, "belief", "determinism", "no pretence", run=fails)
    assert [condition["status"] for condition in result["conditions"]] == ["NO-GO", "NO-GO", "GO"]
    assert result["verdict"] == "NO-GO"
    assert "signal 9" in result["conditions"][0]["reason"]
    assert last["status"] == "GO"


def test_no_condition_is_no_go(tmp_path):
    """Red when nothing was tried and the verdict is GO."""
    assert summary(Trial("a", "b", tmp_path, run_exporting), [])["verdict"] == "NO-GO"


def test_two_files_of_one_model_take_turns(monkeypatch):
    """Red when a case is left out, or a report is written that no schema has. How fast it is, `bench` says."""
    monkeypatch.setattr("bitnet_tui.core.benching.ROUNDS", 2)
    monkeypatch.setattr("bitnet_engine.bench.turns.MOST_ROUNDS", 2)  # a busy machine would never decide
    *_, last = session.run({"kind": "turns", "reference": I2_S, "candidate": I2_S})
    report = last["report"]
    assert [gate["gate"].split(",")[0] for gate in report["gates"]] == ["decode@64", "ttft[32]", "prefill[32]"]
    assert fits(json.loads(dumps(report)), SCHEMAS["turns.schema.json"]) == []
    assert all(gate["value"] > 0 for gate in report["gates"])
    assert all(gate["interval"][0] <= gate["value"] <= gate["interval"][1] for gate in report["gates"])


def test_a_summary_becomes_a_sheet_that_names_cannot_break(tmp_path):
    """Red when a path with a pipe or a tag in it breaks the table that people sign."""
    from bitnet_tui.display.acceptance import signoff_page

    result, _ = tried(tmp_path, "no pretence", candidate="a|b<script>.gguf")
    page = signoff_page(result)
    assert page.startswith("# GO: a\\|b&lt;script>.gguf for ")
    assert "| no pretence | GO |" in page
    assert page == signoff_page(json.loads(json.dumps(result)))
