"""TL1 and TL2 against an encoder written weight by weight, and every config that does not fit refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitnet_engine.errors import FormatError, SettingError
from bitnet_engine.formats import QuantType, open_checkpoint
from bitnet_engine.formats.ggml_types import byte_size
from bitnet_engine.formats.lookup_tables import Tiles, unpack_tl1, unpack_tl2
from tests.badfiles.builders import Tensor, gguf_file

SCALE = 0.625
SWAP = [0, 2, 1, 3]
CASES = [
    (QuantType.TL1, (256, 192), Tiles(128, 64, 32)),
    (QuantType.TL1, (128, 256), Tiles(128, 128, 64)),
    (QuantType.TL1, (64, 64), Tiles(32, 32, 16)),
    (QuantType.TL2, (128, 288), Tiles(64, 96, 32)),
    (QuantType.TL2, (96, 416), Tiles(96, 96, 32)),
    (QuantType.TL2, (32, 448), Tiles(32, 192, 32)),
]


def matrix(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(8).integers(-1, 2, shape, np.int8)


def pair(first: int, second: int) -> int:
    return 3 * first + second + 4


def encode_tl1(w: list[list[int]], tiles: Tiles) -> bytes:
    """TL1 as docs/formats.md §2.8 spells its nesting out."""
    by = 256 // tiles.bmm
    return bytes(
        pair(w[row][k], w[row][k + 1]) << 4 | pair(w[row][k + 2], w[row][k + 3])
        for a in range(len(w) // tiles.bm)
        for b in range(len(w[0]) // tiles.bk)
        for c in range(tiles.bm // tiles.bmm)
        for d in range(tiles.bk // by)
        for e in range(tiles.bmm // 16)
        for f in range(by // 4)
        for r in range(16)
        for row in [a * tiles.bm + c * tiles.bmm + e * 16 + r]
        for k in [b * tiles.bk + d * by + 4 * f]
    )


def encode_tl2(w: list[list[int]], tiles: Tiles) -> bytes:
    """TL2 likewise: magnitudes of triples, their signs, pairs of the columns that are left, and padding."""
    rows, columns = len(w), len(w[0])
    three = columns - columns % tiles.bk

    def triple(row: int, index: int) -> int:
        x, y, z = w[row][3 * index : 3 * index + 3]
        return 9 * x + 3 * y + z

    grid = [
        (a * tiles.bm + c * 32, b)
        for a in range(rows // tiles.bm)
        for b in range(three // tiles.bk)
        for c in range(tiles.bm // 32)
    ]
    data = bytes(
        abs(triple(row, tri)) << 4 | abs(triple(row, tri + 1))
        for top, b in grid
        for d in range(tiles.bk // 6)
        for pos in range(32)
        for row in [top + 8 * SWAP[pos // 8] + pos % 8]
        for tri in [b * tiles.bk // 3 + 2 * d]
    )
    for top, b in grid:
        for d in range(tiles.bk // 24):
            for column in range(16):
                bits = [
                    (triple(top + 16 * h + column, b * tiles.bk // 3 + 8 * d + j) < 0) << 15 - (2 * j + h)
                    for j in range(8)
                    for h in range(2)
                ]
                data += struct.pack("<H", sum(bits))
    data += bytes(
        pair(w[row][k], w[row][k + 1]) << 4 | pair(w[row][k + 2], w[row][k + 3])
        for a in range(rows // tiles.bm)
        for b in range((columns - three) // 32)
        for c in range(tiles.bm // 32)
        for d in range(8)
        for pos in range(32)
        for row in [a * tiles.bm + c * 32 + 8 * SWAP[pos // 8] + pos % 8]
        for k in [three + 32 * b + 4 * d]
    )
    return data


def write(folder: Path, kind: QuantType, values: np.ndarray, tiles: Tiles) -> Path:
    """Write a file of one tensor, with the scale at the start of its 32-byte tail."""
    encode = encode_tl1 if kind is QuantType.TL1 else encode_tl2
    size = byte_size(kind, values.shape)
    assert size is not None
    data = encode(values.tolist(), tiles)
    assert len(data) <= size - 32
    data = data.ljust(size - 32, b"\0") + struct.pack("<f28x", SCALE)
    path = folder / "lut.gguf"
    type_id = 38 if kind is QuantType.TL1 else 39
    path.write_bytes(gguf_file([], [Tensor("w", type_id, values.shape[::-1], 0)], data))
    return path


def kernel_config(folder: Path, shape: tuple[int, int], tiles: Tiles) -> Path:
    path = folder / "kernel_config.ini"
    keys = {"m": shape[0], "k": shape[1], "bm": tiles.bm, "bk": tiles.bk, "bmm": tiles.bmm}
    path.write_text("[Kernels_0]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
    return path


@pytest.mark.parametrize(("kind", "shape", "tiles"), CASES)
def test_reads_what_bitnet_cpp_writes(tmp_path: Path, kind: QuantType, shape: tuple[int, int], tiles: Tiles):
    """Tiles nested in another order, signs of the wrong rows, or the last columns read as triples."""
    values = matrix(shape)
    path, config = write(tmp_path, kind, values, tiles), kernel_config(tmp_path, shape, tiles)
    with open_checkpoint(path, kernel_config=config) as checkpoint:
        assert checkpoint.tensors["w"].type is kind
        read = checkpoint.read_ternary("w")
        assert np.array_equal(read.values, values)
        assert read.uniform_scale() == SCALE


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_shape_that_tiles_divide(data: st.DataObject):
    """A nesting that is right for one tile a side, or one sub-tile a tile, and for no other count."""
    counts = st.integers(1, 2)
    bmm = data.draw(st.sampled_from([16, 32, 64]))
    tiles = Tiles(bmm * data.draw(counts), 256 // bmm * data.draw(counts), bmm)
    values = matrix((tiles.bm * data.draw(counts), tiles.bk * data.draw(counts)))
    packed = encode_tl1(values.tolist(), tiles) + bytes(32)
    assert np.array_equal(unpack_tl1(packed, (len(values), values.shape[1]), tiles), values)
    tiles = Tiles(32 * data.draw(counts), 96 * data.draw(counts), 32)
    left = 32 * data.draw(st.integers(0, 2))
    values = matrix((tiles.bm * data.draw(counts), tiles.bk * data.draw(counts) + left))
    packed = encode_tl2(values.tolist(), tiles) + bytes(32)
    assert np.array_equal(unpack_tl2(packed, (len(values), values.shape[1]), tiles), values)


@pytest.mark.parametrize(("kind", "at"), [(QuantType.TL1, 0), (QuantType.TL2, 0), (QuantType.TL2, -33)])
def test_nibbles_that_mean_nothing_are_refused(tmp_path: Path, kind: QuantType, at: int):
    """A corrupt file, or another build's tiles, decoded to some trits or other."""
    shape, tiles = next((shape, tiles) for case, shape, tiles in CASES if case is kind)
    path, config = write(tmp_path, kind, matrix(shape), tiles), kernel_config(tmp_path, shape, tiles)
    data = bytearray(path.read_bytes())
    size = byte_size(kind, shape) or 0
    data[len(data) - size if at == 0 else at] = 0xFF
    path.write_bytes(data)
    with open_checkpoint(path, kernel_config=config) as checkpoint:
        if at == 0:
            with pytest.raises(FormatError, match="'w' holds code 3, which is no trit"):
                checkpoint.read_ternary("w")
        else:
            assert checkpoint.read_ternary("w").uniform_scale() == SCALE, "padding may hold anything"


