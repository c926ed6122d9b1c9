"""Ternary Llama and bfloat16 against transformers, recorded by samples/golden/record_llama.py."""

import hashlib

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import bitnet_engine as engine
from tests.engine import families


@pytest.fixture(scope="module")
def golden(samples):
    """Recorded logits; bfloat16 ones as float32, which holds them exactly."""
    return {
        name: values.astype(np.float32) for name, values in load_file(samples / "golden" / "llama.safetensors").items()
    }


@pytest.fixture(scope="module")
def llama(tmp_path_factory, tokenizer_json):
    """The tiny random ternary Llama that was recorded."""
    return families.write_hf(families.make("llama"), tmp_path_factory.mktemp("llama") / "m", tokenizer_json)


def nmse(found, expected):
    return float(np.square(found - expected).sum() / np.square(expected).sum())


def test_the_recorded_model_is_the_one_made_here(samples, llama):
    """Red when numpy's random numbers change: the recording is then of another model."""
    with safe_open(samples / "golden" / "llama.safetensors", "numpy") as recorded:
        digest = recorded.metadata()["model_sha256"]
    assert hashlib.sha256((llama / "model.safetensors").read_bytes()).hexdigest() == digest


def test_float32_agrees_with_transformers(golden, llama):
    """Red when ternary Llama has a norm too many, quantises its head, or multiplies by a scale that divides."""
    found = engine.load(llama).logits(golden["tokens"].astype(int).tolist())
    assert nmse(found, golden["llama.float32"]) < 1e-7


# Other numerics are 1e-5 away, and so was 127 / x where torch computes 127 · (1 / x).
BFLOAT16 = 1e-6


def test_bfloat16_bitlinear_agrees_with_transformers(golden, llama):
    """Red when one result that transformers holds in bfloat16 is kept in float32."""
    found = engine.load(llama, numerics="hf-bf16").logits(golden["tokens"].astype(int).tolist())
    assert nmse(found, golden["llama.bfloat16"]) < BFLOAT16


def test_bfloat16_autobitlinear_agrees_with_transformers(golden, packed):
    """Red when the sub-norms, relu2 or AutoBitLinear round elsewhere than transformers does."""
    found = engine.load(packed, numerics="hf-bf16").logits(golden["tokens"].astype(int).tolist())
    assert nmse(found, golden["sample.bfloat16"]) < BFLOAT16
