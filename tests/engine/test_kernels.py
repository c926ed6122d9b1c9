"""The native kernel against XLA, bit for bit, on every instruction set of this machine; and how one is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitnet_engine as engine
from bitnet_engine import kernels, packing, provenance
from bitnet_engine.errors import BitnetError, SettingError
from bitnet_engine.kernels import Backend
from bitnet_engine.packing import PackedTernary, bitlinear, bitlinears, ternary_matmul

ISAS = kernels.isas() if kernels.backend().name == "native" else ()
XLA = Backend("xla", why="a test")
native = pytest.mark.skipif(not ISAS, reason=f"multiplying: {kernels.backend().describe()}")
every_isa = pytest.mark.parametrize("isa", ISAS or ["none"])

# Up to 9 rows and, for tiles of AMX, up to two of its panels and a bit.
shapes = st.tuples(st.integers(1, 9) | st.integers(1, 70), st.integers(1, 150), st.integers(1, 150))


@pytest.fixture
def use(monkeypatch):
    """Return a function that makes one backend the one in use."""
    return lambda chosen: monkeypatch.setattr(kernels, "backend", lambda: chosen)


def made(seed, rows, out, features):
    """Return random activations, codes and trits."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 10.0 ** random.integers(-6, 6), (rows, features)).astype(np.float32)
    q = random.integers(-128, 128, (rows, features)).astype(np.int8)
    return jnp.asarray(x), jnp.asarray(q), random.integers(-1, 2, (out, features)).astype(np.int8)


