"""The engine against transformers' BitNetForCausalLM: recorded, and live where the [hf] extra is installed."""

import importlib.util
import subprocess
import sys

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from bitnet_engine.model import Model

TEXTS = ("emma", "macbeth", "monroe")


@pytest.fixture(scope="module")
def golden(samples):
    """Recorded by samples/golden/record.py; its metadata names the versions."""
    return load_file(samples / "golden" / "transformers.safetensors")


def nll(logits, tokens):
    """Mean nll in nats of each token after the one before, in float64."""
    logits = logits[:-1].astype(np.float64)
    peak = logits.max(-1, keepdims=True)
    log_probs = logits - peak - np.log(np.exp(logits - peak).sum(-1, keepdims=True))
    return -log_probs[np.arange(len(tokens) - 1), tokens[1:]].mean()


def noise_floor(sample, tokens, seed):
    """Logits of the same model with half of its embeddings' elements one float32 ulp higher."""
    table = np.asarray(sample.weights.token_embd)
    moved = np.random.default_rng(seed).random(table.shape) < 0.5
    nudged = np.where(moved, np.nextafter(table, np.float32(np.inf)), table)
    weights = eqx.tree_at(lambda w: w.token_embd, sample.weights, jnp.asarray(nudged))
    return Model(sample.config, weights, sample.tokenizer).logits(tokens)


def test_logits_agree_with_transformers(sample, golden):
    """Red when any operation differs from the reference implementation: SiLU, a norm, a scale, rope, the head."""
    differences, floors, agreed = [], [], []
    for text in TEXTS:
        tokens, expected = golden[f"{text}.tokens"].tolist(), golden[f"{text}.logits"]
        found = sample.logits(tokens)
        agreed.append(found.argmax(-1) == expected.argmax(-1))
        differences.append(nll(found, tokens) - nll(expected, tokens))
        floors += [abs(nll(noise_floor(sample, tokens, seed), tokens) - nll(found, tokens)) for seed in range(4)]
        assert np.square(found - expected).sum() / np.square(expected).sum() < 1e-5
    assert np.concatenate(agreed).all()
    assert abs(np.mean(differences)) <= 2 * max(floors)


def test_tokens_agree_with_transformers(sample, samples, golden):
    """Red when the tokenizer or its BOS rule differs from what transformers feeds the model."""
    text = (samples / "eval" / "austen-emma-08.txt").read_text()
    assert sample.tokenizer.encode(text)[:64] == golden["emma.tokens"].tolist()


@pytest.mark.oracle
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="the [hf] extra is not installed")
def test_recording_again_gives_the_recorded_logits(samples, tmp_path, golden):
    """Red when the recording is not what transformers computes: a golden file nobody can make again proves nothing."""
    command = [sys.executable, str(samples / "golden" / "record.py"), str(tmp_path / "again.safetensors")]
    subprocess.run(command, check=True, capture_output=True)
    again = load_file(tmp_path / "again.safetensors")
    for text in TEXTS:
        assert np.array_equal(again[f"{text}.tokens"], golden[f"{text}.tokens"])
        assert (again[f"{text}.logits"].argmax(-1) == golden[f"{text}.logits"].argmax(-1)).all()
        error = np.square(again[f"{text}.logits"] - golden[f"{text}.logits"]).sum()
        assert error / np.square(golden[f"{text}.logits"]).sum() < 1e-5
