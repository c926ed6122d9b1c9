"""The engine against transformers' BitNetForCausalLM: recorded, and live where the [hf] extra is installed."""

import importlib.util
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from bitnet_engine.model import Model
from bitnet_engine.packing import PackedTernary

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


def nudged(sample, seed):
    """Return the same model with half of the elements of its embedding and of every gain one float32 ulp higher."""
    random = np.random.default_rng(seed)

    def nudge(leaf):
        if isinstance(leaf, PackedTernary):
            return leaf
        up = np.nextafter(leaf, np.float32(np.inf))
        return jnp.asarray(np.where(random.random(leaf.shape) < 0.5, up, leaf))

    weights = jax.tree.map(nudge, sample.weights, is_leaf=lambda leaf: isinstance(leaf, PackedTernary))
    return Model(sample.config, weights, sample.tokenizer)


def nmse(found, expected):
    return np.square(found - expected).sum() / np.square(expected).sum()


def test_logits_agree_with_transformers(sample, golden):
    """Red when any operation differs from the reference implementation: SiLU, a norm, a scale, rope, the head.

    Two right engines round their float32 sums differently, and half an ulp may turn an int8 code: the measure is what
    such noise does to the engine itself.
    """
    noisy = [nudged(sample, seed) for seed in range(8)]
    errors, floors, shifts, noise = [], [], [], []
    for text in TEXTS:
        tokens, expected = golden[f"{text}.tokens"].tolist(), golden[f"{text}.logits"]
        found, others = sample.logits(tokens), [model.logits(tokens) for model in noisy]
        errors.append(nmse(found, expected))
        floors += [nmse(other, found) for other in others]
        shifts.append(nll(found, tokens) - nll(expected, tokens))
        noise.append([nll(other, tokens) - nll(found, tokens) for other in others])
        turned = np.flatnonzero(found.argmax(-1) != expected.argmax(-1))
        margin = -np.diff(np.sort(expected[turned])[:, -2:][:, ::-1]).ravel()
        spread = np.max([np.abs(other - found).max(-1)[turned] for other in others], axis=0)
        assert np.all(margin <= 2 * spread), "a first choice differs, and it is no near-tie"
    assert max(errors) <= 2 * max(floors) < 1e-4
    assert abs(np.mean(shifts)) <= 2 * np.abs(np.mean(noise, axis=0)).max()


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
