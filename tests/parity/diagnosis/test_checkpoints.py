"""Broken files beside sound ones: the cause, its place, and the repair that brings the logits back."""

import pytest

import bitnet_parity as parity
from bitnet_engine.formats import QuantType
from bitnet_parity import faults
from bitnet_parity.diagnosis.causes import Verdict
from docs.measure_diagnosis import AFTERMATH, NAMES
from tests.parity.diagnosis.conftest import IDS

PACKED, I2_S, TQ2_0 = QuantType.HF_PACKED, QuantType.I2_S, QuantType.TQ2_0
BROKEN = (
    ("activation-other", I2_S),
    ("eps-other", I2_S),
    ("theta-other", PACKED),
    ("scale-inverse", I2_S),
    ("scale-negative", PACKED),
    ("scale-max", TQ2_0),
    ("divide-for-multiply", PACKED),
    ("rows-sign-flipped", I2_S),
    ("bit-flipped", PACKED),
    ("i2s-layout-c", I2_S),
    ("layers-swapped", I2_S),
    ("layer-repeated", I2_S),
    ("gain-ones", I2_S),
    ("head-replaced", I2_S),
    ("head-ternary", PACKED),
    ("zero-tail", I2_S),
    ("template-wrong", I2_S),
    ("file-type-wrong", TQ2_0),
)
REFUSED = (("code-3", I2_S), ("sub-norms-dropped", PACKED), ("fallback-q4-0", I2_S), ("file-cut", I2_S))
HARMLESS = ("format-twin", "scales-bf16", "embedding-q6-k", "ffn-permuted", "head-duplicate", "matrix-as-floats")


def found(sound, tmp_path, name, kind):
    folder = sound["bitnet"][0].checkpoint.path
    target = tmp_path / ("broken" if kind is PACKED else "broken.gguf")
    where = faults.inject_file(folder, target, name, 1, kind)
    return parity.diagnose(reference=folder, candidate=target, tokens=IDS), where


@pytest.mark.parametrize(("name", "kind"), BROKEN)
def test_a_broken_file_is_named_and_repaired(sound, tmp_path, name, kind):
    """Red when a cause is not named, another is, or the repair leaves a difference."""
    finding, where = found(sound, tmp_path, name, kind)
    named = {cause.name for cause in finding.causes if not cause.harmless}
    right = set(NAMES.get(name, (name,)))
    assert named & right
    assert named <= right | set(AFTERMATH)
    assert finding.verdict is Verdict.EXPLAINED
    assert finding.proof is None or finding.proof.holds
    if where.tensor is not None and name != "zero-tail":
        cause = next(cause for cause in finding.causes if cause.name in right)
        assert where.tensor in cause.tensors
        assert cause.offset is not None


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_a_file_that_is_refused_is_told_of_all_the_same(sound, tmp_path, name, kind):
    """Red when a candidate that cannot be run ends the diagnosis without a place."""
    finding, _ = found(sound, tmp_path, name, kind)
    assert {cause.name for cause in finding.causes} & set(NAMES.get(name, (name,)))
    assert (finding.verdict, finding.proof) == (Verdict.EXPLAINED, None)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_file_raises_no_alarm(sound, tmp_path, name):
    """Red when another spelling of the same model is called a fault."""
    finding, _ = found(sound, tmp_path, name, I2_S)
    assert finding.verdict in (Verdict.SAME, Verdict.HARMLESS), finding


def test_the_best_known_bug_has_its_sentence(sound, tmp_path):
    """Red when the case of microsoft/BitNet #602 is told in other words than docs/parity.md promises."""
    finding, _ = found(sound, tmp_path, "activation-other", I2_S)
    expected = "layer 0, ffn activation: candidate computes silu(gate)·up; config says relu2"
    assert [cause.sentence() for cause in finding.causes] == [expected]
