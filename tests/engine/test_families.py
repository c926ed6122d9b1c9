"""Every graph family against its numpy float64 specification, from a folder and from GGUF."""

import dataclasses

import gguf
import jax
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.config import ACTIVATION_QUANT
from bitnet_engine.packing import BlockTernary, PackedTernary
from tests.engine import families, families_gguf, reference

TOKENS = np.random.default_rng(8).integers(0, families.SIZES.vocab, 20).tolist()


def nmse(found, expected):
    return float(np.square(found - expected).sum() / np.square(expected).sum())


def assert_computes(model, plain):
    """Within twice the noise floor: the same specification with every float moved by up to a float32 ulp."""
    expected = reference.forward(plain, TOKENS)
    floor = max(nmse(reference.forward(nudged(plain, seed), TOKENS), expected) for seed in range(3))
    assert nmse(model.logits(TOKENS), expected) <= 2 * floor + 1e-12


def nudged(plain, seed):
    random = np.random.default_rng(seed)

    def moved(tensors):
        return {
            name: v.astype(np.float64) * (1 + random.uniform(-1, 1, v.shape) * 2.0**-23) for name, v in tensors.items()
        }

    return dataclasses.replace(plain, dense=moved(plain.dense), floats=moved(plain.floats))


@pytest.fixture(scope="module", params=families.FAMILIES)
def loaded(request, tmp_path_factory, tokenizer_json):
    """A model of each family, as made and as loaded from its folder."""
    made = families.make(request.param)
    folder = families.write_hf(made, tmp_path_factory.mktemp("family") / "m", tokenizer_json)
    return made, engine.load(folder)


def test_logits_of_a_folder_match_the_specification(loaded):
    """Red when a norm is missing or extra, one shard scales all, or activations are quantised that must not be."""
    made, model = loaded
    assert_computes(model, made.plain)


def test_prefill_and_decode_equal_full_logits(loaded):
    """Red when a family's cache holds keys before their norm or rope."""
    _, model = loaded
    full = model.logits(TOKENS)
    logits, cache = model.prefill(TOKENS[:7], max_len=len(TOKENS))
    assert nmse(np.asarray(logits), full[6]) < 1e-5
    for position in range(7, len(TOKENS)):
        logits, cache = model.decode(TOKENS[position], cache)
        assert nmse(np.asarray(logits), full[position]) < 1e-5


def test_matrices_are_held_as_what_they_are(loaded):
    """Red when a ternary matrix is run dense, sixteen times its size, or a dense one is made ternary."""
    made, model = loaded
    kind = {"trilm": BlockTernary, "dense": jax.Array, "qwen3": jax.Array}.get(made.family, PackedTernary)
    assert all(isinstance(matrix, kind) for matrix in model.weights.layers.linears().values())
    assert model.numerics == ("exact-int8" if kind is PackedTernary else "float")


