"""The numbers of one tensor: how many of each trit and where the zeros are, or the range and spread of its floats.

    stats = tensor_stats(checkpoint, "blk.0.attn_q.weight")
    stats.neg, stats.zero, stats.pos, stats.code3, stats.entropy
    tensor_values(checkpoint, "blk.0.attn_q.weight", 8, 16)      # its first rows and columns

What `read_ternary` refuses is counted here, so that a corrupt tensor can be looked at. Judges nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitnet_engine.formats.checkpoint import CODE_3, Checkpoint
from bitnet_engine.formats.types import QuantType, Trits

_CHUNK = 1 << 20
"""Floats summed at a time: keeps the float64 copies small beside the tensor."""

MAP_SHAPE = (16, 32)
"""Blocks of rows and of columns that the map of zeros has at most."""

BINS = 32
"""Bins of a histogram, from the smallest value to the largest."""


@dataclass(frozen=True, slots=True)
class TensorStats:
    """The numbers of one tensor; those of the other kind of tensor are None."""

    name: str
    type: QuantType
    neg: int | None = None
    zero: int | None = None
    pos: int | None = None
    code3: int | None = None
    """Two-bit codes with no meaning; any at all is corruption or a wrong layout."""
    scale: float | None = None
    """None where blocks differ, or where it is not finite."""
    bad_scales: int | None = None
    """Scales that are NaN or infinite."""
    entropy: float | None = None
    """Bits a weight that the shares of the trits carry; log2(3) = 1.585 at most."""
    rms: float | None = None
    min: float | None = None
    max: float | None = None
    nan: int | None = None
    """Values that are NaN or infinite; rms, min, max and histogram leave them out."""
    zeros: tuple[tuple[float, ...], ...] | None = None
    """Share of zeros in each block of rows (down) and columns (across), in three digits."""
    dead_rows: int | None = None
    """Rows of zeros alone: an output that is always zero."""
    dead_columns: int | None = None
    histogram: tuple[int, ...] | None = None
    """Finite values in `BINS` equal steps from min to max; all in the first where these are one."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields that apply to this kind of tensor."""
        ternary = {"neg", "zero", "pos", "code3", "scale", "bad_scales", "entropy"}
        ternary |= {"zeros", "dead_rows", "dead_columns"}
        dense = {"rms", "min", "max", "nan", "histogram"}
        other = dense if self.neg is not None else ternary
        fields = {key: value for key, value in asdict(self).items() if key not in other}
        return fields | {"type": self.type.value}


def tensor_stats(checkpoint: Checkpoint, name: str) -> TensorStats:
    """Return the statistics of tensor `name`.

    Raises:
        FormatError, UnsupportedError, StorageError: as `Checkpoint.read_codes` and `read_dense`.
    """
    kind = checkpoint.info(name).type
    if checkpoint.is_ternary(name):
        return _ternary(name, kind, checkpoint.read_codes(name))
    return _dense(name, kind, checkpoint.read_dense(name))


def _ternary(name: str, kind: QuantType, trits: Trits) -> TensorStats:
    counts = [int(np.count_nonzero(trits.values == value)) for value in (-1, 0, 1, CODE_3)]
    bad = int(np.count_nonzero(~np.isfinite(trits.scale)))
    empty = trits.values == 0
    return TensorStats(
        name=name,
        type=kind,
        neg=counts[0],
        zero=counts[1],
        pos=counts[2],
        code3=counts[3],
        scale=None if bad else trits.uniform_scale(),
        bad_scales=bad,
        entropy=_entropy(counts),
        zeros=_zero_map(empty),
        dead_rows=int(np.count_nonzero(empty.all(axis=1))),
        dead_columns=int(np.count_nonzero(empty.all(axis=0))),
    )


def _zero_map(empty: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Return the share of True in blocks of bool `[rows, columns]`."""
    if not empty.size:
        return ()
    edges = [np.unique(np.arange(most) * size // most) for most, size in zip(MAP_SHAPE, empty.shape, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(empty, edges[1], axis=1, dtype=np.int64), edges[0], axis=0)
    heights, widths = (np.diff(e, append=size) for e, size in zip(edges, empty.shape, strict=True))
    return tuple(tuple(row) for row in np.round(sums / np.outer(heights, widths), 3).tolist())


def _entropy(counts: list[int]) -> float | None:
    """Return the Shannon entropy in bits of the shares of `counts`, or None where there are none."""
    shares = np.array([count for count in counts if count], np.float64)
    if not len(shares):
        return None
    shares /= shares.sum()
    return float(np.sum(shares * -np.log2(shares)))


def _dense(name: str, kind: QuantType, values: np.ndarray) -> TensorStats:
    flat = values.reshape(-1)
    finite, squares, low, high = 0, 0.0, np.inf, -np.inf
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        chunk = chunk[np.isfinite(chunk)].astype(np.float64)
        if chunk.size:
            finite += chunk.size
            squares += float(chunk @ chunk)
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
    if not finite:
        return TensorStats(name=name, type=kind, nan=flat.size)
    rms = float(np.sqrt(squares / finite))
    bins = _histogram(flat, low, high)
    return TensorStats(name=name, type=kind, rms=rms, min=low, max=high, nan=flat.size - finite, histogram=bins)


def _histogram(flat: np.ndarray, low: float, high: float) -> tuple[int, ...]:
    counts = np.zeros(BINS, np.int64)
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        chunk = chunk[np.isfinite(chunk)].astype(np.float64)
        # Halves: of two float64 as far apart as they can be the difference is infinite.
        span = high / 2 - low / 2
        place = (chunk / 2 - low / 2) / span * BINS if span else np.zeros(chunk.size)
        counts += np.bincount(np.minimum(place.astype(np.int64), BINS - 1), minlength=BINS)
    return tuple(counts.tolist())


def tensor_values(checkpoint: Checkpoint, name: str, rows: int, columns: int) -> list[list[float | None]]:
    """Return the first rows and columns of a tensor: trits as -1, 0 and 1 (code 3 as 2), else floats.

    A vector is one row, of more axes the last is taken for columns; NaN and infinity are None.

    Raises:
        FormatError, UnsupportedError, StorageError: as `Checkpoint.read_codes` and `read_dense`.
    """
    shape = checkpoint.info(name).shape
    if checkpoint.is_ternary(name):
        found = checkpoint.read_codes(name).values
    else:
        # Of a matrix its first rows are read alone: an embedding may have a gigabyte.
        found = checkpoint.read_rows(name, 0, min(rows, shape[0])) if len(shape) > 1 else checkpoint.read_dense(name)
    part = found.reshape(-1, shape[-1] if shape else 1)[:rows, :columns]
    return [[float(value) if np.isfinite(value) else None for value in row] for row in part]
