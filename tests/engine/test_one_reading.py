"""Loading, converting and comparing read one file as one model, or refuse it alike."""

import shutil

import jax  # noqa: F401  registers bfloat16 with numpy, which the sample is stored in
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bitnet_engine as engine
from bitnet_engine.errors import FormatError, StorageError, UnsupportedError
from bitnet_engine.formats import QuantType
from tests.engine import tiny
from tests.engine.test_conversion import exact

Q = "model.layers.0.self_attn.q_proj"
NORM = "model.layers.0.self_attn.attn_sub_norm.weight"


@pytest.fixture
def folder(tmp_path, tokenizer_json):
    """A tiny packed model that float16 and bfloat16 both hold."""
    return tiny.write_packed(exact(tiny.plain_model(seed=5)), tmp_path / "a", tokenizer_json)


def changed(folder, copy, tensors):
    """Write the folder's model again as `copy`, with some tensors replaced."""
    shutil.copytree(folder, copy)
    save_file({**load_file(folder / "model.safetensors"), **tensors}, copy / "model.safetensors")
    return copy


def test_a_scale_beside_floats_is_not_left_out(folder, tmp_path):
    """Red when load takes any `weight_scale` for a packed matrix's: transformers would multiply with it."""
    with engine.open_checkpoint(folder) as checkpoint:
        trits = checkpoint.read_ternary(f"{Q}.weight").values.astype(np.float32)
    copy = changed(folder, tmp_path / "b", {f"{Q}.weight": trits})
    with pytest.raises(UnsupportedError, match="weight_scale"):
        engine.load(copy)
    with pytest.raises(UnsupportedError, match="weight_scale"):
        engine.convert(copy, tmp_path / "c.gguf", QuantType.I2_S)


def test_one_weight_in_two_spellings_is_refused(folder, tmp_path):
    """Red when one of two tensors of one canonical name is dropped without a word."""
    gain = load_file(folder / "model.safetensors")[NORM]
    copy = changed(folder, tmp_path / "b", {NORM.replace("attn_sub_norm", "inner_attn_ln"): -gain})
    with pytest.raises(FormatError, match="two spellings"):
        engine.convert(copy, tmp_path / "c.gguf", QuantType.I2_S)
    with pytest.raises(FormatError, match="two spellings"):
        engine.diff(folder, copy)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors"])
def test_no_part_of_the_source_is_replaced(folder, name):
    """Red when --force may write the target over a file that the source is made of."""
    before = (folder / name).read_bytes()
    with pytest.raises(StorageError, match="source itself"):
        engine.convert(folder, folder / name, QuantType.I2_S, force=True)
    assert (folder / name).read_bytes() == before


def test_a_scale_of_zero_stays_one_scale(packed, tmp_path):
    """Red when blocks of scale 0 read as several scales: convert would write what load refuses."""
    scale = load_file(packed / "model.safetensors")[f"{Q}.weight_scale"]
    copy = changed(packed, tmp_path / "b", {f"{Q}.weight_scale": np.zeros_like(scale)})
    engine.convert(copy, tmp_path / "c.gguf", QuantType.TQ2_0)
    assert np.array_equal(engine.load(tmp_path / "c.gguf").logits([1, 2, 3]), engine.load(copy).logits([1, 2, 3]))


@pytest.mark.parametrize("scale", [2.0**-26, 1e5])
def test_a_scale_out_of_the_types_range_is_refused(packed, tmp_path, scale):
    """Red when --allow-lossy writes a scale as 0 or infinity, which is no rounding."""
    stored = load_file(packed / "model.safetensors")[f"{Q}.weight_scale"]
    copy = changed(packed, tmp_path / "b", {f"{Q}.weight_scale": np.full_like(stored, scale)})
    with pytest.raises(UnsupportedError, match="out of float16's range"):
        engine.convert(copy, tmp_path / "c.gguf", QuantType.TQ2_0, allow_lossy=True)


def test_a_shape_that_the_metadata_denies_is_refused(folder, tmp_path):
    """Red when convert carries a tensor that no graph of this config can use."""
    gain = load_file(folder / "model.safetensors")[NORM]
    copy = changed(folder, tmp_path / "b", {NORM: np.concatenate([gain, gain])})
    with pytest.raises(FormatError, match="the metadata makes it"):
        engine.convert(copy, tmp_path / "c.gguf", QuantType.I2_S)
