"""Weights land once: packed from a file's own bytes, in memory that jax takes over, tables in their 16 bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import bitnet_engine as engine
from bitnet_engine import buffers, kernels
from bitnet_engine.formats import I2SLayout, QuantType, StoredTrits
from bitnet_engine.formats.ternary import one_scale, pack_hf, pack_i2_s, pack_tq1_0, pack_tq2_0, packing_of
from bitnet_engine.linears import TABLE_PIECE, table_product
from bitnet_engine.matrices import hf_order
from bitnet_engine.packing import TernaryStack
from bitnet_engine.sharding import TABLE_STEP
from tests.engine import tiny

native = pytest.mark.skipif(kernels.backend().name != "native", reason="only tiles are packed from a file's bytes")

PACKERS = {
    "HF_PACKED": pack_hf,
    "I2_S A": lambda trits: pack_i2_s(trits, 0.5),
    "I2_S B": lambda trits: pack_i2_s(trits, 0.5, I2SLayout.B),
    "TQ2_0": lambda trits: pack_tq2_0(trits, 0.5),
    "TQ1_0": lambda trits: pack_tq1_0(trits, 0.5),
}
every_packing = pytest.mark.parametrize("packing", PACKERS)


def random_trits(seed, rows, columns):
    return np.random.default_rng(seed).integers(-1, 2, (rows, columns)).astype(np.int8)


@native
@every_packing
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40), blocks=st.integers(1, 3), layers=st.integers(1, 3))
def test_a_file_s_bytes_become_the_tiles_of_its_trits(packing, seed, rows, blocks, layers):
    """Red when a decoder mixes up fields, halves or digits, or a matrix lands in another layer's place."""
    trits = [random_trits(seed + layer, 4 * rows, 256 * blocks) for layer in range(layers)]
    landing = TernaryStack(layers, trits[0].shape)
    for layer in reversed(range(layers)):
        stored = StoredTrits(packing, PACKERS[packing](trits[layer]), trits[layer].shape, layer + 0.5)
        assert landing.put_stored(layer, stored, None)
    found = landing.finish()
    assert np.array_equal(found.to_trits(), np.stack(trits))
    assert np.asarray(found.scale).tolist() == [layer + 0.5 for layer in range(layers)]


@native
@every_packing
def test_rows_are_put_in_order(packing):
    """Red when llama.cpp's pairs of rows are left as they are, or turned around twice."""
    trits, order = random_trits(1, 16, 256), hf_order(16, 2)
    landing = TernaryStack(1, trits.shape)
    assert landing.put_stored(0, StoredTrits(packing, PACKERS[packing](trits), trits.shape, 1.0), order)
    assert np.array_equal(landing.finish().to_trits()[0], trits[order])


@native
@pytest.mark.parametrize("packing", [packing for packing in PACKERS if packing != "TQ1_0"])
@pytest.mark.parametrize("at", [0, 17, 63])
def test_the_fourth_code_is_noticed(packing, at):
    """Red when a corrupt byte is multiplied as 2; TQ1_0 has no fourth code."""
    trits = random_trits(2, 8, 256)
    data = bytearray(PACKERS[packing](trits))
    data[at] = 0xC0
    landing = TernaryStack(1, trits.shape)
    assert not landing.put_stored(0, StoredTrits(packing, bytes(data), trits.shape, 1.0), None)


@pytest.mark.parametrize("kind", [QuantType.TQ1_0, QuantType.TQ2_0])
def test_one_scale_is_told_without_unpacking(kind):
    """Red when a block of zeros makes a second scale, or a scale of 0 hides trits, or NaN passes."""
    pack, trits = PACKERS[kind], random_trits(3, 2, 512)
    trits[0, 256:] = 0
    data = pack(trits)
    assert one_scale(kind, data, trits.shape) == 0.5
    blocks = np.frombuffer(data, np.uint8).reshape(4, -1).copy()
    for block, scale in ((1, 0.25), (2, np.nan), (3, np.inf), (3, 0.0)):
        spoilt = blocks.copy()
        spoilt[block, -2:] = np.array([scale], "<f2").view(np.uint8)
        assert one_scale(kind, spoilt.tobytes(), trits.shape) is None
    assert one_scale(kind, pack(np.zeros_like(trits)), trits.shape) == 0.0


def test_what_no_kernel_takes_has_no_packing():
    """Red when four rows to a byte are read as runs of columns."""
    assert packing_of(QuantType.I2_S, I2SLayout.C) is None
    assert packing_of(QuantType.IQ2_BN, I2SLayout.A) is None


