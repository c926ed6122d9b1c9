"""The named numerics: each operator against its source written plainly, and what each may not be asked."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine import linears
from bitnet_engine.packing import BlockTernary, PackedTernary
from tests.engine import families, tiny

BF16 = ml_dtypes.bfloat16
OPERATOR = 2e-6


def relative(found, expected):
    return np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max()


def inputs(seed, rows=5, features=512, out=48):
    random = np.random.default_rng(seed)
    x = (random.standard_t(4, (rows, features))).astype(np.float32)
    return x, random.integers(-1, 2, (out, features)).astype(np.int8)


def q8k(x, trits, scales):
    """llama.cpp's quantize_row_q8_K_ref and ggml_vec_dot_tq2_0_q8_K_generic, a block at a time in float64."""
    out = np.zeros((len(x), len(trits)))
    for row, values in enumerate(x.astype(np.float64)):
        for start in range(0, len(values), 256):
            block = values[start : start + 256]
            largest = block[np.argmax(np.abs(block))]
            if largest == 0:
                continue
            # In float32, as there: in float64 other codes come out where a product is nearly half.
            inverse = np.float32(-127) / np.float32(largest)
            codes = np.minimum(127, np.rint(inverse * block.astype(np.float32)))
            sums = trits[:, start : start + 256].astype(np.int64) @ codes.astype(np.int64)
            out[row] += sums / np.float64(inverse) * scales[:, start // 256]
    return out


def test_q8k_matches_llama_cpp():
    """Red when a block's scale loses its sign, codes round half away, or one block's scale is used for a row."""
    x, trits = inputs(1)
    scales = np.full((48, 2), 0.75)
    found = linears.q8k_linear(jnp.asarray(x), PackedTernary.from_trits(trits, 0.75))
    assert relative(found, q8k(x, trits, scales)) < OPERATOR


def test_q8k_takes_a_scale_a_block():
    """Red when scales of a row's blocks are swapped, or repeated in the wrong order."""
    x, trits = inputs(2)
    scales = np.random.default_rng(3).uniform(0.5, 2, (48, 2)).astype(np.float32)
    found = linears.q8k_linear(jnp.asarray(x), BlockTernary.from_trits(trits, scales))
    assert relative(found, q8k(x, trits, scales)) < OPERATOR


def test_q8k_of_zeros_is_zero():
    """Red when a block of zeros divides by its largest value."""
    _, trits = inputs(4)
    found = linears.q8k_linear(jnp.zeros((2, 512)), PackedTernary.from_trits(trits, 1.0))
    assert np.array_equal(np.asarray(found), np.zeros((2, 48)))


def auto_bit_linear(x, trits, scale):
    """transformers' AutoBitLinear of bfloat16 tensors; a GEMM accumulates in float32 and rounds once."""
    step = np.float32(127) * (np.float32(1) / np.maximum(np.abs(x).max(-1, keepdims=True), np.float32(1e-5)))
    x = (np.clip(np.rint(x * step), -128, 127) / step).astype(BF16)
    total = (x.astype(np.float64) @ trits.T).astype(np.float32).astype(BF16)
    return (total * BF16(scale)).astype(np.float64)


def bit_linear(x, trits, weight_scale):
    """transformers' BitLinear of bfloat16 tensors, weight_scale as stored: it divides."""
    # torch computes 127 / tensor as its reciprocal, rounded, times 127.
    step = BF16(127) * (BF16(1) / np.maximum(np.abs(x.astype(BF16)).max(-1, keepdims=True), BF16(1e-5)))
    codes = np.clip(np.rint((x.astype(BF16) * step).astype(np.float32)), -128, 127)
    total = (codes.astype(np.float64) @ trits.T).astype(np.float32).astype(BF16)
    return (total / (BF16(weight_scale) * step)).astype(np.float64)


@pytest.mark.parametrize("features", [512, 250])
def test_bf16_linears_match_transformers(features):
    """Red when a rounding to bfloat16 is dropped, as XLA may drop a pair of casts, or one too many is made."""
    x, trits = inputs(5, features=features)
    x = x.astype(BF16).astype(np.float32)
    w = PackedTernary.from_trits(trits, float(BF16(0.0213)))
    # Sums of float32 in another order may round to a neighbour: a last bit here and there, no more.
    same = np.asarray(linears.auto_bit_linear(jnp.asarray(x), w)) == auto_bit_linear(x, trits, 0.0213)
    assert same.mean() > 0.99
    stored = float(BF16(47.0))
    w = PackedTernary.from_trits(trits, float(np.float32(1) / np.float32(stored)))
    assert np.array_equal(np.asarray(linears.bit_linear(jnp.asarray(x), w)), bit_linear(x, trits, stored))


def test_float_takes_activations_as_they_are():
    """Red when `float` quantises, or a scale of a block is applied to its neighbour."""
    x, trits = inputs(6)
    scales = np.random.default_rng(7).uniform(0.5, 2, (48, 4)).astype(np.float32)
    found = linears.float_linear(jnp.asarray(x), BlockTernary.from_trits(trits, scales))
    assert relative(found, x.astype(np.float64) @ (trits * np.repeat(scales, 128, 1)).T) < OPERATOR
    found = linears.float_linear(jnp.asarray(x), PackedTernary.from_trits(trits, 0.5))
    assert relative(found, x.astype(np.float64) @ trits.T * 0.5) < OPERATOR


@pytest.mark.parametrize("numerics", ["hf-bf16", "llamacpp-q8k", "float"])
def test_numerics_move_the_logits_of_the_sample_a_little(sample, packed, numerics):
    """Red when a name computes as another one does, or wrongly."""
    tokens = sample.tokenizer.encode("We, the people of the United States, in order to form")
    model, exact = engine.load(packed, numerics=numerics), sample.logits(tokens)
    assert model.numerics == numerics
    error = np.square(model.logits(tokens) - exact).sum() / np.square(exact).sum()
    assert 1e-6 < error < 1e-3


def test_bf16_logits_are_bfloat16(packed):
    """Red when XLA keeps more precision than the numerics it was asked for."""
    logits = engine.load(packed, numerics="hf-bf16").logits([1, 2, 3])
    assert np.array_equal(logits.astype(BF16).astype(np.float32), logits)


def test_a_name_that_is_none_is_refused(packed):
    """Red when a slip of the pen runs the default, stamped as what was asked for."""
    with pytest.raises(engine.SettingError, match=r"no numerics 'int8'\. exact-int8, hf-bf16, llamacpp-q8k, float are"):
        engine.load(packed, numerics="int8")


def test_q8k_of_a_dense_model_is_refused(tmp_path, tokenizer_json):
    """Red when a result is stamped llamacpp-q8k and nothing was quantised."""
    folder = families.write_hf(families.make("dense"), tmp_path / "m", tokenizer_json)
    with pytest.raises(engine.UnsupportedError, match="attn_q matrices are not ternary in rows"):
        engine.load(folder, numerics="llamacpp-q8k")


def test_q8k_of_a_narrow_model_is_refused(tmp_path, tokenizer_json):
    """Red when a row of 128 is cut into blocks of 256."""
    folder = tiny.write_packed(tiny.plain_model(seed=1), tmp_path / "m", tokenizer_json)
    with pytest.raises(engine.UnsupportedError, match="multiple of 256"):
        engine.load(folder, numerics="llamacpp-q8k")


def test_bf16_of_another_linear_class_is_refused(tmp_path, tokenizer_json):
    """Red when transformers would run BitLinear and we round as AutoBitLinear does."""
    made = families.make("llama")
    config = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}
    folder = families.write_hf(made, tmp_path / "m", tokenizer_json, quantization_config=config)
    with pytest.raises(engine.UnsupportedError, match="linear_class of quantization_config is not bitlinear"):
        engine.load(folder, numerics="hf-bf16")
