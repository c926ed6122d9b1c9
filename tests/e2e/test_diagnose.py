"""Diagnose, capture and demo as processes: the sentence, the artifacts, the exit codes."""

import importlib.util
import json

import pytest

from bitnet_engine import QuantType
from bitnet_parity.faults import inject_file
from docs import schemas
from tests.e2e.program import run
from tests.tui.test_schema import fits

SENTENCE = "layer 0, ffn activation: candidate computes silu(gate)·up; config says relu2"


def test_the_demo_says_the_sentence_and_proves_it(tmp_path):
    """Red when the best-known bug of the field is not told in one screen, or the artifacts are not what is shown."""
    done = run("demo", "--fault", "activation-other", "--export", tmp_path)
    assert done.returncode == 1, done.stderr
    assert f"✘ {SENTENCE}" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "EXPLAINED"
    assert "broken on purpose" in done.stderr
    finding = json.loads((tmp_path / "finding.json").read_bytes())
    assert fits(finding, schemas.schemas()["finding.schema.json"]) == []
    assert [cause["sentence"] for cause in finding["causes"]] == [SENTENCE]
    assert (finding["proof"]["after"], finding["proof"]["holds"]) == (0, True)
    assert finding["fault"]["fault"] == "activation-other"
    assert f"## {SENTENCE}" in (tmp_path / "finding.md").read_text().splitlines()


def test_a_capture_of_another_engine_is_diagnosed(packed, i2_s, tmp_path):
    """Red when a capture is not read back, or bfloat16 is called a fault."""
    folder = tmp_path / "capture"
    made = run("capture", i2_s, "--export", folder, "--numerics", "hf-bf16", "--tokens", "12")
    assert made.returncode == 0, made.stderr
    assert "the same bits as without (hf-bf16)" in made.stdout
    done = run("diagnose", packed, folder, "--json")
    assert done.returncode == 0, done.stderr
    finding = json.loads(done.stdout)
    assert finding["verdict"] == "HARMLESS"
    assert {cause["name"] for cause in finding["causes"]} == {"bfloat16"}
    again = run("capture", i2_s, "--export", folder)
    assert (again.returncode, "is not an empty folder" in again.stderr) == (4, True)


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="the [hf] extra is not installed")
def test_transformers_is_captured_and_diagnosed(packed, tmp_path):
    """Red when looking changes what transformers gives, or a sound model in bfloat16 is a broken one."""
    made = run("capture", f"hf:{packed}", "--export", tmp_path / "out", "--tokens", "12")
    assert made.returncode == 0, made.stderr
    assert "logits      the same bits as without (transformers" in made.stdout
    done = run("diagnose", packed, tmp_path / "out")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "HARMLESS")


def test_what_has_no_results_on_the_way_is_not_captured(tmp_path):
    """Red when a recording of logits ends as a capture of one, or as a defect."""
    refused = run("capture", "recorded:x", "--export", tmp_path / "out")
    assert refused.returncode == 2
    assert (
        "recorded:x: results on the way are captured of a model of ours, of hf:DIR and of llama:FILE." in refused.stderr
    )


def test_twins_are_the_same_and_a_bad_fault_is_usage(packed, i2_s):
    """Red when rounding is a difference, or an unknown fault ends as a defect."""
    done = run("diagnose", packed, i2_s)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "SAME")
    wrong = run("demo", "--fault", "scale-invers")
    assert wrong.returncode == 2
    assert "the nearest is 'scale-inverse'" in wrong.stderr


def test_a_repaired_file_is_written_where_the_cause_is_in_one(packed, samples, tmp_path):
    """Red when the remedy is a sentence only, or an engine's fault ends in a file that claims to be its repair."""
    broken, target = tmp_path / "broken.gguf", tmp_path / "repaired.gguf"
    inject_file(packed, broken, "rows-zero", 1, QuantType.I2_S)
    done = run("diagnose", packed, broken, "--tokens", "8", "--write-repaired", target)
    assert done.returncode == 1, done.stderr
    assert f"repaired    ✔ {target} (1 weight of the reference): opened and diagnosed again: SAME" in done.stdout
    assert target.read_bytes() != broken.read_bytes()
    assert run("diff", packed, target).returncode == 0
    captured = run("diagnose", packed, samples / "golden" / "llama-capture", "--write-repaired", tmp_path / "x.gguf")
    assert captured.returncode == 6
    assert "repaired    ✘ nothing is written: the cause is in the engine that was captured" in captured.stdout
    assert not (tmp_path / "x.gguf").exists()
    there = run("diagnose", packed, broken, "--write-repaired", target)
    assert (there.returncode, "is there already; name a new file" in there.stderr) == (4, True)
