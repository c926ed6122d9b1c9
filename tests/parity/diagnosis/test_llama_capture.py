"""What llama.cpp computed, node by node: the recording is diagnosed, and made again where llama.cpp is installed."""

import importlib.util

import numpy as np
import pytest

import bitnet_parity as parity
from bitnet_engine.formats import QuantType
from bitnet_engine.matrices import llama_order
from bitnet_parity import faults
from bitnet_parity.diagnosis.captures import Capture
from bitnet_parity.diagnosis.causes import Verdict
from bitnet_parity.diagnosis.llama_capture import LlamaCapture, place
from bitnet_parity.peers import open_peer
from bitnet_parity.sources import Side

SENTENCE = "layer 0, ffn activation: candidate computes silu(gate)·up; config says relu2 (so in 6 layers)"


class Peer:
    """llama.cpp's nodes, without llama.cpp."""

    name, paired_head_dim = "llama:x.gguf", 4

    def __init__(self, nodes):
        self.nodes = nodes

    def evaluate(self, tokens, see):
        for node in self.nodes:
            see(*node)


def test_the_recording_of_llama_cpp_is_told_in_the_sentence(packed, samples):
    """Red when a node has another of our names, a last row is missing, or llama.cpp's own rounding is a fault."""
    finding = parity.diagnose(reference=packed, candidate=samples / "golden" / "llama-capture")
    harmful = [cause for cause in finding.causes if not cause.harmless]
    assert [cause.sentence() for cause in harmful] == [SENTENCE]
    assert {cause.name for cause in finding.causes} == {"activation-other", "activations-q8k", "head-rounded"}
    assert finding.verdict is Verdict.EXPLAINED
    assert finding.proof is not None
    assert finding.proof.holds


@pytest.mark.parametrize(
    ("node", "operation", "expected"),
    [
        ("Qcur-3", "MUL_MAT", (3, "Qcur")),
        ("Kcur-3", "ROPE", (3, "k_rope")),
        ("Qcur-3", "RESHAPE", (3, None)),
        ("Vcur-0 (reshaped)", "MUL_MAT", (None, None)),
        ("ffn_sub_out-11", "GLU", (11, "ffn_gate_par")),
        ("norm-0", "RMS_NORM", (0, None)),
        ("embd", "GET_ROWS", (None, "inp_embd")),
        ("result_output", "MUL_MAT", (None, "result_output")),
    ],
)
def test_nodes_are_known_by_name_and_operation(node, operation, expected):
    """Red when a view passes for a result, or a rotated query for the product it was made from."""
    assert place(node, operation) == expected


def test_pairs_of_a_llama_file_are_put_into_our_order():
    """Red when q and k of llama.cpp's interleaved rope are compared feature by feature with ours."""
    ours = np.arange(16, dtype=np.float32).reshape(2, 8)
    theirs = ours[:, llama_order(8, 2)]
    nodes = [("Qcur-0", "MUL_MAT", theirs), ("Qcur-0", "ROPE", theirs.reshape(2, 2, 4)), ("Vcur-0", "MUL_MAT", ours)]
    source = LlamaCapture(Peer([*nodes, ("result_output", "MUL_MAT", ours)]), [1, 2])
    layer, head = source.parts()
    assert (layer.layer, head.layer) == (0, None)
    for name in ("Qcur", "q_rope", "Vcur"):
        np.testing.assert_array_equal(layer.values[name].reshape(2, 8), ours)


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="the [llama] extra is not installed")
def test_llama_cpp_gives_its_recording_again(packed, samples, tmp_path):
    """Red when ggml's tensors are laid out otherwise in a newer llama.cpp, or a node is read before it is computed."""
    path, recorded = tmp_path / "model.gguf", Capture.open(samples / "golden" / "llama-capture")
    faults.inject_file(packed, path, "activation-other", 1, QuantType.TQ2_0)
    source = LlamaCapture(open_peer(Side("llama", str(path)), context=64), recorded.tokens)
    for found, expected in zip(source.parts(), recorded.parts(), strict=True):
        assert (found.layer, set(found.values)) == (expected.layer, set(expected.values))
        for name, values in expected.values.items():
            assert np.abs(found.values[name] - values).max() <= 1e-3 * np.abs(values).max()
