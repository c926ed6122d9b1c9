"""What a checkpoint is made of: storage types, tensors, findings, and the limits of a header.

    info = checkpoint.tensors["blk.0.attn_q.weight"]
    info.type, info.shape, info.nbytes          # QuantType.TQ2_0, (2560, 2560), 1689600

Shapes are in torch order, `[out, in]`, whatever the file writes. Knows sizes; reads and decodes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

ByteOrder = Literal["little", "big"]


class QuantType(StrEnum):
    """How a tensor's numbers are stored, spelled as ggml does, or as SafeTensors where ggml has none."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    F64 = "F64"
    I8 = "I8"
    I16 = "I16"
    I32 = "I32"
    I64 = "I64"
    Q4_0 = "Q4_0"
    Q4_1 = "Q4_1"
    Q5_0 = "Q5_0"
    Q5_1 = "Q5_1"
    Q8_0 = "Q8_0"
    Q8_1 = "Q8_1"
    Q2_K = "Q2_K"
    Q3_K = "Q3_K"
    Q4_K = "Q4_K"
    Q5_K = "Q5_K"
    Q6_K = "Q6_K"
    Q8_K = "Q8_K"
    IQ2_XXS = "IQ2_XXS"
    IQ2_XS = "IQ2_XS"
    IQ3_XXS = "IQ3_XXS"
    IQ1_S = "IQ1_S"
    IQ4_NL = "IQ4_NL"
    IQ3_S = "IQ3_S"
    IQ2_S = "IQ2_S"
    IQ4_XS = "IQ4_XS"
    IQ1_M = "IQ1_M"
    MXFP4 = "MXFP4"
    NVFP4 = "NVFP4"
    Q1_0 = "Q1_0"
    Q2_0 = "Q2_0"
    TQ1_0 = "TQ1_0"
    TQ2_0 = "TQ2_0"
    I2_S = "I2_S"
    I8_S = "I8_S"
    IQ1_BN = "IQ1_BN"
    IQ2_BN = "IQ2_BN"
    TL1 = "TL1"
    TL2 = "TL2"
    HF_PACKED = "HF_PACKED"
    """Four trits a byte along the output axis: a U8 `<p>.weight` beside its `<p>.weight_scale`."""
    U8 = "U8"
    U16 = "U16"
    U32 = "U32"
    U64 = "U64"
    BOOL = "BOOL"
    C64 = "C64"
    F8_E4M3 = "F8_E4M3"
    F8_E5M2 = "F8_E5M2"
    F8_E8M0 = "F8_E8M0"
    UNKNOWN = "UNKNOWN"
    """A type id or dtype that this reader has no size for; the tensor is listed and cannot be read."""


class I2SLayout(StrEnum):
    """The order of the trits in I2_S, which no file states (docs/formats.md §2.7)."""

    A = "A"
    """Blocks of 128 in 32 bytes: every published file, and the builds for x86."""
    B = "B"
    """Blocks of 64 in 16 bytes: the builds for ARM since November 2025."""
    C = "C"
    """Four rows to a byte: the builds for x86 without ACT_PARALLEL."""


Basis = Literal["given", "detected", "assumed"]
"""Why an I2_S file is read in its layout: the caller said so, a reference proved it, or nothing spoke against A."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read in what it does not state; all None where it leaves nothing open."""

    i2s_layout: I2SLayout | None = None
    """None where there are no I2_S tensors."""
    i2s_basis: Basis | None = None
    i2s_evidence: str = ""
    """What a detection saw, also one that proved nothing; empty without one."""
    kernel_config: str | None = None
    """Path of the file that gave the tiles of TL1 and TL2 tensors."""
    kernel_config_sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


