"""Each graph that transformers has, against its logits recorded by samples/golden/record_families.py."""

import hashlib
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import bitnet_engine as engine
from tests.engine import families, reference

RECORDED = ("bitnet", "dense", "qwen3", "llama3", "normed")
# Float32 on both sides agrees to 1e-13. An int8 code on the edge may fall to the other side, which moves every later
# position by up to 1e-3: the middle one of all positions is asked. The smallest mistake tried here moves it by 1e-8.
AGREE, FLIPPED = 1e-10, 1e-3


@pytest.fixture(scope="module")
def golden(samples):
    """Recorded logits by family, and the tokens."""
    return load_file(samples / "golden" / "families.safetensors")


@pytest.fixture(scope="module", params=RECORDED)
def folder(request, tmp_path_factory, tokenizer_json):
    """The family's name, and the folder of its tiny model."""
    made = families.make(request.param)
    return request.param, families.write_hf(made, tmp_path_factory.mktemp(request.param) / "m", tokenizer_json)


def errors(found, expected):
    """The normalised squared error of each position, the smallest first."""
    return np.sort(np.square(found - expected).sum(-1) / np.square(expected).sum(-1))


def test_the_recorded_model_is_the_one_made_here(samples, folder):
    """Red when numpy's random numbers or the recipe change: the recording is then of another model."""
    family, path = folder
    with safe_open(samples / "golden" / "families.safetensors", "numpy") as recorded:
        assert recorded.metadata()[family] == hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()


def test_logits_agree_with_transformers(golden, folder):
    """Red when a graph has a norm too many, another epsilon or rotary frequency, or quantises what it must not."""
    family, path = folder
    found = engine.load(path).logits(golden["tokens"].tolist())
    assert np.median(errors(found, golden[family])) < AGREE
    assert errors(found, golden[family])[-1] < FLIPPED


def test_the_specification_agrees_with_transformers(golden, folder):
    """Red when the numpy forward, which stands for graphs that transformers has not, is itself wrong."""
    family, _ = folder
    found = reference.forward(families.make(family).plain, golden["tokens"].tolist())
    # In float64 other codes flip, in `bitnet` as early as the second position.
    assert errors(found, golden[family])[0] < AGREE
    assert errors(found, golden[family])[-1] < 5 * FLIPPED


@pytest.mark.parametrize(
    ("family", "key", "wrong"),
    [
        ("llama3", "rope_scaling", None),
        ("llama3", "rope_scaling", {"rope_type": "llama3", **families.LLAMA3, "high_freq_factor": 8.0}),
        ("normed", "rms_norm_eps", 1e-3),
        ("normed", "quantization_config", {"quant_method": "bitnet", "use_rms_norm": True, "rms_norm_eps": 1e-5}),
    ],
)
def test_the_recording_tells_a_wrong_setting(golden, tmp_path, tokenizer_json, family, key, wrong):
    """Red when the models are too small for a mistake to show: the agreement above would then prove nothing."""
    path = families.write_hf(families.make(family), tmp_path / "m", tokenizer_json)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {key: wrong}))
    found = engine.load(path).logits(golden["tokens"].tolist())
    assert np.median(errors(found, golden[family])) > 10 * AGREE
