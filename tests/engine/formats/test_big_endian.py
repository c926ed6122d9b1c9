"""Big-endian GGUF: every number of header and data as in the little-endian file it was made from, by gguf-py."""

import argparse
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.scripts import gguf_convert_endian

from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats import MetadataArray, QuantType, TensorInfo, open_checkpoint
from bitnet_engine.formats.byte_order import to_little
from bitnet_engine.formats.ternary import pack_i2_s, pack_iq1_bn, pack_iq2_bn, pack_tq1_0, pack_tq2_0

KINDS = ("Q4_0", "Q8_0", "BF16")


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """Metadata of several widths, strings, and tensors whose blocks hold numbers."""
    path = tmp_path / "little.gguf"
    writer = gguf.GGUFWriter(path, "bitnet-b1.58")
    writer.add_uint16("x.uint16", 0x1234)
    writer.add_int64("x.int64", -(2**40))
    writer.add_float64("x.float64", 0.1)
    writer.add_bool("x.bool", True)
    writer.add_array("x.ints", [1, -2, 3])
    writer.add_array("x.strings", ["a", "", "Ġb" * 300])
    values = np.random.default_rng(0).normal(size=(4, 256)).astype(np.float32)
    writer.add_tensor("F32", values)
    writer.add_tensor("F16", values.astype(np.float16))
    for name in KINDS:
        kind = gguf.GGMLQuantizationType[name]
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    for name, size in (("Q4_K", 144), ("Q6_K", 210)):
        data = np.random.default_rng(1).integers(0, 60, (4, size), np.uint8)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def big(little: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same file, turned around by gguf-convert-endian."""
    path = little.with_name("big.gguf")
    path.write_bytes(little.read_bytes())
    monkeypatch.setattr("builtins.input", lambda _: "YES")
    reader = gguf.GGUFReader(path, "r+")
    gguf_convert_endian.convert_byteorder(reader, argparse.Namespace(order="big", dry_run=False))
    reader.data.flush()
    assert path.read_bytes()[4:8] == b"\0\0\0\3"
    return path


def test_a_turned_file_reads_as_before(little: Path, big: Path):
    """A number of the header, a length in a table of strings, or a scale within a block read backwards."""
    with open_checkpoint(little) as first, open_checkpoint(big) as second:
        assert (first.byte_order, second.byte_order) == ("little", "big")
        assert second.version == "v3"
        assert list(first.metadata) == list(second.metadata)
        for key, value in first.metadata.items():
            other = second.metadata[key]
            if isinstance(value, MetadataArray):
                value, other = value.tolist(), other.tolist()
            assert value == other, key
        assert list(first.tensors) == list(second.tensors)
        for name in first.tensors:
            assert np.array_equal(first.read_dense(name), second.read_dense(name)), name
        assert first.findings == ()
        assert [finding.code for finding in second.findings] == ["big-endian"]


def test_version_2_and_what_the_writer_of_gguf_py_makes(tmp_path: Path):
    """A big-endian file that only comes out right when it was converted."""
    path = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_array("x.floats", [0.5, -1.25])
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    writer.add_tensor("w", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for version in (3, 2):
        path.write_bytes(path.read_bytes().replace(b"GGUF\0\0\0\3", b"GGUF\0\0\0" + bytes([version]), 1))
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.version == f"v{version}"
            assert checkpoint.metadata["x.floats"].tolist() == [0.5, -1.25]
            assert np.array_equal(checkpoint.read_dense("w"), values)


def info(kind: QuantType, shape: tuple[int, ...], nbytes: int) -> TensorInfo:
    return TensorInfo("w", kind, 0, shape, Path("x.gguf"), 0, nbytes)


@pytest.mark.parametrize(
    ("kind", "pack", "scale"),
    [
        (QuantType.TQ1_0, pack_tq1_0, "<f2"),
        (QuantType.TQ2_0, pack_tq2_0, "<f2"),
        (QuantType.IQ1_BN, pack_iq1_bn, "<f2"),
        (QuantType.IQ2_BN, pack_iq2_bn, "<f4"),
        (QuantType.I2_S, pack_i2_s, "<f4"),
    ],
)
def test_scales_of_ternary_types_are_turned_and_codes_are_not(kind: QuantType, pack, scale: str):
    """A scale of 0.8125 read as 5e-20, or codes turned along with it."""
    values = np.random.default_rng(4).integers(-1, 2, (2, 256), np.int8)
    data = pack(values, 0.8125)
    stored = np.array(0.8125, scale).tobytes()
    assert 1 <= data.count(stored) <= 2
    turned = data.replace(stored, stored[::-1])
    assert turned != data
    assert to_little(info(kind, (2, 256), len(data)), turned) == data


def test_types_of_unsettled_order_are_refused_by_name():
    """Q5_0, whose high bits pass through a 32-bit number, decoded as if they did not."""
    with pytest.raises(UnsupportedError, match=r"^x\.gguf: tensor 'w' is big-endian Q5_0, whose byte order"):
        to_little(info(QuantType.Q5_0, (32,), 22), bytes(22))
