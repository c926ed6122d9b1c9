"""What a conversion can be written as: floats, scales that multiply or divide, shards, either byte order."""

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import jax
import numpy as np
import pytest
from gguf.scripts import gguf_convert_endian
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

import bitnet_engine as engine
from bitnet_engine.formats import OutTensor
from bitnet_engine.formats.floats import encode, rounded
from bitnet_engine.formats.gguf_writer import write_gguf
from bitnet_engine.formats.safetensors_writer import writing_safetensors, writing_shards
from tests.engine import families, families_gguf

QuantType = engine.QuantType
I2_S, TQ2_0, HF_PACKED = QuantType.I2_S, QuantType.TQ2_0, QuantType.HF_PACKED
F32, F16, BF16 = QuantType.F32, QuantType.F16, QuantType.BF16
TOKENIZER = Path(__file__).parents[2] / "samples" / "nano" / "packed" / "tokenizer.json"


def written(family, folder, **changes):
    return families.write_hf(families.make(family), folder, TOKENIZER, **changes)


def bf16_master(folder):
    """A folder of bfloat16 masters, as they are trained and published."""
    written("1bitllm", folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: rounded(values, BF16) for name, values in tensors.items()}
    out = [OutTensor(name, BF16, values.shape, lambda v=values: encode(v, BF16)) for name, values in kept.items()]
    assert len(list(writing_safetensors(folder / "model.safetensors", out))) == len(tensors)
    return folder


def leaves(path):
    return jax.tree.leaves(engine.load(path).weights)


def test_a_master_through_every_kind_of_target_is_one_model(tmp_path):
    """Red when floats, packing, blocks, byte order or shards change a trit, a scale or a logit on the way."""
    first = path = bf16_master(tmp_path / "master")
    steps: tuple[tuple[QuantType, str, dict[str, Any]], ...] = (
        (BF16, "a.gguf", {}),
        (BF16, "b", {"max_shard_size": 400_000}),
        (HF_PACKED, "c", {}),
        (I2_S, "d.gguf", {}),
        (TQ2_0, "e.gguf", {"byte_order": "big"}),
        (BF16, "f.gguf", {"byte_order": "big"}),
        (HF_PACKED, "g", {"max_shard_size": 200_000}),
    )
    for kind, name, how in steps:
        previous, path = path, tmp_path / name
        assert engine.convert(previous, path, kind, **how).losses == ()
        assert engine.diff(previous, path).identical, name
    assert len(list((tmp_path / "b").glob("model-0*.safetensors"))) > 1
    before, after = engine.load(first), engine.load(path)
    assert after.config == before.config
    pairs = zip(jax.tree.leaves(before.weights), jax.tree.leaves(after.weights), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert np.array_equal(before.logits([1, 5, 2]), after.logits([1, 5, 2]))


def test_a_master_stays_one_in_a_folder_of_floats(tmp_path):
    """Red when transformers would take what is written for packed, or for a model without int8 activations."""
    source = written("1bitllm", tmp_path / "a")
    engine.convert(source, tmp_path / "m.gguf", F32)
    engine.convert(tmp_path / "m.gguf", tmp_path / "b", F32)
    config = json.loads((tmp_path / "b" / "config.json").read_bytes())
    online = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
    assert config["quantization_config"] == online
    assert (config["torch_dtype"], config["architectures"]) == ("float32", ["BitNetForCausalLM"])
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "b" / "model.safetensors")
    name = "model.layers.1.self_attn.q_proj.weight"
    assert np.array_equal(after[name], before[name])
    assert all(np.array_equal(a, b) for a, b in zip(leaves(source), leaves(tmp_path / "b"), strict=True))


def test_a_dense_model_becomes_a_plain_folder(tmp_path):
    """Red when rows of q and k stay in llama.cpp's order, or a dense model is said to be quantised."""
    source = written("dense", tmp_path / "a")
    engine.convert(source, tmp_path / "m.gguf", F16)
    engine.convert(tmp_path / "m.gguf", tmp_path / "b", F16)
    config = json.loads((tmp_path / "b" / "config.json").read_bytes())
    assert "quantization_config" not in config
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "b" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(np.array_equal(values, after[name]) for name, values in before.items())
    stored = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    rows = families_gguf.llama_order(before["model.layers.0.self_attn.q_proj.weight"], families.SIZES.heads)
    assert np.array_equal(stored["blk.0.attn_q.weight"], rows)


