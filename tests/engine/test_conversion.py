"""Converting: between all storages and back to the same bytes; what would lose is refused, or measured."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bitnet_engine as engine
from bitnet_engine import conversion_gguf, conversion_source
from bitnet_engine.conversion import convert_steps
from bitnet_engine.formats import OutTensor
from bitnet_engine.formats.floats import encode, rounded
from bitnet_engine.formats.safetensors_writer import writing_safetensors
from bitnet_engine.formats.ternary import pack_i2_s
from tests.engine import shapes, tiny

QuantType = engine.QuantType
I2_S, TQ1_0, TQ2_0, HF_PACKED = QuantType.I2_S, QuantType.TQ1_0, QuantType.TQ2_0, QuantType.HF_PACKED


def exact(plain):
    """Round a tiny model's floats so that every storage holds them."""
    plain.dense = {name: rounded(values, QuantType.BF16) for name, values in plain.dense.items()}
    plain.dense = {name: np.where(np.abs(values) < 2**-10, 0, values) for name, values in plain.dense.items()}
    for name, (trits, scale) in plain.ternary.items():
        plain.ternary[name] = trits, float(rounded(np.array([scale], np.float32), QuantType.BF16)[0])
    return plain


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer_json):
    """A tiny packed model that float16 and bfloat16 both hold."""
    return tiny.write_packed(exact(tiny.plain_model(seed=5)), tmp_path_factory.mktemp("conv") / "a", tokenizer_json)


def test_a_round_trip_through_all_types_ends_in_the_same_bytes(packed, samples, tmp_path):
    """Red when any pair of reader and writer disagrees, or a number, key or token changes on the way."""
    previous, path = samples / "nano" / "master", tmp_path
    for kind in (HF_PACKED, I2_S, TQ1_0, TQ2_0, HF_PACKED, TQ1_0, HF_PACKED, I2_S):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}-{kind}"
        conversion = engine.convert(previous, path, kind)
        assert conversion.losses == ()
        assert engine.diff(packed, path).identical
        previous = path
    assert path.read_bytes() == (samples / "nano" / "model-i2_s.gguf").read_bytes()
    for made in (tmp_path / "0-HF_PACKED", tmp_path / "4-HF_PACKED", tmp_path / "6-HF_PACKED"):
        assert (made / "model.safetensors").read_bytes() == (packed / "model.safetensors").read_bytes()
    assert (tmp_path / "4-HF_PACKED" / "tokenizer.json").read_bytes() == (
        tmp_path / "6-HF_PACKED" / "tokenizer.json"
    ).read_bytes()


