"""The native kernel's attention of a whole prompt: to the bit what decoding gives each row, on every ISA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bitnet_engine import kernels
from bitnet_engine.kernels import Backend
from bitnet_engine.layers import attention
from tests.engine.test_kernel_floats import CLOSE, relative
from tests.engine.test_kernels import bits, every_isa, native

pytestmark = native


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes one backend the one in use, in programs compiled from then on."""
    return lambda backend: monkeypatch.setattr(kernels, "backend", lambda: backend)


def made(seq, heads, kv_heads, head_dim):
    """Return random q, k and v of a prompt, these two exact in float16."""
    random = np.random.default_rng(seq)
    q, k, v = (random.normal(size=(seq, count, head_dim)) for count in (heads, kv_heads, kv_heads))
    return jnp.asarray(q, jnp.float32), *(jnp.asarray(rows.astype(np.float16), jnp.float32) for rows in (k, v))


def prompt(*operands):
    # A function of its own each time: compiled programs are kept by function, and know nothing of the backend.
    return np.asarray(jax.jit(lambda *given: kernels.attend_prompt(*given))(*operands))


def decoded(q, k, v):
    """Return the same a position at a time, as decoding attends."""
    step = jax.jit(lambda *given: kernels.attend_decode(*given), donate_argnums=(3, 4))
    caches, rows = (jnp.zeros((1, *k.shape), k.dtype), jnp.zeros((1, *v.shape), v.dtype)), []
    for at in range(len(q)):
        mixed, *caches = step(q[at], k[at], v[at], *caches, jnp.int32(0), jnp.int32(at))
        rows.append(np.asarray(mixed))
    return np.stack(rows)


@every_isa
@pytest.mark.parametrize(
    ("seq", "heads", "kv_heads", "head_dim"), [(1, 4, 1, 16), (33, 2, 2, 48), (47, 7, 1, 32), (70, 20, 5, 128)]
)
def test_every_row_is_the_one_that_decoding_gives(use, isa, seq, heads, kv_heads, head_dim):
    """Red when a tile's or a chunk's edge is wrong, sums run in another order, or float16 is misread."""
    q, k, v = made(seq, heads, kv_heads, head_dim)
    use(Backend("native", isa))
    found = prompt(q, k, v)
    assert relative(found.reshape(seq, -1), attention(q, k, v, jnp.arange(seq))) < CLOSE
    assert np.array_equal(bits(found), bits(decoded(q, k, v)))
    narrow = k.astype(jnp.float16), v.astype(jnp.float16)
    assert np.array_equal(bits(found), bits(prompt(q, *narrow)))
    assert np.array_equal(bits(found), bits(decoded(q, *narrow)))
    use(Backend("native", "portable"))
    assert np.array_equal(bits(found), bits(prompt(q, k, v)))


@every_isa
def test_no_row_sees_what_follows_it(use, isa):
    """Red when a tile's positions share keys or values that only the later ones may see."""
    q, k, v = made(60, 4, 2, 32)
    use(Backend("native", isa))
    expected = prompt(q, k, v)
    for at in (5, 17, 40):
        found = prompt(q, k.at[at:, 0].set(jnp.nan), v.at[at:, 1].set(jnp.nan))
        assert np.array_equal(bits(found[:at]), bits(expected[:at]))
        assert np.isnan(found[at:]).all()
