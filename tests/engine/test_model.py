"""The graph against its numpy float64 specification, and the three ways to run it against each other."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine import layers
from bitnet_engine.model import bucket
from bitnet_engine.packing import PackedTernary, bitlinear
from bitnet_engine.rope_scaling import Llama3Scaling
from tests.engine import reference, tiny

OPERATOR = 2e-6  # float32 against float64, one operator, relative to the largest value


def relative(found, expected):
    return np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max()


def rows(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def test_rms_norm_matches_the_specification():
    """Red when eps is inside the wrong bracket or the mean runs over the wrong axis."""
    x, gain = rows(1, 5, 64) * 1e-3, rows(2, 64)
    expected = reference.rms_norm(x.astype(np.float64), gain, 1e-5)
    assert relative(layers.rms_norm(jnp.asarray(x), jnp.asarray(gain), 1e-5), expected) < OPERATOR


def test_rope_matches_the_specification():
    """Red when pairs are interleaved instead of half a head apart, or positions are off by one."""
    x = rows(3, 40, 4, 32)
    tables = layers.rope_tables(jnp.arange(40), 32, 10000.0)
    # 39 radians in float32 carry half an ulp of 39, which is all this tolerance is for.
    assert relative(layers.rope(jnp.asarray(x), *tables), reference.rotate(x.astype(np.float64), 10000.0)) < 5e-6


def test_rope_with_factors_matches_the_specification():
    """Red when a frequency is multiplied by its factor, or the factors are read from the slowest on."""
    x = rows(3, 40, 4, 32)
    numbers = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    factors = Llama3Scaling(8.0, 1.0, 4.0, 64).factors(32, 10000.0)
    tables = layers.rope_tables(jnp.arange(40), 32, 10000.0, factors)
    expected = reference.rotate(x.astype(np.float64), 10000.0, numbers)
    assert relative(layers.rope(jnp.asarray(x), *tables), expected) < 5e-6


def test_bitlinear_matches_the_specification():
    """Red when the scale divides instead of multiplying, or activations are not quantised."""
    x = rows(4, 6, 128)
    trits = np.random.default_rng(5).integers(-1, 2, (48, 128)).astype(np.int8)
    expected = reference.bit_linear(x.astype(np.float64), trits, 1.375)
    found = bitlinear(jnp.asarray(x), PackedTernary.from_trits(trits, 1.375))
    assert relative(found, expected) < OPERATOR


@pytest.mark.parametrize("activation", ["relu2", "silu"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_match_the_specification(tmp_path, tokenizer_json, activation, tied):
    """Red when any operation of the block is missing, doubled or in the wrong place."""
    plain = tiny.plain_model(seed=7, activation=activation, tied=tied)
    model = engine.load(tiny.write_packed(plain, tmp_path / "m", tokenizer_json))
    tokens = np.random.default_rng(8).integers(0, tiny.SIZES.vocab, 20).tolist()
    expected = reference.forward(plain, tokens)
    # The floor: the same specification from embeddings moved by half a float32 ulp. Codes of int8
    # activations flip there too, so no float32 engine can do better.
    floor = max(_nmse(reference.forward(_nudged(plain, seed), tokens), expected) for seed in range(3))
    assert _nmse(model.logits(tokens), expected) <= 2 * floor + 1e-12


def _nmse(found, expected):
    return float(np.square(found - expected).sum() / np.square(expected).sum())


def _nudged(plain, seed):
    table = plain.dense["token_embd"].astype(np.float64)
    noise = np.random.default_rng(seed).uniform(-1, 1, table.shape) * 2.0**-24
    return dataclasses.replace(plain, dense={**plain.dense, "token_embd": table * (1 + noise)})


def test_relu2_and_silu_are_different_models(tmp_path, tokenizer_json):
    """Red when hidden_act is ignored, the best-known bug of the field (microsoft/BitNet #588)."""
    plain = tiny.plain_model(seed=7)
    relu2 = engine.load(tiny.write_packed(plain, tmp_path / "a", tokenizer_json))
    silu = engine.load(tiny.write_packed(plain, tmp_path / "b", tokenizer_json, hidden_act="silu"))
    assert _nmse(silu.logits([1, 2, 3]), relu2.logits([1, 2, 3])) > 1e-2


def test_prefill_and_decode_equal_full_logits(sample):
    """Red when a cache row is written to the wrong place or padding is visible to a query."""
    tokens = sample.tokenizer.encode("The Congress of the United States has the power to")
    full = sample.logits(tokens)
    logits, cache = sample.prefill(tokens[:5], max_len=len(tokens))
    assert _nmse(np.asarray(logits), full[4]) < 1e-5
    for position in range(5, len(tokens)):
        logits, cache = sample.decode(tokens[position], cache)
        assert _nmse(np.asarray(logits), full[position]) < 1e-5
        assert int(np.argmax(logits)) == int(np.argmax(full[position]))


def test_padding_changes_no_logit(sample):
    """Red when tokens after a position reach it: a causal model cannot see them."""
    tokens = sample.tokenizer.encode("We, the people")
    longer = [*tokens, *range(100, 120 - len(tokens) + 12)]
    assert bucket(len(tokens), 256) == bucket(len(longer), 256)
    assert np.array_equal(sample.logits(tokens), sample.logits(longer)[: len(tokens)])


def test_a_full_cache_is_an_error(sample):
    """Red when XLA clamps the write and silently overwrites the last position."""
    _, cache = sample.prefill([1, 2, 3], max_len=3)
    with pytest.raises(engine.BitnetError, match="made for 3 positions"):
        sample.decode(4, cache)


@pytest.mark.parametrize("tokens", [[], [4096], [-1], [0] * 257])
def test_tokens_that_cannot_be_run_are_refused(sample, tokens):
    """Red when XLA clamps an id outside the vocabulary and answers for another token."""
    with pytest.raises(engine.BitnetError):
        sample.logits(tokens)


def test_buckets_are_few_and_never_over_the_limit():
    """Red when every length compiles its own program."""
    assert {bucket(n, 500) for n in range(1, 501)} == {32, 128, 500}