@pytest.mark.parametrize("kind", [I2_S, HF_PACKED])
def test_a_float_master_is_ternarised_by_absmean(tmp_path, tokenizer_json, kind):
    """Red when a master is written with the sign of its weights, or a scale that is not its mean magnitude."""
    plain = exact(tiny.plain_model(seed=6))
    random = np.random.default_rng(0)
    master = tiny.write_master(plain, tmp_path / "m", tokenizer_json)
    tensors = load_file(master / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = random.normal(0, 0.02, tensors[name].shape).astype(np.float32)
    save_file(tensors, master / "model.safetensors")
    engine.convert(master, tmp_path / "out", kind)
    mean = np.abs(tensors[name].astype(np.float64)).mean()
    expected = np.clip(np.round(tensors[name] / mean), -1, 1)
    stored = "blk.1.ffn_up.weight" if kind is I2_S else name
    with engine.open_checkpoint(tmp_path / "out") as checkpoint:
        trits = checkpoint.read_ternary(stored)
    assert np.array_equal(trits.values, expected)
    assert trits.uniform_scale() == pytest.approx(mean, rel=1e-6)


def test_transformers_own_layout_is_what_is_written(folder, tmp_path):
    """Red when the folder reads well here and nowhere else: names, packing and scale against numpy and safetensors."""
    engine.convert(folder, tmp_path / "m.gguf", I2_S)
    engine.convert(tmp_path / "m.gguf", tmp_path / "hf", HF_PACKED)
    plain = exact(tiny.plain_model(seed=5))
    from safetensors import safe_open

    with safe_open(tmp_path / "hf" / "model.safetensors", "np") as file:
        names = set(file.keys())
        assert len(names) == len(plain.dense) + 2 * len(plain.ternary)
        for name, (trits, _) in plain.ternary.items():
            assert np.array_equal(file.get_tensor(f"{shapes.hf_name(name)}.weight"), tiny.hf_pack(trits))
        assert file.metadata() == {"format": "pt"}
    config = json.loads((tmp_path / "hf" / "config.json").read_bytes())
    assert config["torch_dtype"] == "bfloat16"
    assert config["rms_norm_eps"] == 1e-5
    assert config["quantization_config"] == tiny.config_json(plain)["quantization_config"]


def test_divided_scales_become_multiplied_ones(folder, tmp_path, tokenizer_json):
    """Red when a folder whose scales divide is written with the same numbers to multiply (bug #3)."""
    plain = exact(tiny.plain_model(seed=5))
    for name, (trits, _) in plain.ternary.items():
        plain.ternary[name] = trits, 0.125
    divide = {"quantization_config": {"quant_method": "bitnet", "linear_class": "bitlinear"}}
    source = tiny.write_packed(plain, tmp_path / "d", tokenizer_json, **divide)
    engine.convert(source, tmp_path / "m", HF_PACKED)
    scales = [v for k, v in _bf16(tmp_path / "m" / "model.safetensors").items() if k.endswith("weight_scale")]
    assert len(scales) == len(plain.ternary)
    assert all(scale == 0.125 for scale in scales)


def _bf16(path):
    """Read the two-byte tensors of a SafeTensors file by hand."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if entry.get("dtype") == "BF16":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            found[name] = (np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
    return found


def test_a_model_that_bfloat16_would_round_is_written_in_float32(tmp_path, tokenizer_json):
    """Red when a folder quietly gets the type that real models have."""
    source = tiny.write_packed(tiny.plain_model(seed=7), tmp_path / "a", tokenizer_json)
    engine.convert(source, tmp_path / "b", HF_PACKED)
    assert json.loads((tmp_path / "b" / "config.json").read_bytes())["torch_dtype"] == "float32"
    assert engine.diff(source, tmp_path / "b").identical


def test_a_scale_that_float16_rounds_is_refused_and_then_measured(packed, tmp_path):
    """Red when a scale is rounded without a word, a refusal leaves a file, or a loss is not listed at its size."""
    source = tmp_path / "a"
    shutil.copytree(packed, source)
    name = "model.layers.0.self_attn.k_proj.weight_scale"
    with engine.open_checkpoint(source) as checkpoint:
        offset = checkpoint.info(name).offset
    # 129/128 · 2^-20, of which float16 holds only what is a multiple of 2^-24: 2^-20.
    data = bytearray((source / "model.safetensors").read_bytes())
    data[offset : offset + 2] = (0x3581).to_bytes(2, "little")
    (source / "model.safetensors").write_bytes(data)
    with pytest.raises(engine.UnsupportedError, match=r"k_proj\.weight' has the scale 9\.6.*float16 makes.*--allow"):
        engine.convert(source, tmp_path / "out.gguf", TQ2_0)
    assert os.listdir(tmp_path) == ["a"]
    (loss,) = engine.convert(source, tmp_path / "out.gguf", TQ2_0, allow_lossy=True).losses
    assert (loss.tensor, loss.max_abs) == ("blk.0.attn_k.weight", 2**-27)
    assert engine.convert(source, tmp_path / "exact.gguf", I2_S).losses == ()


def test_a_rounded_embedding_is_measured(tmp_path, tokenizer_json, monkeypatch):
    """Red when only the first piece of an embedding counts, or the loss is not the one a reader finds."""
    monkeypatch.setattr(conversion_source, "PIECE", 7 * tiny.SIZES.embed)
    source = tiny.write_packed(tiny.plain_model(seed=8), tmp_path / "a", tokenizer_json)
    (loss, *more) = engine.convert(source, tmp_path / "out.gguf", I2_S, allow_lossy=True).losses
    assert not more
    values = load_file(source / "model.safetensors")["model.embed_tokens.weight"]
    assert loss.max_abs == np.abs(values - values.astype(np.float16).astype(np.float32)).max()
    found = [tensor for tensor in engine.diff(source, tmp_path / "out.gguf").tensors if not tensor.equal]
    assert [(tensor.name, tensor.max_abs) for tensor in found] == [("token_embd.weight", loss.max_abs)]


@pytest.mark.parametrize("kind", [TQ1_0, TQ2_0])
def test_rows_that_no_block_fits_are_refused_by_rule_and_name(folder, tmp_path, kind):
    """Red when rows of 128 get a padded or a fallback type (bug #22)."""
    source = tmp_path / "a"
    shutil.copytree(folder, source)
    with pytest.raises(engine.UnsupportedError, match=r"q_proj\.weight' is \[128, 128\]; TQ._0 .* divisible by 256"):
        engine.convert(source, tmp_path / "out.gguf", kind)


def test_a_tensor_without_a_place_is_refused(folder, tmp_path):
    """Red when a bias or a per-linear norm is left out of the target without a word."""
    source = tmp_path / "a"
    shutil.copytree(folder, source)
    tensors = load_file(source / "model.safetensors")
    save_file({**tensors, "model.layers.0.mlp.up_proj.bias": np.ones(4, np.float32)}, source / "model.safetensors")
    with pytest.raises(engine.UnsupportedError, match=r"up_proj\.bias' has no place"):
        engine.convert(source, tmp_path / "out.gguf", I2_S)


def test_a_ternary_head_is_refused(packed, tmp_path):
    """Red when a converter's mistake (bug #7) is carried on as if it were the model."""
    plain = exact(tiny.plain_model(seed=9, tied=False))
    source = tiny.write_packed(plain, tmp_path / "a", packed / "tokenizer.json", tie_word_embeddings=False)
    tensors = load_file(source / "model.safetensors")
    trits = np.sign(tensors["lm_head.weight"]).astype(np.int8)
    tensors |= {"lm_head.weight": tiny.hf_pack(trits), "lm_head.weight_scale": np.ones(1, np.float32)}
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(engine.UnsupportedError, match=r"'lm_head\.weight' is HF_PACKED"):
        engine.convert(source, tmp_path / "out.gguf", I2_S)


def test_a_separate_head_is_carried_both_ways(tmp_path, tokenizer_json):
    """Red when an untied head is dropped, or its folder says that it is tied."""
    plain = exact(tiny.plain_model(seed=9, tied=False))
    source = tiny.write_packed(plain, tmp_path / "a", tokenizer_json)
    engine.convert(source, tmp_path / "m.gguf", I2_S)
    engine.convert(tmp_path / "m.gguf", tmp_path / "b", HF_PACKED)
    assert json.loads((tmp_path / "b" / "config.json").read_bytes())["tie_word_embeddings"] is False
    assert engine.diff(source, tmp_path / "b").identical


def test_the_chat_template_is_carried_and_not_run(folder, tmp_path):
    """Red when a template is lost on the way, or evaluated."""
    source = tmp_path / "a"
    shutil.copytree(folder, source)
    template = "{{ 1/0 }}{% for m in messages %}é{% endfor %}"
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    engine.convert(source, tmp_path / "m.gguf", I2_S)
    with engine.open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        assert checkpoint.metadata["tokenizer.chat_template"] == template
    engine.convert(tmp_path / "m.gguf", tmp_path / "b", HF_PACKED)
    assert json.loads((tmp_path / "b" / "tokenizer_config.json").read_bytes())["chat_template"] == template


def test_a_folder_that_is_there_is_not_replaced(folder, tmp_path):
    """Red when converting into a folder deletes what was in it."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    with pytest.raises(engine.StorageError, match="not an empty folder"):
        engine.convert(folder, tmp_path / "b", HF_PACKED)
    with pytest.raises(engine.StorageError, match="is a folder"):
        engine.convert(folder, tmp_path / "b", I2_S)
    assert (tmp_path / "b" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", [I2_S, HF_PACKED])
@pytest.mark.parametrize("steps", [1, 12, 40])
def test_a_conversion_left_early_leaves_nothing(folder, tmp_path, kind, steps):
    """Red when an interrupted conversion leaves a file that looks whole, or a temporary one."""
    running = convert_steps(folder, tmp_path / "out", kind)
    for _ in range(steps):
        next(running)
    running.close()
    assert os.listdir(tmp_path) == []


def test_a_writer_that_errs_is_caught_by_reading_back(folder, tmp_path, monkeypatch):
    """Red when nothing is read back: here one trit of each matrix is packed wrong."""

    def wrong(trits, scale):
        flipped = trits.copy()
        flipped[3, 5] = 0 if flipped[3, 5] else 1
        return pack_i2_s(flipped, scale)

    monkeypatch.setitem(conversion_gguf.PACKERS, I2_S, wrong)
    with pytest.raises(engine.BitnetError, match=r"'blk\.0\.attn_q\.weight' read back differs"):
        engine.convert(folder, tmp_path / "out.gguf", I2_S)
    assert os.listdir(tmp_path) == []


def test_progress_names_every_tensor_twice(folder, tmp_path):
    """Red when the progress of a long conversion stands still."""
    seen = []
    engine.convert(folder, tmp_path / "m.gguf", I2_S, progress=lambda *step: seen.append(step))
    count = len(seen) // 2
    assert [step[0] for step in seen] == ["write"] * count + ["verify"] * count
    assert [step[2] for step in seen] == [*range(1, count + 1)] * 2
    assert {step[3] for step in seen} == {count}


def test_bfloat16_rounds_half_to_even(tmp_path):
    """Red when the hand-made rounding differs from ml_dtypes', on random bits, infinity and NaN alike."""
    import ml_dtypes

    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32)
    bits[:4] = [0x3F808000, 0x3F818000, 0x7F800000, 0x7FC00001]
    values = bits.view(np.float32)
    with np.errstate(invalid="ignore"):
        expected = values.astype(ml_dtypes.bfloat16)
    number = ~np.isnan(values)
    ours = np.frombuffer(encode(values, QuantType.BF16), "<u2")
    assert np.array_equal(ours[number], expected.view(np.uint16)[number])
    assert np.isnan(rounded(values, QuantType.BF16)[~number]).all()


def test_safetensors_are_the_librarys_bytes(tmp_path):
    """Red when the order, the header or the padding differs from what the safetensors library writes."""
    random = np.random.default_rng(1)
    arrays = {
        "b": random.normal(size=(3, 5)).astype(np.float32),
        "a": random.integers(0, 255, (7,)).astype(np.uint8),
        "é": random.normal(size=2).astype(np.float16),
        "c": np.zeros((0, 4), np.float32),
    }
    save_file(arrays, tmp_path / "theirs", metadata={"format": "pt"})
    kinds = {"float32": QuantType.F32, "uint8": QuantType.U8, "float16": QuantType.F16}
    out = [OutTensor(n, kinds[v.dtype.name], v.shape, lambda v=v: v.tobytes()) for n, v in arrays.items()]
    assert len(list(writing_safetensors(tmp_path / "ours", out))) == 4
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_an_untied_model_without_a_head_is_not_converted_to_a_tied_one(tmp_path, packed):
    """Red when a missing head is filled in by the embedding without a word."""
    plain = exact(tiny.plain_model(seed=9))
    source = tiny.write_packed(plain, tmp_path / "a", packed / "tokenizer.json", tie_word_embeddings=False)
    with pytest.raises(engine.FormatError, match="does not tie the word embeddings"):
        engine.convert(source, tmp_path / "b.gguf", engine.QuantType.I2_S)
    assert not (tmp_path / "b.gguf").exists()


def test_a_matrix_of_zeros_survives(tmp_path, packed):
    """Red when blocks without a trit, whose scale ggml writes as 0, count as another matrix."""
    plain = exact(tiny.plain_model(seed=9))
    trits, scale = plain.ternary["blk.0.ffn_up"]
    plain.ternary["blk.0.ffn_up"] = np.zeros_like(trits), scale
    source = tiny.write_packed(plain, tmp_path / "a", packed / "tokenizer.json")
    engine.convert(source, tmp_path / "b.gguf", engine.QuantType.I2_S)
    assert engine.diff(source, tmp_path / "b.gguf").identical


def test_one_conversion_of_a_target_and_nothing_left_of_a_killed_one(tmp_path, packed):
    """Red when two conversions race for one name, a kill leaves gigabytes, or the sweep takes what is not its own."""
    for name in (".model.gguf.killed.part", ".model.gguf.x.killed.part", ".model.gguf.unproved"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes").write_text("keep")
    first = convert_steps(packed, tmp_path / "model.gguf", engine.QuantType.I2_S)
    next(first)
    with pytest.raises(engine.StorageError, match=r"model\.gguf: is being written by another process"):
        engine.convert(packed, tmp_path / "model.gguf", engine.QuantType.I2_S)
    engine.convert(packed, tmp_path / "model", engine.QuantType.HF_PACKED)  # a name that begins the other's
    list(first)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".model.gguf.unproved", ".model.gguf.x.killed.part", "model", "model.gguf"]
    assert engine.diff(packed, tmp_path / "model.gguf").identical


def test_a_file_that_is_there_is_replaced_with_force_only(folder, tmp_path):
    """Red when a typing slip in the target's name costs a model."""
    target = tmp_path / "m.gguf"
    target.write_bytes(b"old")
    with pytest.raises(
        engine.StorageError, match="is there already; name a new file, or replace this one with --force"
    ):
        engine.convert(folder, target, I2_S)
    assert target.read_bytes() == b"old"
    engine.convert(folder, target, I2_S, force=True)
    assert engine.inspect(target).architecture == "bitnet-b1.58"


@pytest.mark.parametrize("force", [False, True])
def test_a_link_is_never_replaced_or_written_through(folder, tmp_path, force):
    """Red when the blob of a download cache, which is named by its hash, gets other bytes through the link to it."""
    (tmp_path / "blob").write_bytes(b"old")
    for name, to in (("link.gguf", "blob"), ("dangling.gguf", "absent")):
        (tmp_path / name).symlink_to(tmp_path / to)
        with pytest.raises(engine.StorageError, match="is a symbolic link; links are not written through"):
            engine.convert(folder, tmp_path / name, I2_S, force=force)
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "blob").read_bytes() == b"old"
    assert not (tmp_path / "absent").exists()


def test_neither_the_source_nor_a_device_is_a_target(folder, tmp_path):
    """Red when --force replaces the only copy of a model by its conversion, or /dev/null by a file."""
    source = tmp_path / "m.gguf"
    engine.convert(folder, source, I2_S)
    data = source.read_bytes()
    os.mkfifo(tmp_path / "pipe.gguf")
    os.link(source, tmp_path / "same.gguf")
    for target, message in (
        ("m", "is the source itself"),
        ("same", "is the source itself"),
        ("pipe", "no regular file"),
    ):
        with pytest.raises(engine.StorageError, match=message):
            engine.convert(source, tmp_path / f"{target}.gguf", I2_S, force=True)
    assert source.read_bytes() == data


def test_a_file_that_appears_meanwhile_is_kept(folder, tmp_path):
    """Red when the target is looked at only before the minutes of work."""
    running = convert_steps(folder, tmp_path / "m.gguf", I2_S)
    next(running)
    (tmp_path / "m.gguf").write_bytes(b"another's")
    with pytest.raises(engine.StorageError, match="is there already"):
        for _ in running:
            pass
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]
    assert (tmp_path / "m.gguf").read_bytes() == b"another's"