@pytest.mark.parametrize(
    ("kind", "tiles", "says"),
    [
        (QuantType.TL1, Tiles(128, 64, 24), "bmm = 24; 16, 32 and 64 are allowed"),
        (QuantType.TL1, Tiles(100, 64, 32), "bm = 100, bmm = 32, which do not divide"),
        (QuantType.TL1, Tiles(128, 60, 32), "bk = 60, which does not divide"),
        (QuantType.TL2, Tiles(64, 96, 64), "bmm = 64; 32 is allowed"),
        (QuantType.TL2, Tiles(64, 100, 32), "bk = 100, which does not divide"),
    ],
)
def test_tiles_that_do_not_fit(tmp_path: Path, kind: QuantType, tiles: Tiles, says: str):
    """A traceback of numpy for the config of another build."""
    case = next(case for case in CASES if case[0] is kind)
    path, config = write(tmp_path, kind, matrix(case[1]), case[2]), kernel_config(tmp_path, case[1], tiles)
    with open_checkpoint(path, kernel_config=config) as checkpoint, pytest.raises(FormatError) as caught:
        checkpoint.read_ternary("w")
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{config}: the kernel of m = {case[1][0]}, k = {case[1][1]} has")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("m = 1", "is no kernel_config.ini: File contains no section headers."),
        ("[a]\nm = 1", "is no kernel_config.ini: No option 'k' in section: 'a'"),
        ("[a]\nm = x\nk = 1\nbm = 1\nbk = 1\nbmm = 1", "invalid literal for int()"),
        ("[a]\nm = 0\nk = 1\nbm = 1\nbk = 1\nbmm = 1", "section 'a' has a size below 1"),
        ("[a]\nm=1\nk=1\nbm=1\nbk=1\nbmm=1\n[b]\nm=1\nk=1\nbm=2\nbk=1\nbmm=1", "a second kernel of m = 1, k = 1"),
    ],
)
def test_configs_that_are_none(tmp_path: Path, i2_s: Path, text: str, says: str):
    """A traceback, or the first of two contradicting kernels taken in silence."""
    config = tmp_path / "kernel_config.ini"
    config.write_text(text)
    with pytest.raises(FormatError) as caught:
        open_checkpoint(i2_s, kernel_config=config)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(config))
    assert "\n" not in str(caught.value)


def test_a_config_without_the_shape_or_the_type(tmp_path: Path, i2_s: Path):
    """Another shape's tiles used, or a setting that does nothing."""
    kind, shape, tiles = CASES[0]
    path, config = write(tmp_path, kind, matrix(shape), tiles), kernel_config(tmp_path, (3200, 8640), tiles)
    with (
        open_checkpoint(path, kernel_config=config) as checkpoint,
        pytest.raises(FormatError, match="has no kernel of m = 256, k = 192, the shape of tensor 'w'"),
    ):
        checkpoint.read_ternary("w")
    with pytest.raises(SettingError, match=f"^{i2_s}: holds no TL1 or TL2 tensor"):
        open_checkpoint(i2_s, kernel_config=config)
