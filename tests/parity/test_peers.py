"""Peers against what is recorded of them, where they are installed."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from bitnet_engine.errors import BitnetError
from bitnet_parity.peers import LlamaCpp, open_peer
from bitnet_parity.sources import Side


def test_llama_cpps_reason_is_in_its_log():
    """Red when a file that llama.cpp refuses is "Failed to load model" and nothing else."""
    heard = []

    def refuse(**_):
        heard[0](4, b"error loading model: unknown model architecture: 'bitnet-b1.58'\xff\n", None)
        raise ValueError("Failed to load model from file: x.gguf")

    package = SimpleNamespace(
        llama_log_callback=lambda function: function,
        llama_log_set=lambda callback, _: heard.append(callback),
        Llama=refuse,
    )
    with pytest.raises(BitnetError) as raised:
        LlamaCpp(Side("llama", "x.gguf"), package, 64)
    assert str(raised.value) == (
        "llama:x.gguf: llama_cpp cannot load it: ValueError: error loading model: unknown model architecture: "
        "'bitnet-b1.58'\ufffd | Failed to load model from file: x.gguf"
    )


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="the [llama] extra is not installed")
def test_llama_cpp_says_why_it_cannot_load_a_file(i2_s):
    """Red when llama.cpp's log is not heard, or goes to whoever reads the terminal."""
    with pytest.raises(BitnetError, match=r"llama_cpp cannot load it: ValueError: .*(architecture|type 36)"):
        open_peer(Side("llama", str(i2_s)), context=64)


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="the [hf] extra is not installed")
def test_transformers_gives_the_recorded_ids_and_nearly_the_recorded_logits(samples, packed):
    """Red when a peer is fed other ids, or its rows are others: it rounds to bfloat16, the recording does not."""
    golden = load_file(samples / "golden" / "transformers.safetensors")
    peer = open_peer(Side("hf", str(packed)), context=64)
    text = (samples / "eval" / "austen-emma-08.txt").read_text()
    ids, expected = golden["emma.tokens"].tolist(), golden["emma.logits"]
    assert peer.tokenizer.encode(text)[: len(ids)] == ids
    assert peer.tokenizer.decode(ids[1:]) == text[: len(peer.tokenizer.decode(ids[1:]))]
    found = peer.logits(ids)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.square(found - expected).sum() / np.square(expected).sum() < 1e-2
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.8
