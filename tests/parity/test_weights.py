"""Weights parity: what differs in two files, by how much, and which limit each difference stands under."""

import math
from dataclasses import replace

import pytest

from bitnet_engine import QuantType, open_checkpoint
from bitnet_engine.errors import FormatError
from bitnet_parity import Gates, TensorParity, Verdict, WeightsParity, faults, judge_weights, weights_steps
from bitnet_parity.report import Report

QUANTIZED = Gates.profile("quantized")


def compared(reference, candidate):
    """Return the steps of a comparison and its result."""
    with open_checkpoint(reference) as first, open_checkpoint(candidate) as second:
        *steps, found = weights_steps(first, second)
    return steps, found


@pytest.fixture(scope="module")
def broken(packed, tmp_path_factory):
    """Return what a fault in a file of the sample looks like, and where it was put."""
    folder = tmp_path_factory.mktemp("broken")

    def make(name, kind=QuantType.TQ2_0, **settings):
        target = folder / f"{name}-{kind.value}"
        where = faults.inject_file(packed, target, name, 1, kind, **settings)
        return compared(packed, target)[1], where

    return make


def test_twins_of_every_storage_differ_nowhere(packed, samples):
    """Red when a tensor is left out of the count, or a storage is compared by its bytes."""
    for twin in ("master", "model-i2_s.gguf", "model-tq1_0.gguf", "model-tq2_0.gguf"):
        steps, found = compared(packed, samples / "nano" / twin)
        assert found == WeightsParity(68, ())
        assert [step[1:] for step in steps] == [(i, 68) for i in range(1, 69)]


def test_a_scale_is_measured_by_its_ratio(broken):
    """Red when a scale that the next norm takes out again, invisible in any logit, is not seen in the file either."""
    found, where = broken("scale-inverse")
    (tensor,) = found.differing
    assert (tensor.name, tensor.kind, tensor.trits) == (where.tensor, "ternary", 1.0)
    scale, became = (float(word) for word in where.detail.removeprefix("the reciprocal: ").split(" became "))
    assert tensor.error == pytest.approx(became / scale - 1, rel=1e-3)
    assert "inverse" in tensor.note


def test_one_bit_is_one_trit(broken):
    """Red when trits are compared by a hash, or a share is of rows."""
    found, where = broken("bit-flipped")
    (tensor,) = found.differing
    assert tensor.name == where.tensor
    assert tensor.trits in {1 - 1 / (256 * 256), 1 - 1 / (128 * 256), 1 - 1 / (768 * 256)}
    assert judge_weights(found, QUANTIZED)[0].status is Verdict.FAIL


@pytest.mark.parametrize(("fault", "kind"), [("gain-ones", "vector"), ("embedding-shifted", "table")])
def test_floats_are_measured_by_their_largest_number(broken, fault, kind):
    """Red when a norm or an embedding that was replaced stays inside the limit of its kind."""
    found, where = broken(fault)
    (tensor,) = found.differing
    assert (tensor.name, tensor.kind, tensor.trits) == (where.tensor, kind, None)
    assert judge_weights(found, QUANTIZED)[0].status is Verdict.FAIL


@pytest.mark.parametrize("name", ["scales-bf16", "embedding-q6-k", "embedding-f16", "matrix-as-floats", "format-twin"])
def test_what_is_harmless_passes(broken, name):
    """Red when the limits of `quantized` are finer than the storages that people use."""
    assert judge_weights(broken(name)[0], QUANTIZED)[0].status is Verdict.PASS


def weights(*tensors, of=10):
    return WeightsParity(of, tensors)


SCALE = TensorParity("blk.0.attn_q.weight", "ternary", 1.0, 2**-8, "")


@pytest.mark.parametrize(
    ("tensor", "status"),
    [
        (SCALE, Verdict.PASS),
        (replace(SCALE, error=2**-8 + 1e-9), Verdict.FAIL),
        (replace(SCALE, trits=1 - 1e-9), Verdict.FAIL),
        (replace(SCALE, trits=None), Verdict.FAIL),
        (replace(SCALE, error=None), Verdict.FAIL),
        (TensorParity("output_norm.weight", "vector", None, 2**-8, ""), Verdict.PASS),
        (TensorParity("output_norm.weight", "vector", None, 0.0041, ""), Verdict.FAIL),
        (TensorParity("token_embd.weight", "table", None, 0.1, ""), Verdict.PASS),
        (TensorParity("token_embd.weight", "table", None, None, "the shapes differ"), Verdict.FAIL),
        (TensorParity("output.weight", "missing", None, None, "the candidate lacks it"), Verdict.FAIL),
    ],
)
def test_each_kind_has_its_limit(tensor, status):
    """Red when a limit is of another kind, off at its edge, or a number that is missing passes."""
    (gate,) = judge_weights(weights(tensor), QUANTIZED)
    assert gate.status is status
    assert gate.value == (1.0 if status is Verdict.PASS else 0.9)
    assert (tensor.name in gate.detail) == (status is Verdict.FAIL)


def test_lossless_asks_for_every_tensor():
    """Red when a rounding is called lossless."""
    assert judge_weights(weights(), Gates.profile("lossless"))[0].status is Verdict.PASS
    (gate,) = judge_weights(weights(replace(SCALE, error=1e-9)), Gates.profile("lossless"))
    assert gate.status is Verdict.FAIL
    assert gate.detail.startswith("9 of 10 tensors agree; the first that does not: blk.0.attn_q.weight")


def test_no_tensors_never_pass():
    """Red when two files without a common tensor are the same model."""
    (gate,) = judge_weights(WeightsParity(0, ()), QUANTIZED)
    assert gate.status is Verdict.FAIL
    assert math.isnan(gate.value)


def test_what_cannot_be_compared_has_no_gate():
    """Red when a recording fails for lack of a file, or fp32, which compares a float master, judges storages."""
    assert judge_weights(None, QUANTIZED) == ()
    assert judge_weights(weights(), Gates.profile("fp32")) == ()


def test_json_comes_back(broken):
    """Red when a stored report cannot be judged again by the weights it holds."""
    found, _ = broken("layers-swapped")
    assert len(found.differing) > 2
    assert WeightsParity.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "damage",
    [
        {"tensors": "68"},
        {"tensors": 0},
        {"differing": [{"name": "x"}]},
        {"differing": [{**SCALE.to_json(), "error": math.nan}]},
        {"differing": [{**SCALE.to_json(), "error": "0"}]},
    ],
)
def test_a_damaged_field_is_no_pass(damage):
    """Red when a report that was edited is judged by half of its numbers."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        WeightsParity.from_json(weights(SCALE).to_json() | damage)


def test_a_report_without_weights_is_damaged(tmp_path):
    """Red when `judge` passes a report whose weights were cut out."""
    (tmp_path / "report.json").write_text('{"schema": "bitnet-tui/parity-report", "schema_version": 3}')
    with pytest.raises(FormatError, match="a damaged parity report"):
        Report.load(tmp_path / "report.json")
