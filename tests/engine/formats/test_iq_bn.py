"""ik_llama.cpp's IQ1_BN and IQ2_BN against an encoder written weight by weight as that program does it."""

import struct
from pathlib import Path

import numpy as np
import pytest

from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats import QuantType, open_checkpoint
from bitnet_engine.formats.ternary import pack_iq1_bn, pack_iq2_bn
from bitnet_engine.formats.types import Trits
from tests.badfiles.builders import Tensor, gguf_file

IDS = {QuantType.IQ1_BN: 134, QuantType.IQ2_BN: 135}
SCALE = 0.625


def iq1_bn_row(row: np.ndarray, scale: float) -> bytes:
    """A row as `quantize_one_row_1bn` writes it: ceil(256/243) of base-3 numbers, the first trit counting 1."""
    data = struct.pack("<e", scale)
    for block in row.reshape(-1, 64).tolist():
        left_over, codes = 0, []
        for group in range(4):
            part = [trit + 1 for trit in block[16 * group : 16 * group + 16]]
            codes += [sum(3**j * part[5 * k + j] for j in range(5)) for k in range(3)]
            left_over += 3**group * part[15]
        data += bytes((256 * code + 242) // 243 for code in [*codes, left_over])
    return data


def iq2_bn_row(row: np.ndarray, scale: float) -> bytes:
    """A row as `quantize_one_row_2bn` writes it: elements 16 apart share a byte, the first lowest."""
    data = struct.pack("<f", scale)
    for block in row.reshape(-1, 64).tolist():
        data += bytes(sum((block[j + 16 * field] + 1) << 2 * field for field in range(4)) for j in range(16))
    return data


ENCODERS = {QuantType.IQ1_BN: iq1_bn_row, QuantType.IQ2_BN: iq2_bn_row}
PACKERS = {QuantType.IQ1_BN: pack_iq1_bn, QuantType.IQ2_BN: pack_iq2_bn}


def values(rows: int = 6, columns: int = 192) -> np.ndarray:
    return np.random.default_rng(3).integers(-1, 2, (rows, columns), np.int8)


def write(path: Path, kind: QuantType, trits: np.ndarray, scales: list[float]) -> Path:
    data = b"".join(ENCODERS[kind](row, scale) for row, scale in zip(trits, scales, strict=True))
    path.write_bytes(gguf_file([], [Tensor("w", IDS[kind], trits.shape[::-1], 0)], data + bytes(-len(data) % 32)))
    return path


@pytest.mark.parametrize("kind", IDS)
def test_reads_what_ik_llama_writes(tmp_path: Path, kind: QuantType):
    """The digits of a byte in the other order, or the sixteenth of each group lost."""
    trits = values()
    with open_checkpoint(write(tmp_path / "x.gguf", kind, trits, [SCALE] * 6)) as checkpoint:
        assert checkpoint.tensors["w"].type is kind
        assert checkpoint.findings == ()
        read = checkpoint.read_ternary("w")
        assert np.array_equal(read.values, trits)
        assert read.scale.shape == (6, 1)
        assert read.uniform_scale() == SCALE
        assert np.array_equal(checkpoint.read_dense("w"), trits * np.float32(SCALE))


@pytest.mark.parametrize("kind", IDS)
def test_packs_what_ik_llama_writes(kind: QuantType):
    """Bytes that decode alike and that no other program writes."""
    trits = values()
    trits[2] = 0
    scales = [SCALE, SCALE, 0.0, SCALE, SCALE, SCALE]
    expected = b"".join(ENCODERS[kind](row, scale) for row, scale in zip(trits, scales, strict=True))
    assert PACKERS[kind](trits, SCALE) == expected


@pytest.mark.parametrize("kind", IDS)
def test_a_scale_for_each_row(tmp_path: Path, kind: QuantType):
    """Every row read with the first one's scale, or a row of zeros, whose scale is 0, taken for another scale."""
    trits = values(3)
    with open_checkpoint(write(tmp_path / "x.gguf", kind, trits, [0.5, 0.25, 2.0])) as checkpoint:
        read = checkpoint.read_ternary("w")
        assert read.uniform_scale() is None
        assert np.array_equal(read.dense(), trits * np.array([[0.5], [0.25], [2]], np.float32))
    trits[1] = 0
    with open_checkpoint(write(tmp_path / "x.gguf", kind, trits, [0.5, 0.0, 0.5])) as checkpoint:
        assert checkpoint.read_ternary("w").uniform_scale() == 0.5
    assert Trits(np.ones((2, 64), np.int8), np.array([[0.5], [0.0]], np.float32)).uniform_scale() is None


def test_the_interleaved_kind_is_known_by_name_and_not_decoded(tmp_path: Path):
    """IQ2_BN_R4, four rows woven together, read as rows."""
    path = tmp_path / "r4.gguf"
    path.write_bytes(gguf_file([], [Tensor("w", 335, (64, 4), 0)], bytes(96)))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["w"].type is QuantType.UNKNOWN
        assert "the type id 335 (IQ2_BN_R4), which this reader cannot size" in checkpoint.findings[0].message
        with pytest.raises(UnsupportedError, match="'w' is IQ2_BN_R4, which is not decoded here"):
            checkpoint.read_dense("w")