@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0"])
def test_ternary_llama_in_gguf_is_the_folder_bit_for_bit(tmp_path, tokenizer_json, kind):
    """Red when q and k rows stay as llama.cpp orders them: position 0 agrees, all others are noise."""
    made = families.make("llama")
    folder = engine.load(families.write_hf(made, tmp_path / "m", tokenizer_json))
    file = engine.load(families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", kind, tokenizer_json))
    assert file.config == folder.config
    pairs = zip(jax.tree.leaves(folder.weights), jax.tree.leaves(file.weights), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("family", "arch"), [("dense", "llama"), ("qwen3", "qwen3")])
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_1"])
def test_dense_gguf_matches_the_specification(tmp_path, tokenizer_json, family, arch, kind):
    """Red when a quantised block is decoded wrongly, or qwen3's rows are permuted like llama's."""
    made = families.make(family)
    model = engine.load(families_gguf.write_gguf(made, tmp_path / "m.gguf", arch, kind, tokenizer_json))
    for name, values in made.plain.floats.items():
        made.plain.floats[name] = gguf.dequantize(*families_gguf.quantized(values, kind))
    assert_computes(model, made.plain)


def test_trilm_in_gguf_takes_activations_as_they_are(tmp_path, tokenizer_json):
    """Red when `llama` with trits is always ternary Llama: TriLM was trained with float activations."""
    made = families.make("trilm")
    for layer in range(families.SIZES.layers):  # half a row of 256 is no block of TQ2_0
        name = f"blk.{layer}.attn_output"
        made.plain.floats[name] = np.sign(made.plain.floats[name]) / 32
    model = engine.load(families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", tokenizer_json))
    assert not model.config.activation_quant
    assert isinstance(model.weights.layers.attn_output, PackedTernary)
    assert isinstance(model.weights.layers.ffn_down, BlockTernary)
    assert_computes(model, made.plain)


@pytest.mark.parametrize(("family", "arch"), [("1bitllm", "bitnet"), ("embedding", "qwen3")])
def test_masters_in_gguf_match_the_specification(tmp_path, tokenizer_json, family, arch):
    """Red when GGUF's `bitnet` runs relu2, q and k rows are permuted like llama's, or norms of matrices are dropped."""
    made = families.make(family)
    for name, (trits, _) in made.plain.ternary.items():
        made.plain.ternary[name] = trits, 0.03125
    model = engine.load(families_gguf.write_gguf(made, tmp_path / "m.gguf", arch, "TQ2_0", tokenizer_json))
    assert model.config.activation_quant
    assert_computes(model, made.plain)


def llama3_factors(made):
    """rope_freqs.weight of a llama3 model: how often each frequency fits into the unscaled one."""
    dim, theta = families.SIZES.head_dim, made.plain.theta
    unscaled = reference.frequencies(dim, theta, {})
    return (unscaled / reference.frequencies(dim, theta, made.plain.rope)).astype(np.float32)


def test_rope_frequencies_in_gguf_match_the_specification(tmp_path, tokenizer_json):
    """Red when the factors multiply, or a Llama-3.1 file runs as if it had none."""
    made = families.make("llama3")
    factors = llama3_factors(made)
    assert factors[0] == 1
    assert factors[-1] == 8
    assert len(set(factors.tolist())) > 4
    path = families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", tokenizer_json, rope_freqs=factors)
    model = engine.load(path)
    assert_computes(model, made.plain)
    folder = engine.load(families.write_hf(made, tmp_path / "m", tokenizer_json))
    assert np.allclose(model.config.rope_factors, folder.config.rope_factors, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["TQ2_0", "F16"])
def test_factors_of_matrices_in_gguf_are_part_of_their_scales(tmp_path, tokenizer_json, kind):
    """Red when `.scale` of early conversions is ignored: every matrix then has the scale 1."""
    made = families.make("bitnet")
    folder = engine.load(families.write_hf(made, tmp_path / "m", tokenizer_json))
    factors = {name: np.array([scale], np.float32) for name, (_, scale) in made.plain.ternary.items()}
    for name, (trits, _) in made.plain.ternary.items():
        made.plain.ternary[name] = trits, 1.0
    path = tmp_path / "m.gguf"
    families_gguf.write_gguf(made, path, "bitnet-b1.58", kind, tokenizer_json, factors=factors)
    pairs = zip(jax.tree.leaves(folder.weights), jax.tree.leaves(engine.load(path).weights), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    compared = engine.diff(tmp_path / "m", path)
    assert not compared.only_candidate
    assert all(tensor.equal for tensor in compared.tensors)


def test_a_factor_that_is_no_number_is_refused(tmp_path, tokenizer_json):
    """Red when the first of several factors is taken for all."""
    factors = {"blk.1.ffn_up": np.ones(2, np.float32)}
    path = tmp_path / "m.gguf"
    families_gguf.write_gguf(families.make("bitnet"), path, "bitnet-b1.58", "TQ2_0", tokenizer_json, factors=factors)
    with pytest.raises(engine.FormatError, match=r"'blk\.1\.ffn_up\.scale' must hold one finite number"):
        engine.load(path)


def test_a_gguf_may_say_that_its_activations_are_not_quantised(tmp_path, tokenizer_json):
    """Red when our key is ignored: TriLM with one scale a matrix then runs with int8 activations."""
    made = families.make("llama")
    path = tmp_path / "m.gguf"
    families_gguf.write_gguf(made, path, "llama", "TQ2_0", tokenizer_json, keys={ACTIVATION_QUANT: False})
    model = engine.load(path)
    made.plain.floats = {name: trits * np.float32(scale) for name, (trits, scale) in made.plain.ternary.items()}
    assert model.numerics == "float"
    assert_computes(model, made.plain)


def test_several_scales_where_activations_are_said_to_be_int8_are_refused(tmp_path, tokenizer_json):
    """Red when a folder that asks for BitLinear silently runs as TriLM, or by absmean as another model."""
    quantization = {"quantization_config": {"quant_method": "bitnet"}}
    folder = families.write_hf(families.make("trilm"), tmp_path / "m", tokenizer_json, **quantization)
    with pytest.raises(engine.UnsupportedError, match=r"q_proj\.weight' has several scales"):
        engine.load(folder)


def test_a_norm_that_one_layer_lacks_is_refused(tmp_path, tokenizer_json):
    """Red when the norms of matrices are optional layer by layer."""
    made = families.make("normed")
    made.plain.dense.pop("blk.1.attn_output_norm_in")
    folder = families.write_hf(made, tmp_path / "m", tokenizer_json)
    with pytest.raises(engine.FormatError, match=r"no tensor 'model\.layers\.1\.self_attn\.o_proj\.rms_norm\.weight'"):
        engine.load(folder)


def test_norms_of_matrices_that_config_json_does_not_ask_for_are_refused(tmp_path, tokenizer_json):
    """Red when they are applied with an epsilon that nothing states, or dropped."""
    folder = families.write_hf(
        families.make("normed"), tmp_path / "m", tokenizer_json, quantization_config={"quant_method": "bitnet"}
    )
    with pytest.raises(engine.UnsupportedError, match=r"rms_norm\.weight' has no place in the graph"):
        engine.load(folder)


def test_gemma3_is_refused_by_name(tmp_path, tokenizer_json):
    """Red when the other base of microsoft's embedding models, with GELU and twice the norms, is run as Qwen3."""
    made = families.make("embedding")
    path = families_gguf.write_gguf(made, tmp_path / "m.gguf", "gemma3", "TQ2_0", tokenizer_json)
    folder = families.write_hf(made, tmp_path / "m", tokenizer_json, architectures=["Gemma3TextModel"])
    with pytest.raises(engine.UnsupportedError, match="architecture 'gemma3' is not run"):
        engine.load(path)
    with pytest.raises(engine.UnsupportedError, match="architecture 'Gemma3TextModel' is not run"):
        engine.load(folder)


LLAMA3 = {"rope_type": "llama3", "factor": 8.0}


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"rope_scaling": LLAMA3}, engine.FormatError, r"'rope_scaling\.low_freq_factor'"),
        ({"rope_scaling": {"rope_type": "yarn"}}, engine.UnsupportedError, r"'rope_scaling\.rope_type' is 'yarn'"),
        ({"rope_parameters": LLAMA3 | {"rope_theta": 1e4}}, engine.FormatError, r"'rope_parameters\.low_freq_factor'"),
        (
            {"rope_scaling": {"rope_type": "llama3", **families.LLAMA3, "high_freq_factor": 1.0}},
            engine.FormatError,
            "a number below high_freq_factor, 1, is allowed",
        ),
        (
            {"rope_scaling": {"type": "llama3"}, "rope_parameters": {"rope_theta": 1e4}},
            engine.UnsupportedError,
            "'rope_scaling' is",
        ),
        ({"rope_parameters": 3}, engine.FormatError, "'rope_parameters' is 3; an object was expected"),
        ({"mlp_bias": True}, engine.UnsupportedError, "'mlp_bias'"),
        ({"hidden_act": "gelu"}, engine.UnsupportedError, "computes silu"),
        ({"tie_word_embeddings": True}, None, ""),
        ({"quantization_config": {"quant_method": "gptq"}}, engine.UnsupportedError, "quant_method' is 'gptq'"),
        (
            {"quantization_config": {"quant_method": "bitnet", "use_rms_norm": True}},
            engine.FormatError,
            r"no tensor '.*q_proj\.rms_norm\.weight'",
        ),
        (
            {"quantization_config": {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head", "q_proj"]}},
            engine.UnsupportedError,
            "modules_to_not_convert",
        ),
    ],
)
def test_what_a_llama_may_not_ask_for_is_refused_by_name(tmp_path, tokenizer_json, changes, kind, message):
    """Red when a setting that changes the computation is ignored."""
    folder = families.write_hf(families.make("llama"), tmp_path / "m", tokenizer_json, **changes)
    if kind is None:
        engine.load(folder)
        return
    with pytest.raises(kind, match=message) as caught:
        engine.load(folder)
    assert str(caught.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("arch", "factors", "kind", "message"),
    [
        ("qwen3", np.ones(32), engine.UnsupportedError, r"'rope_freqs\.weight' has no place in the graph"),
        ("llama", np.ones(31), engine.FormatError, r"'rope_freqs\.weight' must hold 32 positive numbers"),
        ("llama", np.zeros(32), engine.FormatError, r"'rope_freqs\.weight' must hold 32 positive numbers"),
    ],
)
def test_rope_frequencies_that_mean_nothing_are_refused(tmp_path, tokenizer_json, arch, factors, kind, message):
    """Red when a graph that has no such factors ignores them, or angles become infinite."""
    made = families.make("qwen3" if arch == "qwen3" else "dense")
    path = tmp_path / "m.gguf"
    families_gguf.write_gguf(made, path, arch, "F16", tokenizer_json, rope_freqs=factors.astype(np.float32))
    with pytest.raises(kind, match=message):
        engine.load(path)


def test_several_scales_in_a_bitnet_matrix_are_refused(tmp_path, tokenizer_json):
    """Red when one of the scales is taken for all."""
    made = families.make("bitnet")
    trits, scale = made.plain.ternary.pop("blk.1.ffn_up")
    made.plain.floats["blk.1.ffn_up"] = trits * np.where(np.arange(families.SIZES.ffn) < 9, scale, 2 * scale)[:, None]
    path = families_gguf.write_gguf(made, tmp_path / "m.gguf", "bitnet-b1.58", "TQ2_0", tokenizer_json)
    with pytest.raises(engine.UnsupportedError, match=r"'blk\.1\.ffn_up\.weight' has several scales"):
        engine.load(path)


def test_trits_lost_in_another_quantisation_are_refused(tmp_path, tokenizer_json):
    """Red when absmean makes up trits from Q4_0, which does not hold both signs of one magnitude."""
    path = families_gguf.write_gguf(
        families.make("bitnet"), tmp_path / "m.gguf", "bitnet-b1.58", "Q4_0", tokenizer_json
    )
    with pytest.raises(engine.UnsupportedError, match="is Q4_0, which has lost the trits"):
        engine.load(path)
