"""The GGUF writer, read back by gguf-py and by ourselves."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitnet_engine.formats import (
    Array,
    MetadataArray,
    OutTensor,
    QuantType,
    Scalar,
    open_checkpoint,
    write_gguf,
)
from bitnet_engine.formats.ternary import pack_i2_s, pack_tq2_0

TRITS = np.random.default_rng(0).integers(-1, 2, (3, 256), np.int8)
NORM = np.arange(5, dtype=np.float32)
METADATA = {
    "general.architecture": "bitnet-b1.58",
    "count": 30,
    "negative": -1,
    "epsilon": 1e-5,
    "flag": True,
    "large": Scalar("u64", 2**40),
    "tokens": ["a", "Ġb"],
    "kinds": [1, -3],
    "scores": [0.0, -1.5],
    "flags": [True, False],
    "nothing": Array("str", []),
    "bytes": Array("u8", [0, 255]),
}


def tensors() -> list[OutTensor]:
    return [
        OutTensor("norm", QuantType.F32, (5,), NORM.tobytes),
        OutTensor("tq2_0", QuantType.TQ2_0, (3, 256), lambda: pack_tq2_0(TRITS, 0.5)),
        OutTensor("one", QuantType.F32, (1,), lambda: np.float32(2).tobytes()),
    ]


def test_gguf_py_reads_it(tmp_path: Path):
    """A file that only we can read."""
    path = tmp_path / "ours.gguf"
    write_gguf(path, METADATA, tensors())
    reader = gguf.GGUFReader(path)
    plain = {key: getattr(value, "value", getattr(value, "values", value)) for key, value in METADATA.items()}
    for key, value in plain.items():
        field = reader.get_field(key)
        assert field is not None
        if value:
            assert field.contents() == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert found["norm"].data.tolist() == NORM.tolist()
    assert found["tq2_0"].data.tobytes() == pack_tq2_0(TRITS, 0.5)
    assert all(tensor.data_offset % 32 == 0 for tensor in reader.tensors)


def test_widths_are_the_usual_ones(tmp_path: Path):
    """A count written as u64 or i32, which llama.cpp refuses to read as the u32 it expects."""
    path = tmp_path / "ours.gguf"
    write_gguf(path, METADATA, [])
    reader = gguf.GGUFReader(path)
    kinds = {name: [kind.name for kind in field.types] for name, field in reader.fields.items()}
    assert kinds["count"] == ["UINT32"]
    assert kinds["negative"] == ["INT32"]
    assert kinds["epsilon"] == ["FLOAT32"]
    assert kinds["flag"] == ["BOOL"]
    assert kinds["large"] == ["UINT64"]
    assert kinds["kinds"] == ["ARRAY", "INT32"]
    assert kinds["bytes"] == ["ARRAY", "UINT8"]


def test_what_is_read_can_be_written_again(tmp_path: Path):
    """Metadata arrays, lazy after reading, lost or retyped when a file is copied; I2_S misplaced."""
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    i2_s = OutTensor("i2_s", QuantType.I2_S, (3, 256), lambda: pack_i2_s(TRITS, 0.3000030517578125))
    write_gguf(first, METADATA, [*tensors(), i2_s])
    with open_checkpoint(first) as checkpoint:
        assert checkpoint.findings == ()
        trits = checkpoint.read_ternary("i2_s")
        assert np.array_equal(trits.values, TRITS)
        assert trits.uniform_scale() == 0.3000030517578125
        arrays = {key: value for key, value in checkpoint.metadata.items() if isinstance(value, MetadataArray)}
        write_gguf(second, METADATA | arrays, [*tensors(), i2_s])
    assert second.read_bytes() == first.read_bytes()


class Block(bytes):
    """Bytes of a tensor that know how many of them are alive."""

    alive = 0
    most = 0

    def __init__(self, _: bytes):
        Block.alive += 1
        Block.most = max(Block.most, Block.alive)

    def __del__(self):
        Block.alive -= 1


def test_one_tensor_at_a_time_is_in_memory(tmp_path: Path):
    """All weights of a model in memory at once, to write it."""
    outs = [OutTensor(name, QuantType.F32, (5,), lambda: Block(NORM.tobytes())) for name in "abc"]
    write_gguf(tmp_path / "ours.gguf", {}, outs)
    assert Block.most == 1


@pytest.mark.parametrize(
    ("metadata", "out", "message"),
    [
        ({"x": 2**40}, None, "metadata 'x': GGUF cannot hold 1099511627776"),
        ({"x": [1, "a"]}, None, "a list must hold one of"),
        ({"x": []}, None, "a list must hold one of"),
        ({"x": None}, None, "NoneType is no metadata type"),
        ({"x": 1e300}, None, "metadata 'x'"),
        ({"x": Array("u7", [1])}, None, "metadata 'x'"),
        ({"general.alignment": 48}, None, "a power of two is allowed"),
        ({}, OutTensor("w", QuantType.HF_PACKED, (4, 4), bytes), "GGUF cannot hold HF_PACKED"),
        ({}, OutTensor("w", QuantType.TQ2_0, (4, 100), bytes), r"GGUF cannot hold TQ2_0 of \(4, 100\)"),
        ({}, OutTensor("w", QuantType.F32, (4,), lambda: bytes(15)), "15 bytes given, its shape takes 16"),
        ({}, OutTensor("norm", QuantType.F32, (5,), NORM.tobytes), "same name"),
    ],
)
def test_refusals_leave_the_old_file(tmp_path: Path, metadata: dict[str, Any], out: OutTensor | None, message: str):
    """A half-written or wrong file under the name of a good one."""
    path = tmp_path / "ours.gguf"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=message):
        write_gguf(path, metadata, [*tensors(), *([out] if out else [])])
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["ours.gguf"]


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_values = st.one_of(
    _text,
    st.booleans(),
    st.integers(-(2**31), 2**32 - 1),
    st.floats(width=32, allow_nan=False),
    st.lists(_text, min_size=1, max_size=5),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(_text.filter(lambda key: key != "general.alignment"), _values, max_size=6))
def test_any_metadata_comes_back(tmp_path: Path, metadata: dict[str, Any]):
    """A value that changes by being written: an empty key, a control character, a large number."""
    path = tmp_path / "any.gguf"
    write_gguf(path, metadata, [])
    with open_checkpoint(path) as checkpoint:
        read = {
            key: value.tolist() if isinstance(value, MetadataArray) else value
            for key, value in checkpoint.metadata.items()
        }
    assert read == metadata
