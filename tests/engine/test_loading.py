"""From files to a model: the twins agree to the bit, and what would run wrong is refused by name."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bitnet_engine as engine
from bitnet_engine.formats import QuantType
from tests.engine import tiny


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model.weights)]


@pytest.mark.parametrize("file", ["master", "model-i2_s.gguf", "model-tq1_0.gguf", "model-tq2_0.gguf"])
def test_the_shipped_twins_are_one_model(sample, samples, file):
    """Red when any trit, scale, gain or embedding of a format is decoded differently."""
    twin = engine.load(samples / "nano" / file)
    tokens = list(range(40))
    assert twin.config == sample.config
    assert np.array_equal(twin.logits(tokens), sample.logits(tokens))
    assert all(np.array_equal(a, b) for a, b in zip(leaves(sample), leaves(twin), strict=True))
    assert twin.tokenizer.fingerprint() == sample.tokenizer.fingerprint()


@pytest.mark.parametrize("quant_type", [QuantType.I2_S, QuantType.TQ2_0, QuantType.TQ1_0])
def test_converting_the_sample_gives_the_shipped_bytes(packed, samples, tmp_path, quant_type):
    """Red when the writer changes: the shipped files must stay the ones this code writes."""
    target = tmp_path / "model.gguf"
    engine.convert(packed, target, quant_type)
    shipped = samples / "nano" / f"model-{quant_type.value.lower()}.gguf"
    assert target.read_bytes() == shipped.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_convert_refuses_what_float16_would_round(tmp_path, tokenizer_json):
    """Red when a lossy embedding is written without a word."""
    folder = tiny.write_packed(tiny.plain_model(seed=1), tmp_path / "m", tokenizer_json)
    (tmp_path / "out.gguf").write_bytes(b"the old file")
    with pytest.raises(engine.UnsupportedError, match=r"'model\.embed_tokens\.weight' is not exact in float16"):
        engine.convert(folder, tmp_path / "out.gguf", QuantType.I2_S, force=True)
    assert (tmp_path / "out.gguf").read_bytes() == b"the old file"


def test_divide_scales_are_inverted(tmp_path, tokenizer_json):
    """Red when `bitlinear` checkpoints multiply: every scale is then its own inverse squared away."""
    plain = tiny.plain_model(seed=2)
    for name, (trits, _) in plain.ternary.items():
        plain.ternary[name] = trits, 0.25
    multiply = engine.load(tiny.write_packed(plain, tmp_path / "a", tokenizer_json))
    config = {"quantization_config": {"quant_method": "bitnet"}}
    (tmp_path / "b").mkdir()
    stored = load_file(tmp_path / "a" / "model.safetensors")
    inverted = {k: (1 / v if k.endswith("weight_scale") else v) for k, v in stored.items()}
    save_file(inverted, tmp_path / "b" / "model.safetensors")
    (tmp_path / "b" / "config.json").write_text(json.dumps({**tiny.config_json(plain), **config}))
    (tmp_path / "b" / "tokenizer.json").write_bytes(tokenizer_json.read_bytes())
    divide = engine.load(tmp_path / "b")
    assert all(np.array_equal(a, b) for a, b in zip(leaves(multiply), leaves(divide), strict=True))


def test_a_ternary_matrix_stored_as_floats_keeps_its_scale(tmp_path, tokenizer_json, tiny_packed):
    """Red when absmean runs twice: the scale then shrinks to its share of non-zeros."""
    plain, folder = tiny_packed
    dense = engine.load(tiny.write_master(plain, tmp_path / "dense", tokenizer_json))
    assert all(np.array_equal(a, b) for a, b in zip(leaves(engine.load(folder)), leaves(dense), strict=True))


def change(tmp_path, tokenizer_json, edit=lambda tensors: None, **config):
    """Write a tiny model with edited tensors and config keys."""
    folder = tiny.write_packed(tiny.plain_model(seed=3), tmp_path / "m", tokenizer_json, **config)
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


def drop(name):
    return lambda tensors: tensors.pop(name)


def put(name, values):
    return lambda tensors: tensors.update({name: values})


NORM = "model.layers.1.self_attn.attn_sub_norm.weight"
BAD_GAIN = np.full(128, np.nan, np.float32)


@pytest.mark.parametrize(
    ("edit", "config", "kind", "message"),
    [
        (drop(NORM), {}, engine.FormatError, f"no tensor '{NORM}'"),
        (put(NORM, np.ones(64, np.float32)), {}, engine.FormatError, r"shape \[64\]; the metadata makes it \[128\]"),
        (put(NORM, BAD_GAIN), {}, engine.FormatError, "NaN or infinity, first at"),
        (
            put("model.layers.0.self_attn.q_proj.bias", np.ones(128, np.float32)),
            {},
            engine.UnsupportedError,
            "q_proj.bias' has no place in the graph",
        ),
        (drop("model.embed_tokens.weight"), {}, engine.FormatError, "no tensor 'model.embed_tokens.weight'"),
        (None, {"hidden_act": "gelu"}, engine.UnsupportedError, "hidden_act is 'gelu'"),
        (None, {"architectures": ["MixtralForCausalLM"]}, engine.UnsupportedError, "'MixtralForCausalLM' is not run"),
        (None, {"architectures": ["LlamaForCausalLM"]}, engine.UnsupportedError, "computes silu"),
        (None, {"rope_scaling": {"type": "yarn"}}, engine.UnsupportedError, r"'rope_scaling\.type' is 'yarn'"),
        (
            None,
            {"rope_parameters": {"type": "linear", "factor": 4.0}},
            engine.UnsupportedError,
            r"rope_parameters\.type' is 'linear'",
        ),
        (
            None,
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
            engine.UnsupportedError,
            r"rope_parameters\.partial_rotary_factor'",
        ),
        (None, {"use_bias": True}, engine.UnsupportedError, "'use_bias'"),
        (None, {"rms_norm_eps": 1e-60}, engine.FormatError, "positive number"),
        (None, {"quantization_config": "x"}, engine.FormatError, "quantization_config"),
        (None, {"rope_theta": None}, engine.FormatError, "no 'rope_theta'"),
        (None, {"rms_norm_eps": -1.0}, engine.FormatError, "positive number"),
        (None, {"num_hidden_layers": 1}, engine.UnsupportedError, "has no place in the graph"),
        (None, {"num_hidden_layers": 3}, engine.FormatError, "no tensor 'model.layers.2"),
        (None, {"num_key_value_heads": 3}, engine.FormatError, "not a multiple"),
        (None, {"num_hidden_layers": "2"}, engine.FormatError, "whole number"),
        (None, {"tie_word_embeddings": False}, engine.FormatError, "does not tie"),
    ],
)
def test_what_would_run_wrong_is_refused_by_name(tmp_path, tokenizer_json, edit, config, kind, message):
    """Red when a missing, extra or damaged part of a model is run anyway."""
    folder = change(tmp_path, tokenizer_json, edit or (lambda tensors: None), **config)
    with pytest.raises(kind, match=message) as caught:
        engine.load(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
