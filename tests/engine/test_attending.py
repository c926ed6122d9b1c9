"""The cache and its types: what is attended to is what it holds, in scoring, prompts and steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine import kernels
from bitnet_engine.attending import attend
from bitnet_engine.errors import SettingError
from bitnet_engine.layers import as_is, attention

SEQ = 9


@pytest.fixture(scope="module")
def narrow(i2_s):
    return engine.load(i2_s, cache="float16")


def halved(x):
    return jnp.asarray(np.asarray(x).astype(np.float16), jnp.float32)


@pytest.mark.parametrize("phase", ["scoring", "prompt"])
@pytest.mark.parametrize("native", {False, kernels.backend().name == "native"})
def test_rows_are_rounded_before_anybody_attends_to_them(phase, native):
    """Red when XLA drops the pair of casts, so that a prompt sees other keys than the steps after it."""
    random = np.random.default_rng(0)
    q, k, v = (jnp.asarray(random.normal(size=(SEQ, heads, 16)), jnp.float32) for heads in (4, 2, 2))
    caches = (jnp.zeros((2, 12, 2, 16), jnp.float16), jnp.zeros((2, 12, 2, 16), jnp.float16))
    run = jax.jit(lambda *given: attend(phase, native, as_is, *given, caches, jnp.arange(SEQ), jnp.int32(1)))
    mixed, all_k, all_v = run(q, k, v)
    expected = np.asarray(attention(q, halved(k), halved(v), jnp.arange(SEQ)))
    assert np.abs(mixed - expected).max() < 1e-6
    assert np.array_equal(all_k[1, :SEQ], np.asarray(k).astype(np.float16))
    assert np.array_equal(all_v[1, :SEQ], np.asarray(v).astype(np.float16))


def test_a_narrow_cache_is_half_the_bytes_and_nearly_the_same_model(sample, narrow):
    """Red when float16 is asked for and float32 is kept, or steps read the cache as another type than it is."""
    tokens = sample.tokenizer.encode("The Congress of the United States has the power to")
    full, rounded = sample.logits(tokens), narrow.logits(tokens)
    assert 0 < np.square(full - rounded).sum() / np.square(full).sum() < 1e-3
    logits, cache = narrow.prefill(tokens[:5], max_len=len(tokens))
    for position in range(5, len(tokens)):
        logits, cache = narrow.decode(tokens[position], cache)
        assert np.square(np.asarray(logits) - rounded[position]).sum() / np.square(rounded[position]).sum() < 1e-5
    assert (cache.k.dtype, cache.v.dtype) == (jnp.float16, jnp.float16)


def test_a_narrow_cache_is_captured_to_the_bit(narrow):
    """Red when a capture attends to keys that the scores of the same model never saw."""
    *_, last = engine.capture(narrow, [7, 250, 3])
    assert np.array_equal(last.values["result_output"], narrow.logits([7, 250, 3]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cache": "int8"}, "no cache of type 'int8'. float32, float16 are allowed"),
        ({"cache": "float16", "numerics": "hf-bf16"}, "a cache of float16 holds no bfloat16"),
    ],
)
def test_a_cache_that_nothing_computes_is_refused(i2_s, settings, message):
    """Red when a misspelt type runs as another, or numerics are rounded in a way no engine rounds."""
    with pytest.raises(SettingError, match=f"(?i){message}"):
        engine.load(i2_s, **settings)
