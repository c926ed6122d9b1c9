"""Peers against what is recorded of them, where they are installed."""

import importlib.util

import numpy as np
import pytest
from safetensors.numpy import load_file

from bitnet_parity.peers import open_peer
from bitnet_parity.sources import Side


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
