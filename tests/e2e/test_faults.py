"""Seven ways to break a model, each red by the gate that is meant for it; and the storages that lose nothing."""

import json

import pytest

from bitnet_engine import QuantType, load
from bitnet_parity import faults, load_corpus
from bitnet_parity.recording import record
from tests.e2e.program import run

SCOPE = ("--max-tokens", 480, "--noise-floor", 0)
"""Twenty tokens of each of 24 documents: enough for a verdict."""


def judged(*sides, options=()):
    """Return the exit code and the status of each gate."""
    done = run("parity", *sides, *SCOPE, *options, "--json")
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    gates = {gate["gate"]: gate for gate in report["judgement"]["gates"]}
    return done.returncode, {name: gate["status"] for name, gate in gates.items()}, gates


@pytest.mark.parametrize(
    ("fault", "kind", "gates"),
    [
        ("activation-other", QuantType.TQ2_0, {"probability"}),
        ("scale-inverse", QuantType.I2_S, {"weights"}),
        ("scale-lost", QuantType.TQ2_0, {"weights", "belief", "probability"}),
        ("pre-missing", QuantType.TQ2_0, {"tokenizer"}),
        ("bos-missing", QuantType.TQ1_0, {"tokenizer"}),
    ],
)
def test_a_broken_file_is_red_by_the_gate_meant_for_it(packed, tmp_path, fault, kind, gates):
    """Red when a fault passes, or by luck alone does not: the norm after it hides the inverse scale from logits."""
    where = faults.inject_file(packed, tmp_path / "broken.gguf", fault, 1, kind)
    code, statuses, found = judged(packed, tmp_path / "broken.gguf")
    assert code == 1
    assert {name for name, status in statuses.items() if status == "FAIL"} == gates
    if where.tensor is not None:
        assert where.tensor in found["weights"]["detail"]


def test_a_dropped_sub_norm_is_red_by_belief(packed, samples, tmp_path):
    """Red when an engine that forgets a norm passes: no file says it, so its logits are recorded."""
    model = load(packed)
    broken, where = faults.inject_model(model, "ffn-sub-norm-skipped", 1)
    assert where.operation == "ffn_sub_norm"
    described = {"path": "x", "sha256": "0" * 64, "numerics": "exact-int8", "config": {}, "tokenizer": None}
    facts = {"model": described, "settings": {"context": 256}}
    scope = {"context": 256, "max_tokens": SCOPE[1], "facts": facts}
    for _ in record(broken, model.tokenizer, load_corpus(samples / "eval"), tmp_path / "r", **scope):
        pass
    code, statuses, _ = judged(packed, f"recorded:{tmp_path / 'r'}")
    assert (code, statuses["tokenizer"], statuses["belief"]) == (1, "PASS", "FAIL")


def test_layout_b_read_as_a_is_red_and_found_out_when_nothing_is_said(packed, tmp_path):
    """Red when a file of ARM's layout passes as x86's, or fails although the reference shows what it is."""
    path = tmp_path / "b.gguf"
    faults.inject_file(packed, path, "i2s-layout-b", 1, QuantType.I2_S, everywhere=True)
    code, statuses, found = judged(packed, path, options=("--candidate-i2s-layout", "A"))
    assert (code, statuses["tokenizer"]) == (1, "PASS")
    assert [statuses[name] for name in ("belief", "probability", "weights")] == ["FAIL"] * 3
    assert found["weights"]["detail"].startswith("26 of 68 tensors agree; the first that does not: blk.0.attn_q.weight")
    assert judged(packed, path)[:2] == (0, dict.fromkeys(statuses, "PASS"))


@pytest.mark.parametrize("twin", ["model-i2_s.gguf", "model-tq1_0.gguf"])
def test_lossless_twins_pass_lossless(packed, samples, twin):
    """Red when a storage that loses nothing is not called lossless."""
    code, statuses, _ = judged(packed, samples / "nano" / twin, options=("--profile", "lossless"))
    assert (code, set(statuses.values()), len(statuses)) == (0, {"PASS"}, 4)
