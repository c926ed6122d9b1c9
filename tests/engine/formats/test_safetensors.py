"""SafeTensors files and HF folders: shards, packed trits, and what config.json says of their scales."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Limits, QuantType, open_checkpoint
from bitnet_engine.formats.safetensors import DTYPES
from bitnet_engine.formats.ternary import pack_hf
from tests.badfiles.builders import config, entry, safetensors_file, small_safetensors

TRITS = np.random.default_rng(0).integers(-1, 2, (8, 6), np.int8)
NAME = "model.layers.0.self_attn.q_proj.weight"


def packed_folder(folder: Path, scale: float = 0.5, settings: dict | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    packed = np.frombuffer(pack_hf(TRITS), np.uint8).reshape(2, 6)
    tensors = {
        NAME: packed,
        f"{NAME}_scale": np.array([scale], np.float32),
        "model.norm.weight": np.ones(6, "f2"),
    }
    save_file(tensors, folder / "model.safetensors")
    if settings is not None:
        (folder / "config.json").write_text(json.dumps(settings))
    return folder


def sharded_folder(folder: Path, count: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    names = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    for i, name in enumerate(names):
        save_file({f"w{i}": np.full(4, i, np.float32)}, folder / name)
    weight_map = {f"w{i}": name for i, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(config()))
    return folder


def test_reads_what_safetensors_wrote(tmp_path: Path):
    """A dtype, shape or place read differently from the format's own library."""
    rng = np.random.default_rng(0)
    arrays = {dtype: (rng.normal(size=(3, 5)) * 9).astype(dtype) for dtype in ("f8", "f4", "f2")}
    arrays |= {dtype: rng.integers(0, 100, (2, 3, 4)).astype(dtype) for dtype in ("u1", "i1", "i2", "i4", "i8", "?")}
    save_file(arrays, tmp_path / "x.safetensors")
    with open_checkpoint(tmp_path / "x.safetensors") as checkpoint:
        assert set(checkpoint.tensors) == set(arrays)
        for name, array in arrays.items():
            info = checkpoint.tensors[name]
            assert (info.shape, info.nbytes) == (array.shape, array.nbytes)
            assert DTYPES[info.type.value][1] == array.itemsize
            assert checkpoint.read_bytes(name) == array.tobytes()
        for name in ("f8", "f4", "f2"):
            assert np.array_equal(checkpoint.read_dense(name), arrays[name].astype(np.float32))


def test_bfloat16_is_exact(tmp_path: Path):
    """A bfloat16 read through float16, which has another range."""
    bits = np.array([0x3F80, 0xC2F7, 0x0001, 0x7F7F, 0x8000], "<u2")
    path = tmp_path / "b.safetensors"
    path.write_bytes(safetensors_file({"w": entry("BF16", [5], 0, 10)}, bits.tobytes()))
    with open_checkpoint(path) as checkpoint:
        values = checkpoint.read_dense("w")
    assert values.view(np.uint32).tolist() == [int(bit) << 16 for bit in bits]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (config("autobitlinear", quantization_mode="offline"), 3.0),
        (config("bitlinear"), float(np.float32(1) / np.float32(3))),
        (config(None), float(np.float32(1) / np.float32(3))),
    ],
)
def test_the_scale_multiplies_or_divides(tmp_path: Path, settings: dict, expected: float):
    """The bug of microsoft/BitNet PR 616: weights wrong by the square of the scale, and text still fluent."""
    with open_checkpoint(packed_folder(tmp_path, 3.0, settings)) as checkpoint:
        trits = checkpoint.read_ternary(NAME)
        assert checkpoint.tensors[NAME].shape == (8, 6)
        assert checkpoint.tensors[NAME].type is QuantType.HF_PACKED
        assert np.array_equal(trits.values, TRITS)
        assert trits.uniform_scale() == expected
        assert np.array_equal(checkpoint.read_dense(NAME), TRITS * np.float32(expected))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "put the model's config.json beside it"),
        ({"architectures": ["LlamaForCausalLM"]}, "put the model's config.json beside it"),
        (config("superlinear"), "linear_class 'superlinear'"),
        ({"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                  "quantization_mode": "online"}}, "quantization_mode 'online'"),
    ],
)  # fmt: skip
def test_an_unsaid_meaning_is_not_guessed(tmp_path: Path, settings: dict | None, message: str):
    """A default where the config is absent or contradicts the tensors."""
    with open_checkpoint(packed_folder(tmp_path, 3.0, settings)) as checkpoint:
        with pytest.raises(FormatError, match=message):
            checkpoint.read_ternary(NAME)
        assert checkpoint.read_dense("model.norm.weight").tolist() == [1] * 6
        assert [finding.code for finding in checkpoint.findings] == (["no-config"] if settings is None else [])


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_scales_that_are_not_finite(tmp_path: Path, scale: float):
    """A model that computes NaN, found out only in its logits."""
    with (
        open_checkpoint(packed_folder(tmp_path, scale, config())) as checkpoint,
        pytest.raises(FormatError, match=rf"tensor '{NAME}' has 1 scales that are not finite"),
    ):
        checkpoint.read_ternary(NAME)


def test_a_scale_of_zero_cannot_divide(tmp_path: Path):
    """An infinity out of a division that numpy only warns of."""
    with (
        open_checkpoint(packed_folder(tmp_path, 0.0, config("bitlinear"))) as checkpoint,
        pytest.raises(FormatError, match="not finite"),
    ):
        checkpoint.read_ternary(NAME)


