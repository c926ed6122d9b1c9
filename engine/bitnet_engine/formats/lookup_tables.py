"""TL1 and TL2, the lookup-table types of bitnet.cpp, whose bytes depend on tile sizes that no file states.

    kernels = read_kernel_config(Path("kernel_config.ini"), limits)
    kernels.unpack(info, data)                   # Trits

The tiles of each matrix shape are in the kernel_config.ini of the build that wrote the file. Layouts:
docs/formats.md §2.8 (microsoft/BitNet `utils/convert-hf-to-gguf-bitnet.py`). Reads no model file.
"""

import hashlib
from collections.abc import Mapping
from configparser import ConfigParser, Error
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitnet_engine.errors import FormatError
from bitnet_engine.formats.ggml_types import I2_S_TAIL
from bitnet_engine.formats.hf import read_json
from bitnet_engine.formats.ternary import Shape
from bitnet_engine.formats.types import Limits, QuantType, TensorInfo, Trits, quoted

BAD = 2
"""What a nibble unpacks to that stands for no trits, as code 3 does elsewhere."""

_PAIRS = np.array([[v // 3 - 1, v % 3 - 1] if v < 9 else [BAD] * 2 for v in range(16)], np.int8)
"""Nibble → two trits: 3 * (first + 1) + (second + 1)."""

# 9a + 3b + c of three trits is balanced ternary, so that a magnitude and a sign say it all.
_TRIPLES = np.array(
    [[(v + 4) // 9, (v - 9 * ((v + 4) // 9) + 1) // 3, (v + 1) % 3 - 1] if v < 14 else [BAD] * 3 for v in range(16)],
    np.int8,
)
"""Nibble → three trits, to be negated where the sign bit is set."""

_ROW_GROUPS = [0, 2, 1, 3]
"""Eights of rows as TL2 stores them: the middle two change places."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """How the kernel of one matrix shape cuts it up, by the keys of kernel_config.ini."""

    bm: int
    """Rows of a tile."""
    bk: int
    """Columns of a tile."""
    bmm: int
    """Rows of a sub-tile."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """A kernel_config.ini: tiles by matrix shape `[out, in]`."""

    path: Path
    sha256: str
    tiles: Mapping[Shape, Tiles]

    def unpack(self, info: TensorInfo, data: bytes) -> Trits:
        """Unpack a matrix of type TL1 or TL2; a nibble that stands for no trits comes out as the value 2.

        Raises:
            FormatError: the config has no kernel for that shape, or one whose tiles do not divide it.
        """
        shape = (info.shape[0], info.shape[1])
        tiles = self.tiles.get(shape)
        if tiles is None:
            raise FormatError(
                f"{self.path}: has no kernel of m = {shape[0]}, k = {shape[1]}, the shape of tensor "
                f"{quoted(info.name)} in {info.file}; pass the kernel_config.ini of the build that wrote the file"
            )
        problem = _tl1_problem(shape, tiles) if info.type is QuantType.TL1 else _tl2_problem(shape, tiles)
        if problem:
            raise FormatError(
                f"{self.path}: the kernel of m = {shape[0]}, k = {shape[1]} has {problem}; that is no {info.type}: "
                f"pass the kernel_config.ini of the build that wrote {info.file}"
            )
        values = (unpack_tl1 if info.type is QuantType.TL1 else unpack_tl2)(data, shape, tiles)
        scale = np.frombuffer(data, "<f4", 1, offset=len(data) - I2_S_TAIL).astype(np.float32).reshape(())
        return Trits(values, scale)


def read_kernel_config(path: Path, limits: Limits) -> Kernels:
    """Read a kernel_config.ini: sections of m, k, bm, bk and bmm.

    Raises:
        FormatError: it is absent, no such file, or gives one shape two kernels.
        StorageError: it cannot be read.
    """
    parser = ConfigParser(interpolation=None)
    tiles: dict[Shape, Tiles] = {}
    data = read_json(path, limits)
    try:
        parser.read_string(data.decode())
        for name in parser.sections():
            m, k, bm, bk, bmm = (parser.getint(name, key) for key in ("m", "k", "bm", "bk", "bmm"))
            if min(m, k, bm, bk, bmm) < 1:
                raise ValueError(f"section {quoted(name)} has a size below 1")
            if (m, k) in tiles:
                raise ValueError(f"section {quoted(name)} is a second kernel of m = {m}, k = {k}")
            tiles[m, k] = Tiles(bm, bk, bmm)
    except (Error, ValueError) as error:
        message = " ".join(str(error).split())
        raise FormatError(f"{path}: is no kernel_config.ini: {message:.200}; sections of m, k, bm, bk, bmm") from error
    return Kernels(path, hashlib.sha256(data).hexdigest(), tiles)


def unpack_tl1(data: bytes, shape: Shape, tiles: Tiles) -> np.ndarray:
    """Return int8 `[out, in]` of TL1: a byte holds four columns of a row, 16 rows lie side by side."""
    (rows, columns), by = shape, 256 // tiles.bmm
    count = rows * columns // 4
    grid = (
        *(rows // tiles.bm, columns // tiles.bk, tiles.bm // tiles.bmm, tiles.bk // by),
        *(tiles.bmm // 16, by // 4, 16),
    )
    fours = _fours(np.frombuffer(data, np.uint8, count)).reshape(*grid, 4)
    # Axes: tile row, tile column, sub row, sub column, sixteen, four, row, column → all rows, all columns.
    return np.ascontiguousarray(fours.transpose(0, 2, 4, 6, 1, 3, 5, 7)).reshape(shape)


def unpack_tl2(data: bytes, shape: Shape, tiles: Tiles) -> np.ndarray:
    """Return int8 `[out, in]` of TL2: whole tiles as triples of columns, what is left of a row as pairs."""
    rows, columns = shape
    left = columns % tiles.bk
    triples = columns - left
    nibbles, signs = rows * triples // 6, rows * triples // 24
    values = np.empty(shape, np.int8)
    values[:, :triples] = _triples(
        np.frombuffer(data, np.uint8, nibbles),
        np.frombuffer(data, "<u2", signs // 2, offset=nibbles),
        (rows, triples),
        tiles,
    )
    pairs = np.frombuffer(data, np.uint8, rows * left // 4, offset=nibbles + signs)
    grid = (rows // tiles.bm, left // 32, tiles.bm // 32, 8, 4, 8, 4)
    # Axes: tile row, tile column, sub row, four columns, eight rows' group, row, column.
    fours = _fours(pairs).reshape(grid)[:, :, :, :, _ROW_GROUPS]
    values[:, triples:] = fours.transpose(0, 2, 4, 5, 1, 3, 6).reshape(rows, left)
    return values


def _triples(packed: np.ndarray, signs: np.ndarray, shape: Shape, tiles: Tiles) -> np.ndarray:
    """Return int8 `[out, in]` of a nibble a triple and a sign bit a triple."""
    rows, columns = shape
    tiled = (rows // tiles.bm, columns // tiles.bk, tiles.bm // 32)
    # Axes: tile row, tile column, sub row, two triples, eight rows' group, row, triple.
    nibbles = np.stack([packed >> 4, packed & 15], axis=-1).reshape(*tiled, tiles.bk // 6, 4, 8, 2)
    nibbles = nibbles[:, :, :, :, _ROW_GROUPS].transpose(0, 2, 4, 5, 1, 3, 6).reshape(rows, columns // 3)
    # Sixteen bits a number: eight triples, and for each the row and the row 16 below, the highest bit first.
    bits = (signs[:, None] >> np.arange(15, -1, -1, dtype=np.uint16)) & 1
    negative = bits.astype(bool).reshape(*tiled, tiles.bk // 24, 16, 8, 2)
    negative = negative.transpose(0, 2, 6, 4, 1, 3, 5).reshape(rows, columns // 3)
    values = _TRIPLES[nibbles]
    values[negative & (nibbles < 14)] *= -1
    return values.reshape(shape)


def _fours(packed: np.ndarray) -> np.ndarray:
    """Return int8 `[byte, 4]`: two pairs of trits a byte, the upper nibble first."""
    return np.stack([_PAIRS[packed >> 4], _PAIRS[packed & 15]], axis=1).reshape(-1, 4)


def _tl1_problem(shape: Shape, tiles: Tiles) -> str | None:
    if tiles.bmm % 16 or 256 % tiles.bmm or 256 // tiles.bmm % 4:
        return f"bmm = {tiles.bmm}; 16, 32 and 64 are allowed"
    return _uneven(shape, tiles, 256 // tiles.bmm, shape[1] % tiles.bk)


def _tl2_problem(shape: Shape, tiles: Tiles) -> str | None:
    if tiles.bmm != 32:
        return f"bmm = {tiles.bmm}; 32 is allowed"
    return _uneven(shape, tiles, 24, shape[1] % tiles.bk % 32)


def _uneven(shape: Shape, tiles: Tiles, sub_columns: int, left: int) -> str | None:
    """Return what does not divide: rows into tiles, tiles into sub-tiles, or the columns, of which `left` are left."""
    if shape[0] % tiles.bm or tiles.bm % tiles.bmm:
        return f"bm = {tiles.bm}, bmm = {tiles.bmm}, which do not divide"
    if tiles.bk % sub_columns or left:
        return f"bk = {tiles.bk}, which does not divide"
    return None
