"""GGUF headers: the same as gguf-py reads, the ids that forks share, and what is only a finding."""

from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import pytest

from bitnet_engine.errors import BitnetError, FormatError, SettingError, UnsupportedError
from bitnet_engine.formats import Limits, MetadataArray, QuantType, open_checkpoint
from bitnet_engine.formats.ggml_types import BLOCKS, GGML_TYPES, byte_size, candidates
from bitnet_engine.formats.limits import in_force
from bitnet_engine.formats.statistics import tensor_stats
from tests.badfiles.builders import Tensor, f32, gguf_file, small_gguf, string, strings, u32


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A file of every metadata type and several tensor types, written by gguf-py."""
    path = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "bitnet-b1.58")
    for name, value in (("uint8", 8), ("int8", -8), ("uint16", 16), ("int16", -16), ("uint32", 2**32 - 1)):
        getattr(writer, f"add_{name}")(f"x.{name}", value)
    writer.add_int32("x.int32", -32)
    writer.add_uint64("x.uint64", 2**64 - 1)
    writer.add_int64("x.int64", -(2**63))
    writer.add_float32("x.float32", 0.5)
    writer.add_float64("x.float64", 0.1)
    writer.add_bool("x.bool", True)
    writer.add_string("x.string", "Ġnaïve")
    writer.add_array("x.strings", ["a", "", "Ġb"])
    writer.add_array("x.ints", [1, -2, 3])
    writer.add_array("x.floats", [0.5, 1.5])
    writer.add_array("x.bools", [True, False])
    values = np.random.default_rng(0).normal(size=(4, 256)).astype(np.float32)
    writer.add_tensor("f32", values)
    writer.add_tensor("f16", values.astype(np.float16))
    for kind in (
        gguf.GGMLQuantizationType.Q8_0,
        gguf.GGMLQuantizationType.Q4_0,
        gguf.GGMLQuantizationType.BF16,
    ):
        writer.add_tensor(kind.name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_reads_what_gguf_py_wrote(theirs: Path):
    """A metadata width or a tensor place read differently from the format's own library."""
    reader = gguf.GGUFReader(theirs)
    with open_checkpoint(theirs) as checkpoint:
        for field in reader.fields.values():
            if not field.name.startswith("GGUF."):
                value = checkpoint.metadata[field.name]
                assert (value.tolist() if isinstance(value, MetadataArray) else value) == field.contents()
        assert [tensor.name for tensor in reader.tensors] == list(checkpoint.tensors)
        for tensor in reader.tensors:
            info = checkpoint.tensors[tensor.name]
            assert info.type == tensor.tensor_type.name
            assert info.type_id == tensor.tensor_type.value
            assert info.shape == tuple(reversed(tensor.shape.tolist()))
            assert (info.offset, info.nbytes) == (tensor.data_offset, tensor.n_bytes)
            assert checkpoint.read_bytes(tensor.name) == tensor.data.tobytes()
            expected = gguf.dequantize(tensor.data, tensor.tensor_type)
            assert np.array_equal(checkpoint.read_dense(tensor.name), expected)
        assert checkpoint.findings == ()


def test_sizes_are_those_of_gguf_py():
    """A wrong block size, which shifts every tensor after it."""
    for kind, block in gguf.GGML_QUANT_SIZES.items():
        assert kind.name in candidates(kind.value)
        assert BLOCKS[QuantType[kind.name]] == block
    assert {int(kind) for kind in gguf.GGMLQuantizationType} - set(GGML_TYPES) == {39}


def test_arrays_are_decoded_on_request(tmp_path: Path):
    """A head that decodes the whole vocabulary, or loses the strings that cross a window of the reader."""
    words = [f"{'x' * (i % 700)}{i}" for i in range(3000)]
    path = tmp_path / "words.gguf"
    path.write_bytes(gguf_file([("a", strings(words)), ("b", u32(7))], []))
    with open_checkpoint(path) as checkpoint:
        array = checkpoint.metadata["a"]
        assert (array.type, array.count) == ("str", 3000)
        assert array.head(3) == words[:3]
        assert array.head(5000) == array.tolist() == words
        assert checkpoint.metadata["b"] == 7


