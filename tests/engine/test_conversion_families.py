"""Converting each graph family: there and back to the same trits, scales and settings; refused by name where not."""

import json
import tempfile
from pathlib import Path

import gguf
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import bitnet_engine as engine
from tests.engine import families, families_gguf
from tests.engine.tiny import hf_pack

I2_S, TQ1_0, TQ2_0 = engine.QuantType.I2_S, engine.QuantType.TQ1_0, engine.QuantType.TQ2_0
HF_PACKED, F16, F32 = engine.QuantType.HF_PACKED, engine.QuantType.F16, engine.QuantType.F32
TOKENIZER = Path(__file__).parents[2] / "samples" / "nano" / "packed" / "tokenizer.json"
# Scales of masters are means, which float16 cannot hold.
ROUTES = {
    "bitnet": (I2_S, TQ1_0, TQ2_0, HF_PACKED, F32, F16),
    "1bitllm": (I2_S, HF_PACKED),
    "llama": (I2_S, TQ1_0, TQ2_0, HF_PACKED, F32, F16),
    "llama3": (I2_S, TQ1_0, TQ2_0, HF_PACKED, F32),
    "trilm": (TQ1_0, TQ2_0, F32),
    "dense": (F32, F16),
    "qwen3": (F16, F32),
    "normed": (HF_PACKED,),
    "embedding": (I2_S, HF_PACKED),
}


def written(family, folder, seed=1, **changes):
    made = families.make(family, seed)
    if family == "trilm":  # half a row of 256 is no block of TQ1_0
        for layer in range(families.SIZES.layers):
            name = f"blk.{layer}.attn_output"
            made.plain.floats[name] = np.sign(made.plain.floats[name]) / 32
    return families.write_hf(made, folder, TOKENIZER, **changes)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_way_through_the_storages_ends_in_the_same_model(data):
    """Red when a family's rows, norms, scales, rotary factors or settings change on any way from storage to storage."""
    family = data.draw(st.sampled_from(sorted(ROUTES)))
    route = data.draw(st.lists(st.sampled_from(ROUTES[family]), min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as place:
        first = path = written(family, Path(place) / "0", data.draw(st.integers(0, 99)))
        for index, kind in enumerate(route, 1):
            previous, path = path, Path(place) / (str(index) if kind is HF_PACKED else f"{index}.gguf")
            order = None if kind is HF_PACKED else data.draw(st.sampled_from(["little", "big"]))
            assert engine.convert(previous, path, kind, byte_order=order).losses == ()
        compared = engine.diff(first, path)
        assert compared.identical, compared.to_json()


@pytest.mark.parametrize("family", sorted(ROUTES))
def test_what_is_loaded_after_converting_is_the_source_bit_for_bit(family, tmp_path):
    """Red when a conversion keeps all tensors, and a reader makes another model of them."""
    kind = ROUTES[family][0]
    source, target = written(family, tmp_path / "a"), tmp_path / ("b" if kind is HF_PACKED else "b.gguf")
    engine.convert(source, target, kind)
    before, after = engine.load(source), engine.load(target)
    assert after.config == before.config
    assert after.numerics == before.numerics
    pairs = zip(jax.tree.leaves(before.weights), jax.tree.leaves(after.weights), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("family", "arch"), [("llama", "llama"), ("bitnet", "bitnet-b1.58")])
def test_a_written_gguf_holds_the_bytes_of_the_gguf_package(family, arch, tmp_path):
    """Red when rows of q and k are permuted twice, not at all or the wrong way, and our reader undoes it."""
    engine.convert(written(family, tmp_path / "a"), tmp_path / "ours.gguf", TQ2_0)
    theirs = families_gguf.write_gguf(families.make(family), tmp_path / "theirs.gguf", arch, "TQ2_0", TOKENIZER)
    expected = {tensor.name: tensor for tensor in gguf.GGUFReader(theirs).tensors}
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "ours.gguf").tensors}
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        if tensor.tensor_type == gguf.GGMLQuantizationType.TQ2_0:
            assert np.array_equal(tensor.data, expected[name].data), name
    settings_of = {field.name: field.contents() for field in gguf.GGUFReader(tmp_path / "ours.gguf").fields.values()}
    assert settings_of["general.architecture"] == arch


