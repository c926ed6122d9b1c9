"""What the native kernel computes in floats, decode attention and the head: close to XLA's, the same on every ISA."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine import kernels, model
from bitnet_engine.attending import KVCache
from bitnet_engine.kernels import Backend
from bitnet_engine.layers import attention
from bitnet_engine.model import Layers, Weights
from bitnet_engine.numerics import CacheType
from bitnet_engine.packing import PackedTernary, bitlinear
from bitnet_engine.sharding import ONE_DEVICE
from tests.engine.test_kernels import ISAS, XLA, bits, every_isa, native

pytestmark = native

CLOSE = 1e-6  # float32 sums of some thousand products in two orders, relative to the largest


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes one backend the one in use, in programs compiled from then on."""

    def chosen(backend):
        model._prefill.clear_cache()
        model._decode.clear_cache()
        monkeypatch.setattr(kernels, "backend", lambda: backend)

    return chosen


def relative(found, expected):
    return np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(np.asarray(expected)).max()


def made(seed, *, heads, kv_heads, head_dim, kv_seq=100, layers=3):
    """Return random q, k, v of one position and the caches of all layers."""
    random = np.random.default_rng(seed)
    shapes = [(heads, head_dim), *[(kv_heads, head_dim)] * 2, *[(layers, kv_seq, kv_heads, head_dim)] * 2]
    return [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in shapes]


def attend(operands, layer, position):
    """Return the native result; the operands stay as they are."""
    # A function of its own each time: compiled programs are kept by function, and know nothing of the backend.
    return jax.jit(lambda *given: kernels.attend_decode(*given))(*operands, jnp.int32(layer), jnp.int32(position))


@every_isa
@pytest.mark.parametrize(
    ("position", "heads", "kv_heads", "head_dim"),
    [(0, 4, 1, 16), (30, 2, 2, 16), (31, 7, 1, 48), (32, 20, 5, 128), (99, 20, 5, 128)],
)
def test_attention_is_xla_s_and_one_for_all(use, isa, position, heads, kv_heads, head_dim):
    """Red when a chunk's edge, a head left over from four, or a position too many is summed, or in another order."""
    operands = made(position, heads=heads, kv_heads=kv_heads, head_dim=head_dim)
    q, k, v, all_k, all_v = operands
    keys, values = all_k.at[1, position].set(k), all_v.at[1, position].set(v)
    expected = attention(q[None], keys[1], values[1], jnp.asarray([position]))
    use(Backend("native", "portable"))
    everywhere = attend(operands, 1, position)[0]
    use(Backend("native", isa))
    mixed, grown_k, grown_v = attend(operands, 1, position)
    assert relative(mixed.reshape(1, -1), expected) < CLOSE
    assert np.array_equal(bits(mixed), bits(everywhere))
    assert np.array_equal(grown_k, keys)
    assert np.array_equal(grown_v, values)


@every_isa
def test_attention_sees_nan_where_it_looks_and_nowhere_else(use, isa):
    """Red when rows behind the position are read, or a NaN score loses against the largest."""
    use(Backend("native", isa))
    q, k, v, all_k, all_v = made(0, heads=4, kv_heads=2, head_dim=32)
    behind = all_k.at[:, 41:].set(jnp.nan)
    assert np.isfinite(np.asarray(attend((q, k, v, behind, all_v), 0, 40)[0])).all()
    seen = all_k.at[0, 3, 1].set(jnp.nan)
    found = np.asarray(attend((q, k, v, seen, all_v), 0, 40)[0])
    assert np.isnan(found[2:]).all()
    assert np.isfinite(found[:2]).all()


@every_isa
def test_scores_far_apart_do_not_overflow(use, isa):
    """Red when e^x is taken of a score and not of its distance from the largest, or runs out of exponents."""
    use(Backend("native", isa))
    q, k, v, all_k, all_v = made(1, heads=4, kv_heads=2, head_dim=32)
    operands = (q * 1e4, k, v, all_k, all_v)
    keys, values = all_k.at[0, 70].set(k), all_v.at[0, 70].set(v)
    expected = attention(q[None] * 1e4, keys[0], values[0], jnp.asarray([70]))
    assert relative(attend(operands, 0, 70)[0].reshape(1, -1), expected) < CLOSE


def test_a_position_outside_the_cache_is_refused():
    """Red when a row is written behind the cache's memory."""
    operands = made(0, heads=4, kv_heads=2, head_dim=32)
    for layer, position in ((0, 100), (0, -1), (3, 0)):
        with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="the position is not in the cache"):
            jax.block_until_ready(attend(operands, layer, position))


@every_isa
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("columns", [2560, 93])
def test_the_head_is_exact_but_for_the_order_of_sums(use, isa, dtype, columns):
    """Red when a type is widened wrongly, the last columns are lost, or sums have another order on one ISA."""
    random = np.random.default_rng(columns)
    hidden = jnp.asarray(random.normal(size=columns), jnp.float32)
    table = jnp.asarray(random.normal(size=(301, columns)), dtype)
    use(Backend("native", "portable"))
    everywhere = kernels.lm_head(hidden, table)
    use(Backend("native", isa))
    found = kernels.lm_head(hidden, table)
    assert relative(found, np.asarray(table, np.float64) @ np.asarray(hidden, np.float64)) < CLOSE
    assert np.array_equal(bits(found), bits(everywhere))