@pytest.mark.parametrize("shape", [(3, 5), (1500, 2048), (0, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, jnp.bfloat16, np.float32])
def test_memory_is_handed_over_and_not_copied(shape, dtype):
    """Red when an allocation is not aligned: jax then copies it, and a model is twice in memory."""
    if 0 in shape:
        assert buffers.hand_over(buffers.empty(shape, np.dtype(dtype))).shape == shape
        return
    array = buffers.empty(shape, np.dtype(dtype))
    array[-1, -1] = 3
    where, given = array.ctypes.data, buffers.hand_over(array)
    del array
    assert given.unsafe_buffer_pointer() == where
    assert float(given[-1, -1]) == 3
    assert float(given.sum()) == 3


@pytest.mark.parametrize("file", ["packed", "model-i2_s.gguf", "model-tq1_0.gguf", "model-tq2_0.gguf"])
def test_a_loaded_model_is_the_memory_that_was_read_into(samples, monkeypatch, file):
    """Red when stacks or tables are copied on their way into the model."""
    handed = []
    original = buffers.hand_over
    monkeypatch.setattr(buffers, "hand_over", lambda array: handed.append(array.ctypes.data) or original(array))
    weights = engine.load(samples / "nano" / file).weights
    found = {weights.token_embd.unsafe_buffer_pointer()}
    found |= {matrix.codes.unsafe_buffer_pointer() for matrix in weights.layers.linears().values()}
    assert found == set(handed)
    assert weights.token_embd.dtype == (jnp.bfloat16 if file == "packed" else jnp.float16)


def test_a_table_of_16_bits_is_its_numbers(samples):
    """Red when an embedding is rounded on its way, or scored from other numbers than are looked up."""
    narrow = engine.load(samples / "nano" / "model-i2_s.gguf")
    table = jnp.asarray(np.asarray(narrow.weights.token_embd, np.float32))
    wide = engine.Model(
        narrow.config,
        type(narrow.weights)(table, narrow.weights.layers, narrow.weights.output_norm, narrow.weights.output),
        narrow.tokenizer,
    )
    tokens = list(range(50, 90))
    assert np.array_equal(narrow.logits(tokens), wide.logits(tokens))
    assert np.array_equal(narrow.prefill(tokens, 64)[0], wide.prefill(tokens, 64)[0])


@pytest.mark.parametrize("rows", [1, 2, 32])
@pytest.mark.parametrize("vocab", [300, TABLE_PIECE, TABLE_PIECE + 64, TABLE_PIECE + 70, 4 * TABLE_PIECE])
def test_a_head_in_pieces_is_the_whole_head(rows, vocab):
    """Red when a piece is written to another place, or its sums are ordered otherwise than the whole's."""
    random = np.random.default_rng(vocab)
    x = jnp.asarray(random.normal(size=(rows, 192)).astype(np.float32))
    table = jnp.asarray(random.normal(size=(vocab, 192)), jnp.bfloat16)
    padded = jnp.pad(table.astype(jnp.float32), ((0, -vocab % TABLE_STEP), (0, 0)))
    whole = jax.jit(lambda x, t: jnp.matmul(x, t.T, precision=jax.lax.Precision.HIGHEST))(x, padded)[:, :vocab]
    for twin in (table, table.astype(jnp.float32)):
        assert np.array_equal(np.asarray(jax.jit(table_product)(x, twin)), np.asarray(whole))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("rows", [1, 128])
def test_scoring_never_widens_the_whole_table(dtype, rows):
    """Red when XLA makes float32 of the table: 1.3 GB beside a 2B model of 1.2."""
    x, table = jax.ShapeDtypeStruct((rows, 2560), jnp.float32), jax.ShapeDtypeStruct((128256, 2560), dtype)
    ids = jax.ShapeDtypeStruct((rows,), jnp.int32)
    both = jax.jit(lambda x, ids, table: table_product(x + table[ids].astype(jnp.float32), table))
    assert both.lower(x, ids, table).compile().memory_analysis().temp_size_in_bytes < 32 << 20


def test_a_table_is_refused_where_it_is_not_finite(tmp_path, tokenizer_json):
    """Red when NaN in an embedding of 16 bits is loaded, or told of another row."""
    folder = tiny.write_packed(tiny.plain_model(seed=3), tmp_path / "m", tokenizer_json)
    tensors = load_file(folder / "model.safetensors")
    for dtype in (np.float16, np.float32):
        table = tensors["model.embed_tokens.weight"].astype(dtype)
        table[17, 5] = np.inf
        save_file({**tensors, "model.embed_tokens.weight": table}, folder / "model.safetensors")
        with pytest.raises(engine.FormatError, match=r"NaN or infinity, first at \[17, 5\]"):
            engine.load(folder)
