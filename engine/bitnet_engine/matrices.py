"""The matrices of a block out of a checkpoint, whatever they are stored as: trits and scales, in one order of rows.

    trits = read_matrix(checkpoint, "blk.0.attn_q.weight", master=True)
    order = hf_order(rows, heads) if is_paired(checkpoint, "attn_q") else slice(None)

Loading, converting and comparing all ask here, so that they cannot read one file as three models. Knows names, no
architecture but the two facts above; no jax.
"""

from dataclasses import replace

import numpy as np

from bitnet_engine.errors import FormatError
from bitnet_engine.formats import Checkpoint, QuantType, StoredTrits, Trits
from bitnet_engine.masters import ternarise, ternary_blocks
from bitnet_engine.naming import is_projection, scale_of

_EXPONENTS = {QuantType.F16: 0x7C00, QuantType.BF16: 0x7F80}
"""The bits of the exponent, which are all set in infinity and NaN only."""


def read_matrix(checkpoint: Checkpoint, name: str, *, master: bool) -> Trits | np.ndarray:
    """Return the matrix `name` as trits and multiply scales, or as float32 `[out, in]` where it is not ternary.

    Floats that are trits times a few scales are taken as those; other floats of a `master` are ternarised by absmean.
    A factor that llama.cpp applies to the result (`blk.0.attn_q.scale`) is part of the scales.

    Raises:
        FormatError: floats that are not finite, a factor that is not one finite number, or bad trits.
        UnsupportedError: a type that is not decoded here.
        StorageError: the file changed, or cannot be read.
    """
    factor = _factor(checkpoint, name)
    if checkpoint.is_ternary(name):
        trits = checkpoint.read_ternary(name)
    else:
        values = read_finite(checkpoint, name)
        if (found := ternary_blocks(values)) is None and not master:
            return values if factor == 1 else values * factor
        found = found or ternarise(values, checkpoint.tensors[name].type)
        trits = Trits(found[0], np.asarray(found[1], np.float32))
    return Trits(trits.values, np.asarray(trits.scale * factor))


def read_packed(checkpoint: Checkpoint, name: str) -> StoredTrits | None:
    """Return the ternary matrix `name` still packed, factor and scale in one; None where `read_matrix` must unpack it.

    Raises:
        FormatError, UnsupportedError, StorageError: as `read_matrix`, but code 3 is not looked for.
    """
    found = checkpoint.read_stored(name) if checkpoint.is_ternary(name) else None
    if found is None:
        return None
    return replace(found, scale=float(np.float32(found.scale) * _factor(checkpoint, name)))


def read_finite(checkpoint: Checkpoint, name: str) -> np.ndarray:
    """Return the tensor `name` as floats; raises as `read_matrix`."""
    values = checkpoint.read_dense(name)
    _expect_finite(checkpoint, name, np.isfinite(values), 0, values.shape)
    return values


def read_rows(checkpoint: Checkpoint, name: str, table: np.ndarray, start: int, stop: int) -> None:
    """Fill these rows of `table` with those of the matrix `name` of floats: float32, or its own type of 16 bits.

    Raises:
        FormatError, UnsupportedError, StorageError: as `read_matrix` of floats.
    """
    first = start * table.shape[1]
    if table.itemsize == 2:
        # Its bits, which no conversion could improve.
        exponent = np.uint16(_EXPONENTS[checkpoint.tensors[name].type])
        bits = np.frombuffer(checkpoint.row_bytes(name, start, stop), "<u2")
        _expect_finite(checkpoint, name, bits & exponent != exponent, first, table.shape)
        table[start:stop].view(np.uint16).reshape(-1)[:] = bits
    else:
        rows = checkpoint.read_rows(name, start, stop)
        _expect_finite(checkpoint, name, np.isfinite(rows), first, table.shape)
        table[start:stop] = rows


def _expect_finite(checkpoint: Checkpoint, name: str, finite: np.ndarray, start: int, shape: tuple[int, ...]) -> None:
    """Refuse a tensor of that shape whose values from element `start` on are not all finite."""
    if finite.all():
        return
    where = np.unravel_index(start + int(np.argmin(finite)), shape)
    raise FormatError(
        f"{checkpoint.path}: tensor '{name}' holds NaN or infinity, first at {[int(i) for i in where]}. "
        f"No result would mean anything; convert the model again."
    )


def check_shape(checkpoint: Checkpoint, name: str, expected: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape than the config gives it.

    Raises:
        FormatError: naming both.
    """
    found = checkpoint.tensors[name].shape
    if found != expected:
        raise FormatError(
            f"{checkpoint.path}: tensor '{name}' has shape {list(found)}; the metadata makes it {list(expected)}."
        )


def is_factor(checkpoint: Checkpoint, name: str) -> bool:
    """Return whether the tensor `name` of a GGUF is the factor of a matrix that is there too."""
    matrix = f"{name.removesuffix('.scale')}.weight"
    scales = checkpoint.format == "gguf" and name == scale_of(matrix)
    return scales and is_projection(matrix) and matrix in checkpoint.tensors


def _factor(checkpoint: Checkpoint, name: str) -> np.float32:
    stored = scale_of(name)
    if not (stored in checkpoint.tensors and is_factor(checkpoint, stored)):
        return np.float32(1)
    values = checkpoint.read_dense(stored)
    if values.size != 1 or not np.isfinite(values).all():
        raise FormatError(
            f"{checkpoint.path}: tensor '{stored}' must hold one finite number, the factor of its matrix; it has shape "
            f"{list(values.shape)}. Convert the model again."
        )
    return np.float32(values.reshape(()))


def is_paired(checkpoint: Checkpoint, part: str) -> bool:
    """Return whether the rows of the matrix `part` are in the order of llama.cpp's rope, pairs (2i, 2i + 1)."""
    return checkpoint.metadata.get("general.architecture") == "llama" and part in ("attn_q", "attn_k")


def hf_order(rows: int, heads: int | None) -> np.ndarray:
    """Return for each of Hugging Face's rows of q or k the row that holds it in `llama` (docs/formats.md §2.11).

    Row p · head_dim / 2 + j of a head (p is 0 or 1) is stored as row 2 · j + p.
    """
    heads = heads if heads and rows % (2 * heads) == 0 else 1
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)


def llama_order(rows: int, heads: int) -> np.ndarray:
    """Return for each row of `llama`'s q or k the row of Hugging Face's that it holds: the inverse of `hf_order`."""
    return np.argsort(hf_order(rows, heads))


def reordered(trits: Trits, order: np.ndarray) -> Trits:
    """Return the matrix whose row i is row `order[i]` of `trits`."""
    return Trits(trits.values[order], trits.scale[order] if trits.scale.ndim else trits.scale)
