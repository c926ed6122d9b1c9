"""What transformers computed, module by module: the recording is diagnosed, and made again where transformers is."""

import importlib.util
from contextlib import closing

import numpy as np
import pytest

import bitnet_engine as engine
import bitnet_parity as parity
from bitnet_engine.errors import BitnetError
from bitnet_parity.diagnosis.captures import Capture
from bitnet_parity.diagnosis.causes import Verdict
from bitnet_parity.diagnosis.examining import Examination
from bitnet_parity.diagnosis.hf_capture import HfCapture, place
from bitnet_parity.diagnosis.replay import Reference
from bitnet_parity.diagnosis.weights import CheckpointWeights
from tests.engine import families, tiny

SENTENCE = "layer 0, ffn activation: candidate computes silu(gate)·up; config says relu2 (so in 2 layers)"
HARMLESS = {"bfloat16", "embedding-rounded"}
LAYER = "model.layers.0"
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="the [hf] extra is not installed"
)


class Peer:
    """Ends of modules in the order of a forward pass, without transformers."""

    name, layers = "hf:x", 1

    def __init__(self, ends):
        self.ends, self.left = ends, False

    def evaluate(self, tokens, wanted, see):
        try:
            for number, (module, end) in enumerate(self.ends):
                if wanted(module, end):
                    see(module, end, np.full((len(tokens), 2), number, np.float32))
        finally:
            self.left = True


ENDS = [
    ("model.embed_tokens", "output"),
    ("model.rotary_emb", "output"),
    (f"{LAYER}.self_attn.attn_sub_norm", "input"),
    (f"{LAYER}.self_attn.o_proj", "input"),
    (LAYER, "output"),
    ("lm_head", "output"),
]


@pytest.fixture
def recorded(samples):
    """The folder of the recording; its sound model is `tiny.plain_model(1)`."""
    return samples / "golden" / "hf-capture"


def written(packed, folder, activation):
    return tiny.write_packed(tiny.plain_model(1, activation), folder, packed / "tokenizer.json")


def test_the_recording_of_transformers_is_told_in_the_sentence(packed, recorded, tmp_path):
    """Red when a module has another of our names, or a fault cannot be told from bfloat16's rounding."""
    finding = parity.diagnose(reference=written(packed, tmp_path / "m", "relu2"), candidate=recorded)
    assert [cause.sentence() for cause in finding.causes if not cause.harmless] == [SENTENCE]
    assert {cause.name for cause in finding.causes if cause.harmless} == HARMLESS
    assert finding.verdict is Verdict.EXPLAINED
    assert finding.proof is not None
    assert finding.proof.after == 0


def test_the_recording_is_harmless_beside_the_model_that_was_run(packed, recorded, tmp_path):
    """Red when an operation of a sound model in bfloat16 is a fault, or its rounding is not transformers' own."""
    source = Capture.open(recorded)
    with engine.open_checkpoint(written(packed, tmp_path / "m", "silu")) as checkpoint:
        # Not diagnosed whole: its proof would compile the model for this test alone.
        replay = Examination(Reference(CheckpointWeights(checkpoint)), source.tokens)
        for _ in replay.run(source.parts(), tiny.SIZES.layers):
            pass
    assert {cause.name for cause in replay.causes} == HARMLESS
    assert replay.unexplained == []


@pytest.mark.parametrize(
    ("module", "end", "expected"),
    [
        ("model.layers.3.self_attn.q_proj", "output", (3, "Qcur")),
        ("model.layers.3.self_attn.q_norm", "output", (3, "Qcur_normed")),
        ("model.layers.3.self_attn.q_proj.rms_norm", "output", (3, "attn_q_norm_in")),
        ("model.layers.3.self_attn", "query", (3, "q_rope")),
        ("model.layers.3.self_attn", "output", (3, None)),
        ("model.layers.3.post_attention_layernorm", "input", (3, "ffn_inp")),
        ("model.layers.3.mlp.gate_proj", "input", (3, None)),
        ("model.layers.11", "output", (11, "l_out")),
        ("model.embed_tokens", "output", (None, "inp_embd")),
        ("lm_head", "output", (None, "result_output")),
        ("model.rotary_emb", "output", (None, None)),
        ("", "output", (None, None)),
    ],
)
def test_modules_are_known_by_the_names_of_their_weights(module, end, expected):
    """Red when a container passes for a result, or the two ends of a module are one."""
    assert place(module, end) == expected


def test_the_first_of_two_takers_has_what_was_given():
    """Red when attention's result is what its norm made of it."""
    _, layer, _ = HfCapture(Peer(ENDS), [1, 2]).parts()
    assert layer.layer == 0
    assert set(layer.values) == {"kqv_out", "l_out"}
    assert layer.values["kqv_out"][0, 0] == ENDS.index((f"{LAYER}.self_attn.attn_sub_norm", "input"))


def test_a_model_of_other_modules_is_one_line():
    """Red when a capture without its head is written, and found wanting by whoever diagnoses it."""
    with pytest.raises(BitnetError, match="hf:x: 2 of 3 parts were seen; modules are known by the names"):
        list(HfCapture(Peer(ENDS[:-1]), [1]).parts())


def test_a_reader_that_leaves_ends_the_run():
    """Red when a cancelled capture computes on, with every layer to come."""
    peer = Peer(ENDS)
    with closing(HfCapture(peer, [1]).parts()) as parts:
        next(parts)
        assert not peer.left
    assert peer.left


@pytest.mark.oracle
@needs_transformers
def test_transformers_gives_its_recording_again(recorded, tmp_path):
    """Red when a newer transformers names or orders its modules otherwise, or computes something else."""
    from samples.golden.record_hf_capture import opened

    expected = Capture.open(recorded)
    for found, kept in zip(HfCapture(opened(tmp_path / "m"), expected.tokens).parts(), expected.parts(), strict=True):
        assert (found.layer, set(found.values)) == (kept.layer, set(kept.values))
        for name, values in kept.values.items():
            assert np.abs(found.values[name] - values).max() <= 2**-6 * np.abs(values).max()


@pytest.mark.oracle
@needs_transformers
@pytest.mark.parametrize("family", ["bitnet", "llama", "trilm", "dense", "qwen3", "llama3", "normed"])
def test_each_graph_that_transformers_has_is_the_same_in_it(family, packed, tmp_path):
    """Red when a graph's modules have other names, or looking changes what they give."""
    from bitnet_parity.peers import open_peer
    from bitnet_parity.sources import Side

    folder = families.write_hf(families.make(family), tmp_path / family, packed / "tokenizer.json")
    peer, ids = open_peer(Side("hf", str(folder)), context=64), list(range(3, 300, 15))
    source = HfCapture(peer, ids)
    *_, head = source.parts()
    np.testing.assert_array_equal(head.values["result_output"], peer.logits(ids))
    assert parity.diagnose(reference=folder, candidate=source).verdict is Verdict.SAME