def packed(trits, backend):
    """Return trits packed for `backend`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "backend", lambda: backend)
        return PackedTernary.from_trits(trits, 0.37)


def bits(x):
    return np.asarray(x).view(np.int32)


@native
@every_isa
@settings(max_examples=15, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_the_native_product_is_that_of_integers(isa, shape, seed):
    """Red when padding of odd sizes leaks, a field is mixed up, or an instruction saturates."""
    rows, out, features = shape
    _, q, trits = made(seed, rows, out, features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "backend", lambda: Backend("native", isa))
        found = ternary_matmul(q, PackedTernary.from_trits(trits, 1.0))
    assert np.array_equal(np.asarray(found), np.asarray(q, np.int32) @ trits.T.astype(np.int32))


@native
@every_isa
@pytest.mark.parametrize(
    ("rows", "out", "features"), [(1, 1, 1), (1, 200, 77), (5, 64, 64), (9, 65, 131), (131, 70, 18), (400, 66, 2820)]
)
def test_the_native_layer_is_xla_s_to_the_bit(use, isa, rows, out, features):
    """Red when a code rounds otherwise, the scales are applied in another order, or NaN stays a number."""
    x, _, trits = made(rows, rows, out, features)
    x = x.at[0].set(0).at[rows // 2, features // 2].set(np.nan if rows % 2 else np.inf)
    expected = jax.jit(bitlinear)(x, packed(trits, XLA))
    use(Backend("native", isa))
    assert np.array_equal(bits(jax.jit(bitlinear)(x, packed(trits, kernels.backend()))), bits(expected))


@native
@every_isa
def test_codes_half_way_round_to_even(use, isa):
    """Red when an instruction set rounds half away from zero."""
    x = jnp.asarray([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -126.5]])
    use(Backend("native", isa))
    found = bitlinear(x, PackedTernary.from_trits(np.eye(8, dtype=np.int8), 1.0))
    assert np.asarray(found)[0].tolist() == [127, 0, 2, 2, 0, -2, 126, -126]


@native
@every_isa
@pytest.mark.parametrize(("rows", "code"), [(2, 127), (2, -128), (9, -128)])
def test_the_longest_sums_are_exact(use, isa, rows, code):
    """Red when fields, which are summed 64 times too large, overflow 32 bits, or pairs of them 16."""
    use(Backend("native", isa))
    trits = np.ones((64, 140_000), np.int8)
    q = jnp.full((rows, 140_000), code, jnp.int8).at[0, 0].set(1)
    found = np.asarray(ternary_matmul(q, PackedTernary.from_trits(trits, 1.0)))
    assert (found[0] == code * 139_999 + 1).all()
    assert (found[1:] == code * 140_000).all()


@native
@settings(max_examples=8, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_tiles_lose_no_trit(shape, seed):
    """Red when packing and unpacking disagree on where a trit lies."""
    _, out, features = shape
    trits = made(seed, 1, out, features)[2]
    w = packed(trits, Backend("native", ISAS[0]))
    assert np.array_equal(w.to_trits(), trits)
    assert np.array_equal(np.asarray(packing.unpack(w)), trits)


@native
def test_tiles_lie_where_layout_h_says():
    """Red when the layout changes and its description does not."""
    trits = np.zeros((64, 16), np.int8)
    trits[16 * 2 + 5, 4 * 3 + 1] = -1
    line = np.full((16, 4), 0b01010101, np.uint8)
    line[5, 1] = 0b01000101
    tiles = np.zeros(kernels.tiles_shape(64, 16), np.uint8)
    assert kernels.pack("trits", trits, (64, 16), tiles)
    found = tiles.reshape(4, 16, 4)
    assert np.array_equal(found[3], line)
    assert (found[:3] == 0b01010101).all()


@native
def test_the_kernel_reads_the_layer_it_is_told(use):
    """Red when the offset of a layer in the stack is wrong, or scales of two layers are swapped."""
    use(Backend("native", ISAS[0]))
    random = np.random.default_rng(0)
    trits = random.integers(-1, 2, (3, 70, 50)).astype(np.int8)
    scales = (0.5, 1.0, 2.0)
    stacked = packing.stack([PackedTernary.from_trits(trits[i], scale) for i, scale in enumerate(scales)])
    x = jnp.asarray(random.normal(size=(2, 50)).astype(np.float32))
    for layer, scale in enumerate(scales):
        expected = bitlinear(x, PackedTernary.from_trits(trits[layer], scale))
        found = jax.jit(lambda x, w, layer: bitlinear(x, w.at(layer)))(x, stacked, jnp.int32(layer))
        assert np.array_equal(bits(found), bits(expected))
    with pytest.raises(jax.errors.JaxRuntimeError, match="layer 3 is not in the stack"):
        bitlinear(x, stacked.at(jnp.int32(3))).block_until_ready()


@native
@every_isa
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_matrices_of_one_input_are_multiplied_as_each_alone(use, isa, rows):
    """Red when a call of several mixes up their blocks, scales or layers: sizes differ, and one is a stack."""
    use(Backend("native", isa))
    random = np.random.default_rng(rows)
    x = jnp.asarray(random.normal(size=(rows, 50)).astype(np.float32))
    trits = [random.integers(-1, 2, (out, 50)).astype(np.int8) for out in (70, 1, 128, 33)]
    alone = [PackedTernary.from_trits(one, scale) for one, scale in zip(trits, (0.5, 1.0, 2.0, 3.0), strict=True)]
    ws = [*alone[:3], packing.stack([PackedTernary.from_trits(-trits[3], 1.0), alone[3]]).at(jnp.int32(1))]
    found = jax.jit(bitlinears)(x, ws)
    expected = [bitlinear(x, w) for w in alone]
    assert all(np.array_equal(bits(one), bits(other)) for one, other in zip(found, expected, strict=True))


@native
def test_a_model_s_logits_are_the_same_bits_on_both_backends(use, i2_s):
    """Red when XLA rounds a layer's end otherwise beside its own code than beside the kernel's."""
    found = []
    for backend in (Backend("native", ISAS[0]), XLA):
        use(backend)
        model = engine.load(i2_s)
        found.append(bits(model.logits(list(range(100, 140)))))
    assert model.weights.layers.attn_q.tiled is None
    assert np.array_equal(*found)


def test_a_missing_kernel_falls_back_and_says_so(monkeypatch):
    """Red when an install without a compiler cannot run, or hides that it is slow."""
    monkeypatch.delenv("BITNET_KERNEL", raising=False)
    monkeypatch.setattr(kernels, "_obstacle", lambda: "the kernel was not built, or not for this machine")
    chosen = kernels.backend.__wrapped__()
    assert chosen.missed
    assert chosen.describe() == "xla (the kernel was not built, or not for this machine)"


def test_a_required_kernel_that_cannot_run_is_an_error(monkeypatch):
    """Red when a benchmark or a CI job that asked for the kernel quietly measures XLA."""
    monkeypatch.setenv("BITNET_KERNEL", "native")
    monkeypatch.setattr(kernels, "_obstacle", lambda: "jax runs on gpu")
    with pytest.raises(BitnetError, match=r"BITNET_KERNEL is native, but jax runs on gpu\. Install"):
        kernels.backend.__wrapped__()


def test_xla_can_be_chosen(monkeypatch):
    """Red when the switch that forbids the kernel is ignored."""
    monkeypatch.setenv("BITNET_KERNEL", "xla")
    chosen = kernels.backend.__wrapped__()
    assert (chosen.name, chosen.missed) == ("xla", False)


def test_an_unknown_choice_is_named(monkeypatch):
    """Red when a misspelt choice runs something else than was asked for."""
    monkeypatch.setenv("BITNET_KERNEL", "fast")
    with pytest.raises(SettingError, match=r"BITNET_KERNEL is 'fast'\. auto, native, xla are allowed\."):
        kernels.backend.__wrapped__()


@native
def test_an_instruction_set_can_be_chosen(monkeypatch):
    """Red when the choice is ignored, or one that this machine lacks is taken and traps."""
    monkeypatch.delenv("BITNET_KERNEL", raising=False)
    monkeypatch.setenv("BITNET_KERNEL_ISA", "portable")
    assert kernels.backend.__wrapped__() == Backend("native", "portable")
    monkeypatch.setenv("BITNET_KERNEL_ISA", "sve9")
    with pytest.raises(SettingError, match=r"BITNET_KERNEL_ISA is 'sve9'\. .*portable run on this machine\."):
        kernels.backend.__wrapped__()


@native
def test_a_kernel_newer_than_the_runtime_is_not_registered(monkeypatch):
    """Red when a kernel built against a later FFI breaks the start of jax's CPU backend."""
    monkeypatch.setattr(kernels, "_runtime_api", lambda: (0, 0))
    monkeypatch.setattr(jax.ffi, "register_ffi_target", lambda *_, **__: pytest.fail("registered"))
    assert "and this jaxlib has 0.0" in kernels._obstacle.__wrapped__()


@native
def test_a_refusal_of_jaxlib_is_survived(monkeypatch):
    """Red when a jaxlib that drops an old FFI takes the engine down with it."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("INVALID_ARGUMENT: too old\nmore")

    monkeypatch.setattr(jax.ffi, "register_ffi_target", refuse)
    assert kernels._obstacle.__wrapped__() == "the kernel could not be registered: INVALID_ARGUMENT: too old"


def test_the_stamp_names_what_multiplied():
    """Red when two artifacts made by different code look alike."""
    assert provenance.stamp()["kernel"] == kernels.backend().describe()