@every_isa
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_every_number_of_16_bits_is_widened_exactly(use, isa, dtype):
    """Red when a subnormal, an infinity or a NaN of a table becomes another number."""
    use(Backend("native", isa))
    every = np.arange(1 << 16, dtype=np.uint16).view(dtype)[:, None]
    found = np.asarray(kernels.lm_head(jnp.ones(1), jnp.asarray(every)))
    expected = every[:, 0].astype(np.float32)
    # XLA's threads take float32's own subnormals for zeros; of these two types only bfloat16 has any.
    normal = np.isnan(expected) | (np.abs(expected) >= np.finfo(np.float32).tiny)
    assert np.array_equal(found[normal], expected[normal], equal_nan=True)


def test_decoding_says_what_xla_s_says(use, i2_s):
    """Red when native and XLA's decoding differ by more than rounding, or choose other tokens."""
    found = []
    for backend in (Backend("native", ISAS[0]), XLA):
        use(backend)
        loaded = engine.load(i2_s)
        logits, cache = loaded.prefill(list(range(100, 108)), max_len=64)
        texts, rows = [], [np.asarray(logits)]
        for _ in range(40):
            texts.append(int(np.argmax(rows[-1])))
            logits, cache = loaded.decode(texts[-1], cache)
            rows.append(np.asarray(logits))
        found.append((texts, np.stack(rows)))
    assert found[0][0] == found[1][0]
    # A code that rounds the other way moves a logit by far more than the sum that moved it.
    assert np.square(found[0][1] - found[1][1]).sum() / np.square(found[1][1]).sum() < 1e-5


def test_decoding_is_the_same_bits_on_every_isa(use, i2_s):
    """Red when one instruction set sums a model's floats in an order of its own."""
    found = []
    for isa in ISAS:
        use(Backend("native", isa))
        loaded = engine.load(i2_s)
        first, cache = loaded.prefill(list(range(100, 140)), max_len=64)
        second, _ = loaded.decode(7, cache)
        found.append((bits(first), bits(second)))
    for others in found[1:]:
        assert np.array_equal(others[0], found[0][0])
        assert np.array_equal(others[1], found[0][1])


def published(config):
    """Return the config of a model in the shape of 2B-4T, and its weights' shapes."""
    sizes = {"layers": 30, "embed": 2560, "ffn": 6912, "heads": 20, "kv_heads": 5, "head_dim": 128, "vocab": 128256}
    config = dataclasses.replace(config, **sizes, max_positions=4096)
    return config, jax.eval_shape(partial(zeros, config))


def zeros(config):
    """Return weights of zeros, to be traced and never made."""
    shapes = config.block_shapes()
    matrices = {}
    for part in Layers.__dataclass_fields__:
        if part not in shapes:
            matrices[part] = None
        elif len(shapes[part]) == 1:
            matrices[part] = jnp.zeros((config.layers, *shapes[part]))
        else:
            out, features = shapes[part]
            codes = jnp.zeros((config.layers, out // 64, features * 16), jnp.uint8)
            matrices[part] = PackedTernary(codes, jnp.zeros(config.layers), features, out)
    table = jnp.zeros((config.vocab, config.embed), jnp.float16)
    return Weights(table, Layers(**matrices | {"input_norms": {}}), jnp.zeros(config.embed), None)


@pytest.mark.parametrize("kind", CacheType)
def test_a_step_of_decoding_copies_no_cache(sample, kind):
    """Red when XLA copies a layer of the cache, a matrix or the head: 4 MB of scratch hold none of them."""
    config, weights = published(sample.config)
    cache = jax.eval_shape(partial(KVCache.empty, config, 2048, kind))
    token = jax.ShapeDtypeStruct((1,), jnp.int32)
    step = model._decode.lower(config, sample.numerics, weights, token, cache, ONE_DEVICE).compile()
    memory = step.memory_analysis()
    assert memory.temp_size_in_bytes < 4 << 20
    # Both caches come back in the memory in which they came.
    assert memory.alias_size_in_bytes >= 2 * cache.k.size * cache.k.dtype.itemsize


@pytest.mark.parametrize("shape", [(3,), (2, 1 << 20), (5, 300_001)])
def test_a_new_cache_is_zeros_to_its_last_byte(shape):
    """Red when a part of a page is not written, and a step attends to whatever lay there."""
    # Memory of that size that is not zeros, freed for the next to get.
    jnp.full(shape, jnp.nan, jnp.float16).block_until_ready().delete()
    made = np.asarray(jax.jit(lambda: kernels.zeros(shape, jnp.dtype(jnp.float16)))())
    assert (made.shape, np.count_nonzero(made)) == (shape, 0)


def test_a_prompt_makes_its_cache_once(sample):
    """Red when XLA keeps a second cache while a prompt runs, 300 MB of a model of 2B."""
    config, weights = published(sample.config)
    ids, number = (jax.ShapeDtypeStruct(shape, jnp.int32) for shape in ((32,), ()))
    prefill = model._prefill.lower(
        config, sample.numerics, 2048, weights, ids, number, ONE_DEVICE, CacheType.FLOAT32
    ).compile()
    assert prefill.memory_analysis().temp_size_in_bytes < 8 << 20


def test_many_callers_share_the_pool(use):
    """Red when loops that run at once lose pieces, take each other's, or wait for ever."""
    use(Backend("native", ISAS[0]))
    random = np.random.default_rng(0)
    w = PackedTernary.from_trits(random.integers(-1, 2, (640, 512)).astype(np.int8), 1.0)
    rows = jnp.asarray(random.normal(size=(8, 1, 512)), jnp.float32)
    layer = jax.jit(bitlinear)
    expected = [np.asarray(layer(x, w)) for x in rows]

    def many(index):
        return all(np.array_equal(layer(rows[index], w), expected[index]) for _ in range(100))

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(many, range(8)))
