"""The numbers of one tensor: how many of each trit, or the range and size of its floats.

    stats = tensor_stats(checkpoint, "blk.0.attn_q.weight")
    stats.neg, stats.zero, stats.pos, stats.code3, stats.entropy

What `read_ternary` refuses is counted here, so that a corrupt tensor can be looked at. Judges nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitnet_engine.formats.checkpoint import CODE_3, Checkpoint
from bitnet_engine.formats.types import QuantType, Trits

_CHUNK = 1 << 20
"""Floats summed at a time: keeps the float64 copies small beside the tensor."""


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
    """Values that are NaN or infinite; rms, min and max leave them out."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields that apply to this kind of tensor."""
        ternary = {"neg", "zero", "pos", "code3", "scale", "bad_scales", "entropy"}
        dense = {"rms", "min", "max", "nan"}
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
    )


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
    return TensorStats(name=name, type=kind, rms=rms, min=low, max=high, nan=flat.size - finite)