def test_version_2_reads_as_3(tmp_path: Path):
    """Refusing the files of late 2023, which have the same layout."""
    path = tmp_path / "v2.gguf"
    path.write_bytes(small_gguf().replace(b"GGUF\3", b"GGUF\2", 1))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.version == "v2"
        assert checkpoint.read_dense("output_norm.weight").tolist() == list(range(8))


SHAPE = (1280, 2560)
"""What every reading of a colliding id can hold."""


@pytest.mark.parametrize(
    ("type_id", "kind"),
    [
        (36, QuantType.I2_S),
        (37, QuantType.I8_S),
        (38, QuantType.TL1),
        (39, QuantType.TL2),
        (39, QuantType.MXFP4),
        (42, QuantType.TL2),
        (42, QuantType.Q2_0),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_colliding_ids_are_told_apart_by_length(tmp_path: Path, type_id: int, kind: QuantType, last: bool):
    """A Microsoft file read as MXFP4, or the other way round: all its weights would be noise."""
    size = byte_size(kind, SHAPE)
    assert size is not None
    after = -(-size // 32) * 32
    extents = tuple(reversed(SHAPE))
    tensors = [Tensor("w", type_id, extents, 0)] + ([] if last else [Tensor("z", 0, (8,), after)])
    path = tmp_path / "fork.gguf"
    path.write_bytes(gguf_file([("general.file_type", u32(40))], tensors, bytes(after + (0 if last else 32))))
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.tensors["w"].type, checkpoint.tensors["w"].nbytes) == (kind, size)
        assert checkpoint.findings == ()


def test_the_last_tensor_follows_its_namesakes(tmp_path: Path):
    """Trailing bytes that turn the last tensor of an I2_S file into another type."""
    size = byte_size(QuantType.I2_S, (4, 256)) or 0
    tensors = [Tensor(f"w{i}", 36, (256, 4), i * size) for i in range(3)]
    path = tmp_path / "tail.gguf"
    path.write_bytes(gguf_file([], tensors, bytes(3 * size + 4096)))
    with open_checkpoint(path) as checkpoint:
        assert {tensor.type for tensor in checkpoint.tensors.values()} == {QuantType.I2_S}
        (finding,) = checkpoint.findings
        assert (finding.code, finding.message[:10]) == ("trailing-bytes", "4096 bytes")


def test_removed_interleaved_types_are_not_decoded(tmp_path: Path):
    """An interleaved IQ4_NL of 2024 decoded as a plain one."""
    path = tmp_path / "old.gguf"
    path.write_bytes(gguf_file([], [Tensor("w", 36, (256, 4), 0)], bytes(1024 * 18 // 32)))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["w"].type is QuantType.UNKNOWN
        with pytest.raises(UnsupportedError, match="type id 36"):
            checkpoint.read_dense("w")


def test_unknown_types_open_and_cannot_be_read(tmp_path: Path):
    """A whole file refused, or bytes invented, for one tensor of a type from the future."""
    path = tmp_path / "future.gguf"
    tensors = [Tensor("new", 900, (100,), 0), Tensor("w", 0, (8,), 64)]
    path.write_bytes(gguf_file([], tensors, bytes(64) + np.arange(8, dtype="<f4").tobytes()))
    with open_checkpoint(path) as checkpoint:
        info = checkpoint.tensors["new"]
        assert (info.type, info.type_id, info.nbytes) == (QuantType.UNKNOWN, 900, 64)
        assert checkpoint.read_dense("w")[7] == 7
        assert [finding.code for finding in checkpoint.findings] == ["unknown-type"]
        for read in (checkpoint.read_dense, checkpoint.read_ternary):
            with pytest.raises(UnsupportedError, match=r"tensor 'new' is"):
                read("new")


def test_holes_and_parts_are_findings(tmp_path: Path):
    """Bytes of no tensor, and a part of a model, passed over in silence."""
    tensors = [Tensor("a", 0, (8,), 0), Tensor("b", 0, (8,), 96)]
    path = tmp_path / "hole.gguf"
    path.write_bytes(gguf_file([("split.count", u32(3)), ("split.no", u32(1))], tensors, bytes(128)))
    with open_checkpoint(path) as checkpoint:
        assert [finding.code for finding in checkpoint.findings] == ["hole", "split"]
        assert checkpoint.findings[0].message.startswith("64 bytes belong to no tensor")


def test_tensors_in_any_order_of_the_table(tmp_path: Path):
    """A table that is not sorted by offset taken for one with overlaps."""
    tensors = [Tensor("b", 0, (8,), 32), Tensor("a", 0, (8,), 0)]
    path = tmp_path / "order.gguf"
    path.write_bytes(gguf_file([], tensors, np.arange(16, dtype="<f4").tobytes()))
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == ["a", "b"]
        assert checkpoint.read_dense("b")[0] == 8


def test_alignment_is_obeyed(tmp_path: Path):
    """Data read 32-aligned in a file that says 64: header bytes handed out as weights."""
    pairs = [("general.alignment", u32(64)), ("general.name", string("x"))]
    path = tmp_path / "aligned.gguf"
    path.write_bytes(gguf_file(pairs, [Tensor("w", 0, (8,), 0)], np.ones(8, "<f4").tobytes() + bytes(32), alignment=64))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["w"].offset % 64 == 0
        assert checkpoint.read_dense("w").tolist() == [1] * 8


@pytest.mark.parametrize("limit", ["header_bytes", "metadata_keys", "metadata_strings", "tensors"])
def test_limits_name_themselves(tmp_path: Path, limit: str):
    """A limit that cannot be found out, and so cannot be raised for an honest giant."""
    path = tmp_path / "small.gguf"
    path.write_bytes(small_gguf())
    with pytest.raises(FormatError, match=f"raise it with --limit {limit}=N"):
        open_checkpoint(path, limits=Limits(**{limit: 2 if limit != "header_bytes" else 64}))
    open_checkpoint(path, limits=Limits(**{limit: 6 if limit != "header_bytes" else 4096})).close()


def test_the_environment_says_which_limits_are_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A flag of the program that ends at the process it was given to: workers have it from the environment."""
    path = tmp_path / "small.gguf"
    path.write_bytes(small_gguf())
    monkeypatch.setenv("BITNET_LIMITS", "tensors=1,metadata_keys=9,tensors=2")
    open_checkpoint(path, limits=Limits()).close()
    with pytest.raises(FormatError, match="the limit is 2; raise it with --limit tensors=N"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "text", ["tensors", "tensors=", "tensors=0", "tensors=-1", "tensors=٣", "tensors=1e9", "x=1", "=1"]
)
def test_a_limit_that_means_nothing_is_refused(text: str, monkeypatch: pytest.MonkeyPatch):
    """A slip that leaves the default in force without a word."""
    monkeypatch.setenv("BITNET_LIMITS", f"header_bytes=1,{text}")
    with pytest.raises(SettingError, match="BITNET_LIMITS: "):
        in_force()


def test_nan_metadata_is_kept_as_it_is(tmp_path: Path):
    """A reader that repairs what it reads: judging is the inspector's work."""
    path = tmp_path / "nan.gguf"
    path.write_bytes(gguf_file([("eps", f32(float("nan")))], []))
    with open_checkpoint(path) as checkpoint:
        assert np.isnan(checkpoint.metadata["eps"])


@pytest.mark.parametrize("type_id", [*GGML_TYPES, 36])
@pytest.mark.parametrize("extents", [(0,), (256, 0), (0, 4), (512, 3)])
def test_any_bytes_of_any_type(tmp_path: Path, type_id: int, extents: tuple[int, ...]):
    """A NaN scale, or a tensor without elements, that ends in an exception of numpy."""
    size = byte_size(candidates(type_id)[0], tuple(reversed(extents)))
    assert size is not None
    data = np.random.default_rng(type_id).integers(0, 256, -(-size // 32) * 32, np.uint8)
    path = tmp_path / "any.gguf"
    path.write_bytes(gguf_file([], [Tensor("w", type_id, extents, 0)], data.tobytes()))
    with open_checkpoint(path) as checkpoint, suppress(BitnetError):
        assert checkpoint.read_dense("w").shape == tuple(reversed(extents))
        tensor_stats(checkpoint, "w")