def test_a_written_folder_is_what_ternary_llamas_are_published_as(tmp_path):
    """Red when a folder from GGUF keeps llama.cpp's rows, or its scales multiply where BitLinear divides."""
    made = families.make("llama3")
    factors = np.array(engine.load(written("llama3", tmp_path / "a")).config.rope_factors, np.float32)
    path = families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", TOKENIZER, rope_freqs=factors)
    engine.convert(path, tmp_path / "b", HF_PACKED)
    tensors, config = raw_tensors(tmp_path / "b"), json.loads((tmp_path / "b" / "config.json").read_text())
    for name, (trits, scale) in made.plain.ternary.items():
        weight = f"{families.hf_name('llama3', name)}.weight"
        assert np.array_equal(tensors[weight], hf_pack(trits))
        assert tensors[f"{weight}_scale"] == 1 / scale
    expected = families.config_json(made)
    same = (
        "architectures",
        "model_type",
        "rope_scaling",
        "rope_theta",
        "hidden_act",
        "tie_word_embeddings",
        "head_dim",
    )
    assert {key: config[key] for key in same} == {key: expected[key] for key in same}
    assert config["quantization_config"]["linear_class"] == "bitlinear"


def raw_tensors(folder):
    """The folder's tensors, bfloat16 as float32, without the engine."""
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            kinds = {"BF16": "<u2", "U8": "u1", "F32": "<f4", "F16": "<f2"}
            values = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
            found[name] = (values.astype(np.uint32) << 16).view(np.float32) if entry["dtype"] == "BF16" else values
    return found


def test_a_scale_whose_inverse_rounds_is_written_to_multiply(tmp_path):
    """Red when 1 / (1 / s) is taken for s: a folder then has another scale than its GGUF, by one ulp."""
    made = families.make("llama")
    candidates = np.arange(1, 2, 2**-10, dtype=np.float32)
    scale = float(candidates[1 / (1 / candidates) != candidates][0])
    for name, (trits, _) in made.plain.ternary.items():
        made.plain.ternary[name] = trits, scale
    path = families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", TOKENIZER)
    engine.convert(path, tmp_path / "b", HF_PACKED)
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert config["quantization_config"]["linear_class"] == "autobitlinear"
    assert engine.load(tmp_path / "b").weights.layers.attn_q.scale.tolist() == [scale] * families.SIZES.layers


def test_norms_of_matrices_are_written_in_transformers_words(tmp_path):
    """Red when transformers cannot open what was written: its class, its prefix, and use_rms_norm."""
    source = written("embedding", tmp_path / "a")
    engine.convert(source, tmp_path / "m.gguf", I2_S)
    for name, origin in (("b", source), ("c", tmp_path / "m.gguf")):
        engine.convert(origin, tmp_path / name, HF_PACKED)
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["architectures"] == ["Qwen3ForCausalLM"]
        assert config["quantization_config"]["use_rms_norm"] is True
        assert config["quantization_config"]["rms_norm_eps"] == 1e-5
        tensors = load_file(tmp_path / name / "model.safetensors")
        assert "model.layers.1.mlp.down_proj.rms_norm.weight" in tensors


def test_one_scale_without_int8_activations_stays_so(tmp_path):
    """Red when TriLM's smaller models, with one scale a matrix, come out as models with int8 activations."""
    made = families.make("trilm")
    for name, values in made.plain.floats.items():
        made.plain.floats[name] = np.sign(values) / 32
    source = families.write_hf(made, tmp_path / "a", TOKENIZER)
    engine.convert(source, tmp_path / "m.gguf", TQ1_0)
    engine.convert(tmp_path / "m.gguf", tmp_path / "n.gguf", I2_S)
    assert engine.diff(source, tmp_path / "n.gguf").identical
    assert engine.load(tmp_path / "n.gguf").numerics == "float"
    with pytest.raises(engine.UnsupportedError, match="trained without int8 activations"):
        engine.convert(tmp_path / "n.gguf", tmp_path / "b", HF_PACKED)


def test_factors_of_matrices_become_part_of_their_scales(tmp_path):
    """Red when a matrix is written without the `.scale` that its GGUF keeps apart."""
    made = families.make("bitnet")
    factors = {name: np.array([0.5], np.float32) for name in made.plain.ternary}
    source = tmp_path / "m.gguf"
    families_gguf.write_gguf(made, source, "bitnet-b1.58", "TQ2_0", TOKENIZER, factors=factors)
    engine.convert(source, tmp_path / "n.gguf", I2_S)
    with engine.open_checkpoint(tmp_path / "n.gguf") as checkpoint:
        assert "blk.0.attn_q.scale" not in checkpoint.tensors
        found = checkpoint.read_ternary("blk.0.attn_q.weight").uniform_scale()
    assert found == made.plain.ternary["blk.0.attn_q"][1] / 2