def test_floats_of_a_ternary_llama_say_that_its_activations_are_int8(tmp_path):
    """Red when a GGUF of floats is run as a dense model, or trits times scale are not what numpy multiplies."""
    made = families.make("llama")
    source = families.write_hf(made, tmp_path / "a", TOKENIZER)
    engine.convert(source, tmp_path / "m.gguf", BF16, allow_lossy=True)
    assert engine.load(tmp_path / "m.gguf").numerics == "exact-int8"
    with engine.open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        trits, scale = made.plain.ternary["blk.1.ffn_up"]
        assert checkpoint.info("blk.1.ffn_up.weight").type is BF16
        assert np.array_equal(checkpoint.read_dense("blk.1.ffn_up.weight"), trits * np.float32(scale))


def test_trits_are_not_written_as_a_master(tmp_path):
    """Red when transformers would ternarise trits a second time, to a smaller scale (bug #2)."""
    source = written("bitnet", tmp_path / "a")
    with pytest.raises(engine.UnsupportedError, match=r"_proj\.weight' is trits already.*HF_PACKED holds it"):
        engine.convert(source, tmp_path / "b", F32)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(("stored", "kind"), [(BF16, F32), (F32, BF16)])
def test_a_master_in_another_type_is_another_model(tmp_path, stored, kind):
    """Red when floats are equal and the scales that absmean makes of them, rounded as their type, are not."""
    source = bf16_master(tmp_path / "a") if stored is BF16 else written("1bitllm", tmp_path / "a")
    with pytest.raises(engine.UnsupportedError, match=f"is a master in {stored}; as {kind} it would be ternarised"):
        engine.convert(source, tmp_path / "b.gguf", kind, allow_lossy=True)


def test_a_dense_matrix_that_is_rounded_is_refused_and_then_measured(tmp_path):
    """Red when a dense matrix is rounded without a word, or its loss is not the one that is read back."""
    made = families.make("qwen3")
    made.plain.floats["blk.1.ffn_up"] += np.float32(2**-20)
    source = families.write_hf(made, tmp_path / "a", TOKENIZER)
    with pytest.raises(engine.UnsupportedError, match=r"up_proj\.weight' is not exact in float16.*--allow-lossy"):
        engine.convert(source, tmp_path / "b.gguf", F16)
    (loss,) = engine.convert(source, tmp_path / "b.gguf", F16, allow_lossy=True).losses
    values = made.plain.floats["blk.1.ffn_up"]
    assert loss.max_abs == np.abs(values.astype(np.float16).astype(np.float32) - values).max()


@pytest.mark.parametrize(("meaning", "linear_class"), [("multiply", "autobitlinear"), ("divide", "bitlinear")])
def test_a_packed_scale_does_what_was_asked(tmp_path, meaning, linear_class):
    """Red when a folder says that its scales divide and holds those that multiply (bug #3)."""
    made = families.make("llama")
    engine.convert(families.write_hf(made, tmp_path / "a", TOKENIZER), tmp_path / "b", HF_PACKED, scale=meaning)
    config = json.loads((tmp_path / "b" / "config.json").read_bytes())
    assert config["quantization_config"]["linear_class"] == linear_class
    scale = made.plain.ternary["blk.0.ffn_up"][1]
    with engine.open_checkpoint(tmp_path / "b") as checkpoint:
        stored = checkpoint.read_dense("model.layers.0.mlp.up_proj.weight_scale")
    assert stored == (scale if meaning == "multiply" else 1 / scale)


def test_a_scale_without_an_exact_inverse_does_not_divide(tmp_path):
    """Red when --scale divide moves a scale by one ulp."""
    made = families.make("llama")
    candidates = np.arange(1, 2, 2**-10, dtype=np.float32)
    scale = float(candidates[1 / (1 / candidates) != candidates][0])
    for name, (trits, _) in made.plain.ternary.items():
        made.plain.ternary[name] = trits, scale
    path = families_gguf.write_gguf(made, tmp_path / "m.gguf", "llama", "TQ2_0", TOKENIZER)
    with pytest.raises(engine.UnsupportedError, match=r"no float divides to just that.*--scale multiply"):
        engine.convert(path, tmp_path / "b", HF_PACKED, scale="divide")


