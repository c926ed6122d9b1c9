"""Captured results: the names of the graph, the same logits to the bit, one layer at a time."""

import jax
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.errors import BitnetError
from bitnet_engine.sharding import mesh_of
from tests.engine import families

TOKENS = (7, 250, 3, 41, 3, 98, 12)
BLOCK = ["attn_norm", "Qcur", "Kcur", "Vcur", "q_rope", "k_rope", "kqv_out", "attn_sub_norm", "attn_out", "ffn_inp"]
FFN = ["ffn_norm", "ffn_gate", "ffn_up", "ffn_gate_par", "ffn_sub_norm", "ffn_down", "l_out"]


@pytest.mark.parametrize("numerics", ["exact-int8", "hf-bf16", "llamacpp-q8k", "float"])
def test_capturing_changes_no_bit_of_the_logits(sample, packed, numerics):
    """Red when a result that is kept is rounded where one that is not kept is not, as fused operations may be."""
    model = sample if numerics == "exact-int8" else engine.load(packed, numerics)
    for count in (1, 7):
        *_, last = engine.capture(model, TOKENS[:count])
        assert np.array_equal(last.values["result_output"], model.logits(TOKENS[:count]))


@pytest.mark.parametrize("family", ["llama", "qwen3", "normed", "llama3"])
def test_other_graphs_are_captured_to_the_bit(tmp_path, tokenizer_json, family):
    """Red when a graph without sub norms, or with norms of heads or of single matrices, is captured as another."""
    model = engine.load(families.write_hf(families.make(family), tmp_path / family, tokenizer_json))
    _, first, *_, last = engine.capture(model, TOKENS)
    assert np.array_equal(last.values["result_output"], model.logits(TOKENS))
    assert ("attn_sub_norm" in first.values, "Qcur_normed" in first.values) == (False, family in families.QK_NORMED)
    assert ("ffn_down_norm_in" in first.values) == (family == "normed")


def test_every_result_has_a_name_and_a_row_a_token(sample):
    """Red when a result is left out, or rows of padding come with the tokens'."""
    parts = list(engine.capture(sample, TOKENS))
    assert [part.layer for part in parts] == [None, *range(sample.config.layers), None]
    assert [list(part.values) for part in (parts[0], parts[-1])] == [["inp_embd"], ["result_norm", "result_output"]]
    assert set(parts[3].values) == {*BLOCK, *FFN}
    assert {len(value) for part in parts for value in part.values.values()} == {len(TOKENS)}


def test_what_a_layer_hands_on_is_what_the_next_one_takes(sample):
    """Red when a layer is run on other rows than those the layer before it gave: the sums are then of two models."""
    parts = list(engine.capture(sample, TOKENS))
    before = parts[0].values["inp_embd"]
    for part in parts[1:-1]:
        assert np.array_equal(part.values["ffn_inp"], before + part.values["attn_out"])
        before = part.values["l_out"]
        assert np.array_equal(before, part.values["ffn_inp"] + part.values["ffn_down"])


def test_a_split_model_is_not_captured(sample):
    """Red when the parts of a device are captured as if they were results."""
    with pytest.raises(BitnetError, match="Load it without a mesh"):
        list(engine.capture(sample.over(mesh_of(jax.devices()[:1])), [1, 2, 3]))