@pytest.mark.parametrize("factor", [-0.5, 0.0])
def test_a_sign_that_floats_cannot_carry_is_refused(tmp_path, factor):
    """Red when the error speaks of a file that is gone, or when turned trits are written as they are."""
    made = families.make("bitnet")
    factors = {name: np.array([factor], np.float32) for name in made.plain.ternary}
    source, target = tmp_path / "m.gguf", tmp_path / "n.gguf"
    families_gguf.write_gguf(made, source, "bitnet-b1.58", "TQ2_0", TOKENIZER, factors=factors)
    with pytest.raises(engine.UnsupportedError, match=r"m\.gguf: tensor 'blk\.0\.attn_q\.weight' has the scale -?0"):
        engine.convert(source, target, F32)
    assert sorted(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(("off", "message"), [(0.0, None), (2.0**-40, "F64 with numbers that float32 would round")])
def test_doubles_are_carried_or_refused(tmp_path, off, message):
    """Red when float64 is rounded to float32 and the result is called lossless."""
    source = written("dense", tmp_path / "a")
    file = source / "model.safetensors"
    wide = {name: values.astype(np.float64) for name, values in load_file(file).items()}
    wide["model.norm.weight"][0] += off
    save_file(wide, file)
    if message is None:
        assert engine.convert(source, tmp_path / "n.gguf", F32).losses == ()
    else:
        with pytest.raises(engine.UnsupportedError, match=message):
            engine.convert(source, tmp_path / "n.gguf", F32, allow_lossy=True)


@pytest.mark.parametrize(
    ("family", "changes", "kind", "message"),
    [
        ("dense", {}, TQ2_0, "floats that are not trits times a few scales"),
        ("qwen3", {}, TQ2_0, "floats that are not trits times a few scales"),
        ("dense", {}, HF_PACKED, "trained without int8 activations"),
        ("trilm", {}, I2_S, r"q_proj\.weight' has several scales; I2_S holds one a matrix"),
        ("normed", {}, I2_S, "norms before its matrices with an epsilon of 0.001; GGUF has those of qwen3"),
        (
            "bitnet",
            {"rope_scaling": {"rope_type": "llama3", **families.LLAMA3}},
            I2_S,
            "it has rope_scaling; GGUF has its factors in llama",
        ),
    ],
)
def test_what_a_type_cannot_hold_is_refused_by_name(tmp_path, family, changes, kind, message):
    """Red when a part of a model that the target has no word for is dropped or rounded, or a file is left behind."""
    source = written(family, tmp_path / "a", **changes)
    with pytest.raises(engine.UnsupportedError, match=message):
        engine.convert(source, tmp_path / "out", kind)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_scales_that_meet_inside_a_block_are_refused(tmp_path):
    """Red when the block across two shards gets the scale of one (docs/formats.md §1.7)."""
    source = families.write_hf(families.make("trilm"), tmp_path / "a", TOKENIZER)
    with pytest.raises(engine.UnsupportedError, match=r"o_proj\.weight' has a scale for each 128 of a row"):
        engine.convert(source, tmp_path / "out.gguf", TQ2_0)


def test_several_scales_that_float16_rounds_are_refused_and_then_measured(tmp_path):
    """Red when a shard's scale is rounded without a word, or its loss is not the one that is read back."""
    made = families.make("trilm")
    for name, values in made.plain.floats.items():
        made.plain.floats[name] = np.sign(values) / 32
    shards = np.where(np.arange(512) < 256, 0.0101, 0.02).astype(np.float32)
    made.plain.floats["blk.1.ffn_down"] = np.sign(made.plain.floats["blk.1.ffn_down"]) * shards
    folder = families.write_hf(made, tmp_path / "a", TOKENIZER)
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    families.save_file(tensors | {name: made.plain.floats["blk.1.ffn_down"]}, folder / "model.safetensors")
    with pytest.raises(engine.UnsupportedError, match=r"down_proj\.weight' has the scale 0\.0.*--allow-lossy"):
        engine.convert(folder, tmp_path / "out.gguf", TQ2_0)
    (loss,) = engine.convert(folder, tmp_path / "out.gguf", TQ2_0, allow_lossy=True).losses
    assert loss.max_abs == pytest.approx(float(np.abs(shards - shards.astype(np.float16)).max()), rel=1e-6)


def test_unpublished_rotary_factors_are_not_guessed(tmp_path):
    """Red when a folder is written with a rope_scaling that gives other angles than the GGUF's tensor."""
    made = families.make("llama3")
    factors = np.linspace(1, 8, 32).astype(np.float32)
    path = families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", TOKENIZER, rope_freqs=factors)
    with pytest.raises(engine.UnsupportedError, match="not those that a published rope_scaling gives"):
        engine.convert(path, tmp_path / "b", HF_PACKED)