TERNARY_TYPES = frozenset(
    {
        QuantType.HF_PACKED,
        QuantType.I2_S,
        QuantType.IQ1_BN,
        QuantType.IQ2_BN,
        QuantType.TL1,
        QuantType.TL2,
        QuantType.TQ1_0,
        QuantType.TQ2_0,
    }
)
"""Types whose every weight is one of -1, 0, +1 times a scale."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header declares it: name, type, logical shape, and where its bytes lie."""

    name: str
    type: QuantType
    type_id: int | None
    """The number in a GGUF file; None in SafeTensors."""
    shape: tuple[int, ...]
    """Torch order `[out, in]`, in weights: a packed `[rows, in]` of HF is `[4 * rows, in]` here."""
    file: Path
    offset: int
    """First byte, counted from the start of `file`."""
    nbytes: int

    @property
    def n_elements(self) -> int:
        """The number of weights."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reader noticed and went on: what, about which tensor or file, and what to do."""

    code: str
    severity: Literal["note", "warning", "error"]
    subject: str
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a header may ask for before it is refused; an honest model stays far below each.

    The largest vocabularies in use need 14 MB of header and half a million strings. Which are in force in a process,
    `formats.limits` says.
    """

    header_bytes: int = 256 * 1024 * 1024
    json_bytes: int = 16 * 1024 * 1024
    json_values: int = 1_750_000
    tokenizer_bytes: int = 64 * 1024 * 1024
    metadata_keys: int = 65_536
    metadata_strings: int = 4_000_000
    tensors: int = 200_000
    dimensions: int = 8


DEFAULT_LIMITS = Limits()


def raised_by(name: str) -> str:
    """Return what a message says of a limit that refused."""
    return f"raise it with --limit {name}=N"


@dataclass(frozen=True, slots=True, eq=False)
class Trits:
    """A ternary matrix out of its packing: `weight = values * scale`.

    `values` is int8 `[out, in]` in {-1, 0, 1}. `scale` is float32, `()` for the whole matrix or
    `[out, n]`, one for each of n equal blocks along a row: blocks of 256 in TQ1_0 and TQ2_0, the whole row
    (n = 1) in IQ1_BN and IQ2_BN.
    """

    values: np.ndarray
    scale: np.ndarray

    def uniform_scale(self) -> float | None:
        """Return the one scale of the matrix, or None where blocks differ.

        ggml writes d = 0 for a block of zeros, so such a block fits any scale.
        """
        if self.scale.ndim == 0:
            return float(self.scale)
        empty = self.scale == 0
        scales = np.unique(self.scale[~empty])
        if not len(scales):
            return 0.0
        return None if len(scales) > 1 or self._blocks()[empty].any() else float(scales[0])

    def dense(self) -> np.ndarray:
        """Return the weights, float32 `[out, in]`."""
        if self.scale.ndim == 0:
            return self.values * self.scale
        return (self._blocks() * self.scale[..., None]).reshape(self.values.shape)

    def _blocks(self) -> np.ndarray:
        # Not reshape(..., -1), which has no answer for a matrix without columns.
        width = self.values.size // self.scale.size if self.scale.size else 0
        return self.values.reshape(*self.scale.shape, width)


Packing = Literal["HF_PACKED", "I2_S A", "I2_S B", "TQ2_0", "TQ1_0"]
"""A packing that a kernel's layout is made from as it is, without int8 trits between."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredTrits:
    """A ternary matrix still packed as its file packs it, in little-endian order: one finite scale, codes unchecked."""

    packing: Packing
    data: bytes
    shape: tuple[int, int]
    scale: float


def impossible(shape: Sequence[int]) -> str | None:
    """Return why no array of `shape` can be, or None: 8 bytes for each element have to fit in 63 bits.

    An extent of 0 makes it empty and no smaller: numpy counts the others, and what is kept for each row or column of it
    is bounded by no byte of the file.
    """
    count = prod(extent or 1 for extent in shape)
    if 0 in shape and count > _LARGEST_EMPTY:
        return f"no element, and extents beyond {_LARGEST_EMPTY}"
    return "more elements than 60 bits can count" if count >= 2**60 else None


_LARGEST_EMPTY = 1 << 24


def quoted(name: str) -> str:
    """Return a name from a file as it may stand in a one-line message: escaped, and not too long."""
    return repr(name) if len(name) <= 80 else f"{name[:77]!r}... ({len(name)} characters)"
