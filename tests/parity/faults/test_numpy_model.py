"""The numpy model against the tests' own float64 specification, and its trace."""

import dataclasses

import numpy as np
import pytest

from bitnet_engine.errors import UnsupportedError
from bitnet_parity.faults.draft import Draft, seeded
from bitnet_parity.faults.numpy_injection import built
from tests.engine import families, reference
from tests.parity.faults import making


@pytest.mark.parametrize("family", making.COMPUTED)
def test_logits_are_those_of_the_specification(family):
    """Red when a fault's reference is itself another model: then nothing that is scored on it means anything."""
    made = families.make(family)
    expected = reference.forward(made.plain, making.TOKENS)
    found = making.model(made).logits(making.TOKENS)
    assert np.square(found - expected).sum() <= 1e-10 * np.square(expected).sum()


@pytest.mark.parametrize("key", ["input_norm_eps", "rope_factors"])
def test_a_graph_it_has_not_is_refused(key):
    """Red when norms of single matrices, or Llama 3.1's rotary factors, are left out without a word."""
    made = families.make("llama")
    value = {"input_norm_eps": 1e-6, "rope_factors": (2.0,) * 32}[key]
    config = dataclasses.replace(making.config(made), **{key: value})
    with pytest.raises(UnsupportedError, match="not computed in numpy"):
        built(Draft(config, making.tensors(made), seeded("", 0)))


def test_the_trace_is_the_graph_in_order_and_whole():
    """Red when an operation is missing from the trace, or takes inputs that no operation before it gave."""
    made = families.make("bitnet")
    trace = list(making.model(made).trace(making.TOKENS))
    names = [operation.name for operation in trace]
    layer = ["attn_norm", "attn_q", "attn_k", "attn_v", "rope_q", "rope_k", "attention", "attn_sub_norm"]
    layer += ["attn_output", "attn_residual", "ffn_norm", "ffn_gate", "ffn_up", "ffn_activation", "ffn_sub_norm"]
    layer += ["ffn_down", "ffn_residual"]
    body = [f"blk.{index}.{part}" for index in range(families.SIZES.layers) for part in layer]
    assert names == ["token_embd", *body, "output_norm", "output"]
    outputs = [trace[0].inputs[0]]
    for operation in trace:
        for value in operation.inputs:
            assert any(
                value.size == output.size and np.array_equal(value.ravel(), output.ravel()) for output in outputs
            )
        outputs.append(operation.output)
    assert np.array_equal(trace[-1].output.astype(np.float32), making.model(made).logits(making.TOKENS))


def test_qwen3s_head_norms_are_operations():
    """Red when q and k norms are left out of the trace of a model that has them."""
    names = {operation.name for operation in making.model(families.make("qwen3")).trace([1])}
    assert {"blk.0.attn_q_norm", "blk.1.attn_k_norm"} <= names