@pytest.mark.parametrize(
    ("name", "kind", "how", "message"),
    [
        ("b", HF_PACKED, {"byte_order": "big"}, "a folder has no byte order"),
        ("b", F32, {"scale": "divide"}, "--scale is of HF_PACKED"),
        ("b.gguf", F32, {"max_shard_size": 9}, "a GGUF is written as one file"),
        ("b", HF_PACKED, {"max_shard_size": 0}, "1 or more is allowed"),
    ],
)
def test_a_choice_that_a_target_does_not_have_is_refused(tmp_path, name, kind, how, message):
    """Red when an option is taken and then ignored."""
    with pytest.raises(engine.SettingError, match=message):
        engine.convert(tmp_path / "a", tmp_path / name, kind, **how)


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12), most=st.integers(1, 60))
def test_shards_hold_all_in_order_and_no_more_than_they_may(tmp_path_factory, sizes, most):
    """Red when a tensor is lost or twice, a shard is too large or could have held the next, or the index lies."""
    folder = tmp_path_factory.mktemp("shards")
    tensors = [OutTensor(f"t{n:02}", QuantType.U8, (size,), lambda s=size: bytes(s)) for n, size in enumerate(sizes)]
    assert sorted(tensor.name for tensor in writing_shards(folder, tensors, most)) == [t.name for t in tensors]
    files = sorted(folder.glob("*.safetensors"))
    held = [sorted(load_file(file).items()) for file in files]
    assert [name for shard in held for name, _ in shard] == [tensor.name for tensor in tensors]
    filled = [sum(len(values) for _, values in shard) for shard in held]
    for shard, size, after in zip(held, filled, [*held[1:], None], strict=True):
        assert size <= most or len(shard) == 1 or size == max(len(values) for _, values in shard)
        assert after is None or size + len(after[0][1]) > most
    if len(files) == 1:
        assert [file.name for file in folder.iterdir()] == ["model.safetensors"]
        return
    index = json.loads((folder / "model.safetensors.index.json").read_bytes())
    assert index["metadata"]["total_size"] == sum(sizes)
    assert index["weight_map"] == {n: f.name for f, shard in zip(files, held, strict=True) for n, _ in shard}
    assert files[-1].name == f"model-{len(files):05}-of-{len(files):05}.safetensors"


def test_a_big_endian_file_is_the_one_gguf_py_makes(tmp_path, monkeypatch):
    """Red when a number of the header, of a table or of a float tensor is left in the other order."""
    source = written("dense", tmp_path / "a")
    engine.convert(source, tmp_path / "little.gguf", F16)
    engine.convert(source, tmp_path / "big.gguf", F16, byte_order="big")
    monkeypatch.setattr("builtins.input", lambda _: "YES")
    reader = gguf.GGUFReader(tmp_path / "little.gguf", "r+")
    gguf_convert_endian.convert_byteorder(reader, argparse.Namespace(order="big", dry_run=False))
    reader.data.flush()
    assert (tmp_path / "big.gguf").read_bytes() == (tmp_path / "little.gguf").read_bytes()


@pytest.mark.parametrize("size", [1, 7, 66, 10_000])
def test_blocks_are_turned_wherever_their_pieces_end(tmp_path, size):
    """Red when a block that lies across two pieces keeps its scale in the other order."""
    data = np.random.default_rng(0).integers(0, 256, 4 * 66, np.uint8).tobytes()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    tensor = OutTensor("blk.0.ffn_up.weight", TQ2_0, (2, 512), lambda: iter(pieces))
    write_gguf(tmp_path / "m.gguf", {"general.architecture": "x"}, [tensor], "big")
    expected = np.frombuffer(data, np.uint8).reshape(-1, 66).copy()
    expected[:, 64:] = expected[:, :63:-1]
    with engine.open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        assert checkpoint.read_bytes(tensor.name) == expected.tobytes()
        assert b"".join(checkpoint.pieces(tensor.name)) == data


def test_a_type_whose_byte_order_is_not_settled_is_not_turned(tmp_path):
    """Red when an embedding in Q5_0 is written to a big-endian file as if its blocks were bytes."""
    tensor = OutTensor("token_embd.weight", QuantType.Q5_0, (1, 32), lambda: bytes(22))
    with pytest.raises(ValueError, match=r"'token_embd\.weight': the big-endian byte order of Q5_0 is not settled"):
        write_gguf(tmp_path / "m.gguf", {}, [tensor], "big")
    assert not (tmp_path / "m.gguf").exists()
