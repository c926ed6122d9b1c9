"""What accelerators would run, as far as a CPU can tell: programs compiled for them, and the TPU's kernel interpreted.

None of this has run on a GPU or a TPU.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitnet_engine import kernels, pallas_kernels
from bitnet_engine.kernels import Backend
from bitnet_engine.packing import PackedTernary, bitlinear, ternary_matmul

XLA, PALLAS = Backend("xla", why="a test"), Backend("pallas", why="a test")
shapes = st.tuples(st.integers(1, 300), st.integers(1, 300), st.integers(1, 90))


def made(seed, rows, out, features):
    """Return int8 codes of activations, and trits."""
    random = np.random.default_rng(seed)
    q = random.integers(-128, 128, (rows, features)).astype(np.int8)
    return jnp.asarray(q), random.integers(-1, 2, (out, features)).astype(np.int8)


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes one backend the one in use."""
    return lambda chosen: monkeypatch.setattr(kernels, "backend", lambda: chosen)


@settings(max_examples=12, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_the_tpu_s_product_is_that_of_integers(shape, seed):
    """Red when a block at an edge is cut off wrongly, fields are mixed up, or padding adds to a sum."""
    rows, out, features = shape
    q, trits = made(seed, rows, out, features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "backend", lambda: PALLAS)
        found = ternary_matmul(q, PackedTernary.from_trits(trits, 1.0))
    assert np.array_equal(np.asarray(found), np.asarray(q, np.int32) @ trits.T.astype(np.int32))


def test_the_tpu_s_kernel_finds_its_layer_in_the_stack(use):
    """Red when every layer is multiplied with the first, or the stack is sliced before it is handed over."""
    use(PALLAS)
    matrices = [PackedTernary.from_trits(made(seed, 1, 70, 36)[1], 0.5 + seed) for seed in range(3)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *matrices)
    x = jnp.asarray(np.random.default_rng(5).normal(size=(3, 36)), jnp.float32)
    for layer, alone in enumerate(matrices):
        one = stack.at(jnp.int32(layer))
        assert one.codes is stack.codes
        assert np.array_equal(bitlinear(x, one), bitlinear(x, alone))


def test_a_model_on_the_tpu_s_kernel_gives_the_same_bits(use, packed):
    """Red when the kernel is not what the graph calls on a TPU, or what surrounds it rounds otherwise."""
    import bitnet_engine as engine

    def logits(chosen: Backend) -> np.ndarray:
        use(chosen)
        jax.clear_caches()
        return engine.load(packed).logits([1, 2, 3, 4, 5])

    assert np.array_equal(logits(PALLAS), logits(XLA))


def test_the_tpu_s_kernel_lowers_to_mosaic():
    """Red when a block, a type or an operation is one that Mosaic does not take: interpreting would not show it."""

    def product(q, codes, layer):
        return pallas_kernels.ternary_matmul(q, codes, layer, interpret=False)

    for rows, out, slab in ((1, 640, 640), (512, 2560, 1728), (7, 6912, 640)):
        shape = jax.ShapeDtypeStruct((rows, 4 * slab), jnp.int8), jax.ShapeDtypeStruct((30, out, slab), jnp.uint8)
        lowered = jax.jit(product).trace(*shape, jax.ShapeDtypeStruct((), jnp.int32)).lower(lowering_platforms=("tpu",))
        assert "tpu_custom_call" in lowered.as_text()


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu", "cpu"])
def test_packed_weights_enter_a_program_packed_and_sums_are_int32(use, platform):
    """Red when weights are unpacked outside the program, four times the memory, or int8 products sum into int8."""
    use(XLA)
    w = PackedTernary.from_trits(made(0, 1, 64, 128)[1], 0.5)
    lowered = jax.jit(bitlinear).trace(jnp.zeros((4, 128)), w).lower(lowering_platforms=(platform,)).as_text()
    assert re.search(r"@main\(%arg0: tensor<4x128xf32>.*%arg1: tensor<64x32xui8>", lowered)
    products = re.findall(r"dot_general.*: \((.*)\) -> (.*)", lowered)
    assert products == [("tensor<4x32xi8>, tensor<64x32xi8>", "tensor<4x64xi32>")] * 4


def test_the_compiled_program_keeps_the_int32_product(use):
    """Red when XLA turns the integer product into one of floats, which is exact to 2^24 only."""
    use(XLA)
    w = PackedTernary.from_trits(made(0, 1, 64, 128)[1], 0.5)
    text = jax.jit(bitlinear).lower(jnp.zeros((4, 128)), w).compile().as_text()
    assert "u8[64,32]" in text
    assert re.search(r"s32\[4,64\]\S* (dot|fusion|custom-call)\(", text)


def test_a_tpu_runs_the_tpu_s_kernel(monkeypatch):
    """Red when dispatch forgets a platform: a TPU gets Pallas, a GPU XLA, and neither misses the CPU's kernel."""
    monkeypatch.delenv("BITNET_KERNEL", raising=False)
    monkeypatch.setattr(kernels, "_obstacle", lambda: "jax runs elsewhere")
    chosen = {}
    for platform in ("tpu", "gpu", "cpu"):
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        found = kernels.backend.__wrapped__()
        chosen[platform] = found.name, found.missed
    assert chosen == {"tpu": ("pallas", False), "gpu": ("xla", False), "cpu": ("xla", True)}