def test_packed_weights_without_a_scale(tmp_path: Path):
    """The bytes of packed trits run as weights from 0 to 170 (transformers PR 43721)."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_file({"a.weight": entry("U8", [1, 4], 0, 4)}, bytes(4)))
    with open_checkpoint(path) as checkpoint:
        assert [finding.code for finding in checkpoint.findings] == ["scale-missing", "no-config"]
        with pytest.raises(FormatError, match=r"'a.weight' is packed \(U8\) and 'a.weight_scale' is missing"):
            checkpoint.read_ternary("a.weight")
        with pytest.raises(UnsupportedError, match=r"'a.weight' is U8, which is not decoded here"):
            checkpoint.read_dense("a.weight")


def test_code_3_is_located(tmp_path: Path):
    """A corrupt byte run as the weight +2, or reported without saying where."""
    folder = packed_folder(tmp_path, 1.0, config())
    data = bytearray((folder / "model.safetensors").read_bytes())
    with open_checkpoint(folder) as checkpoint:
        at = checkpoint.tensors[NAME].offset
    data[at + 7] |= 0b110000
    (folder / "model.safetensors").write_bytes(data)
    with (
        open_checkpoint(folder) as checkpoint,
        pytest.raises(FormatError, match=r"holds code 3, .* 1 times, first at row 5, column 1"),
    ):
        checkpoint.read_ternary(NAME)


def test_shards_are_one_model(tmp_path: Path):
    """A tensor read from the wrong shard, or at another shard's offset."""
    with open_checkpoint(sharded_folder(tmp_path)) as checkpoint:
        assert [checkpoint.read_dense(f"w{i}").tolist() for i in range(3)] == [[i] * 4 for i in range(3)]
        assert len(checkpoint.files) == 3
        assert checkpoint.size == sum(file.stat().st_size for file in checkpoint.files)


def test_shards_may_be_links(tmp_path: Path):
    """The cache of huggingface_hub refused, whose files are links to blobs elsewhere."""
    folder = sharded_folder(tmp_path / "model")
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for file in folder.glob("*.safetensors"):
        file.rename(blobs / file.name[:11])
        file.symlink_to(Path("..") / "blobs" / file.name[:11])
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.read_dense("w1").tolist() == [1] * 4


def test_a_lone_file_reads_the_config_beside_it(tmp_path: Path):
    """A different answer, or a different sha256, for the folder and for its only file."""
    folder = packed_folder(tmp_path, 3.0, config())
    with open_checkpoint(folder) as whole, open_checkpoint(folder / "model.safetensors") as lone:
        assert lone.metadata == whole.metadata
        assert lone.read_ternary(NAME).uniform_scale() == whole.read_ternary(NAME).uniform_scale() == 3.0
        assert lone.sha256() == whole.sha256()


def test_the_known_duplicate_key_is_a_warning(tmp_path: Path):
    """HF1BitLLM's config.json, which holds quantization_config twice, refused, or read by its first."""
    folder = packed_folder(tmp_path, 3.0, {})
    body = json.dumps(config("autobitlinear"))[1:]
    (folder / "config.json").write_text('{"quantization_config": {"modules_to_not_convert": null}, ' + body)
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.scale_meaning() == "multiply"
        assert [finding.code for finding in checkpoint.findings] == ["config-key-twice"]


def test_other_model_files_are_noted(tmp_path: Path):
    """A choice between several models made in silence."""
    folder = packed_folder(tmp_path, 1.0, config())
    (folder / "other.gguf").write_bytes(b"")
    with open_checkpoint(folder) as checkpoint:
        (finding,) = checkpoint.findings
    assert (finding.code, finding.subject) == ("other-model-files", "model.safetensors")
    assert "'other.gguf'" in finding.message


def test_tokenizer_files_that_exist(tmp_path: Path):
    """A tokenizer that is not there announced, or one that is there missed."""
    folder = packed_folder(tmp_path, 1.0, config())
    (folder / "tokenizer.json").write_text("{}")
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.tokenizer_files == {"tokenizer.json": folder / "tokenizer.json"}


def test_trailing_bytes_are_a_finding(tmp_path: Path):
    """Bytes of no tensor passed over, or taken for a truncated file."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(small_safetensors() + b"more")
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.findings[0].message.startswith("4 bytes follow the last tensor")


def test_unknown_dtypes_open_and_cannot_be_read(tmp_path: Path):
    """A whole file refused for one tensor of a dtype from the future."""
    path = tmp_path / "x.safetensors"
    entries = {"new": entry("F3_E1M1", [100], 0, 38), "w": entry("F32", [2], 38, 46)}
    path.write_bytes(safetensors_file(entries, bytes(46)))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["new"].type is QuantType.UNKNOWN
        assert "'F3_E1M1'" in checkpoint.findings[0].message
        with pytest.raises(UnsupportedError, match="of an unknown dtype"):
            checkpoint.read_dense("new")


@pytest.mark.parametrize("limit", ["json_bytes", "tensors", "dimensions"])
def test_limits(tmp_path: Path, limit: str):
    """A header limit that does not hold."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(small_safetensors())
    with pytest.raises(FormatError):
        open_checkpoint(path, limits=Limits(**{limit: 1}))
