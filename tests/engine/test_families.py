"""Every graph family against its numpy float64 specification, from a folder and from GGUF."""

import dataclasses

import gguf
import jax
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.packing import BlockTernary, PackedTernary
from tests.engine import families, families_gguf, reference

TOKENS = np.random.default_rng(8).integers(0, families.VOCAB, 20).tolist()


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
    for layer in range(families.LAYERS):  # half a row of 256 is no block of TQ2_0
        name = f"blk.{layer}.attn_output"
        made.plain.floats[name] = np.sign(made.plain.floats[name]) / 32
    model = engine.load(families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", tokenizer_json))
    assert not model.config.activation_quant
    assert isinstance(model.weights.layers.attn_output, PackedTernary)
    assert isinstance(model.weights.layers.ffn_down, BlockTernary)
    assert_computes(model, made.plain)


def test_1bitllm_in_gguf_matches_the_specification(tmp_path, tokenizer_json):
    """Red when GGUF's `bitnet` runs relu2, or its q and k rows are permuted like llama's."""
    made = families.make("1bitllm")
    for name, (trits, _) in made.plain.ternary.items():
        made.plain.ternary[name] = trits, 0.03125
    assert_computes(
        engine.load(families_gguf.write_gguf(made, tmp_path / "m.gguf", "bitnet", "TQ2_0", tokenizer_json)), made.plain
    )


LLAMA3 = {"rope_type": "llama3", "factor": 8.0}


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"rope_scaling": LLAMA3}, engine.UnsupportedError, "'rope_scaling'"),
        ({"rope_parameters": LLAMA3 | {"rope_theta": 1e4}}, engine.UnsupportedError, r"'rope_parameters\.rope_type'"),
        ({"rope_parameters": 3}, engine.FormatError, "'rope_parameters' is 3; an object was expected"),
        ({"mlp_bias": True}, engine.UnsupportedError, "'mlp_bias'"),
        ({"hidden_act": "gelu"}, engine.UnsupportedError, "computes silu"),
        ({"tie_word_embeddings": True}, None, ""),
        ({"quantization_config": {"quant_method": "gptq"}}, engine.UnsupportedError, "quant_method' is 'gptq'"),
        (
            {"quantization_config": {"quant_method": "bitnet", "use_rms_norm": True}},
            engine.UnsupportedError,
            r"'quantization_config\.use_rms_norm' is True",
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


def test_rope_frequencies_in_gguf_are_refused(tmp_path, tokenizer_json):
    """Red when a Llama-3.1 file, whose rotary scaling is a tensor, runs as if it had none."""
    path = families_gguf.write_gguf(
        families.make("dense"),
        tmp_path / "m.gguf",
        "llama",
        "F16",
        tokenizer_json,
        rope_freqs=np.ones(families.HEAD_DIM // 2, np.float32),
    )
    with pytest.raises(engine.UnsupportedError, match=r"'rope_freqs\.weight' has no place in the graph"):
        engine.load(path)


def test_several_scales_in_a_bitnet_matrix_are_refused(tmp_path, tokenizer_json):
    """Red when one of the scales is taken for all."""
    made = families.make("bitnet")
    trits, scale = made.plain.ternary.pop("blk.1.ffn_up")
    made.plain.floats["blk.1.ffn_up"] = trits * np.where(np.arange(families.FFN) < 9, scale, 2 * scale)[:, None]
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
