"""The known bugs of ternary files that only the weights show: every tensor is read once, one at a time.

    scan_findings(checkpoint)           # (Finding("code-3", "error", "blk.0.attn_q.weight", ...), ...)

One finding a kind of bug, about the first tensor that has it. Bug numbers are those of docs/formats.md §5. Peak
memory is a few times the largest matrix of a block: embeddings are read in pieces. A float tensor that ends in zeros is
no finding, as padded vocabularies do; one of zeros alone is.
"""

from collections.abc import Iterator
from math import prod
from typing import Literal

import numpy as np

from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.findings import is_projection
from bitnet_engine.formats import Checkpoint, Finding, QuantType, Trits
from bitnet_engine.formats.checkpoint import CODE_3
from bitnet_engine.naming import scale_of

PAGE = 4096
"""Bytes. So many zeros in a row are 16,384 weights of -1, which no model has and an unfinished download does."""

DENSITY = (0.3, 0.85)
"""Shares of non-zero trits that absmean leaves, with room: 0.61 to 0.75 of the usual distributions (§4.4)."""

SMALLEST = 4096
"""Weights below which a share says nothing."""

MAGNITUDES = 6
"""The most scales that a ternary matrix stored as floats is known to have (TriLM, §1.7)."""

PIECE = 1 << 21
"""Floats in memory at a time, where a tensor need not be seen whole."""

Seen = tuple[str, str]
"""Code of a finding, and what is said of one tensor."""

_HEADS = {"output.weight": "token_embd.weight", "lm_head.weight": "model.embed_tokens.weight"}
"""Output heads, and the embeddings that tied models use for one."""

_LOOKUP = frozenset({QuantType.TL1, QuantType.TL2})

_SEVERITY_ADVICE: dict[str, tuple[Literal["note", "warning", "error"], str]] = {
    "code-3": ("error", "fetch or convert the file again; where every matrix has them, try another I2_S layout"),
    "zero-filled": ("error", "compare the file's sha256 with its publisher's and fetch it again"),
    "scale-not-finite": ("error", "convert the model again"),
    "scale-zero": ("error", "convert the model again: these weights are all zero as they stand"),
    "scale-negative": ("warning", "compare with the model it was made from: the signs of all its weights are turned"),
    "scale-one": ("warning", "compare with the model it was made from: converters are known to lose weight_scale"),
    "several-scales": ("note", "convert it to TQ1_0 or TQ2_0 only: types of one scale a matrix cannot hold it"),
    "density": ("warning", "compare with the model it was made from: a wrong layout or absmean shows like this"),
    "already-ternary": ("note", "pack it by its magnitude: a second absmean multiplies the scale by that share"),
    "not-finite": ("error", "convert the model again, in bfloat16 or float32"),
    "all-zero": ("warning", "compare the file's sha256 with its publisher's"),
    "duplicate-head": ("note", "nothing is wrong; a tied model does not need it"),
    "head-differs": ("warning", "compare both with the model they were made from; one was rounded or is stale"),
    "not-scanned": ("note", "convert the model to I2_S, TQ1_0 or TQ2_0 to have them looked at"),
    "unreadable": ("error", "convert the model again"),
}


def scan_findings(checkpoint: Checkpoint) -> tuple[Finding, ...]:
    """Return the findings of every tensor's numbers, the gravest kinds first.

    Raises:
        StorageError: the file changed since it was opened, or cannot be read.
    """
    for step in scan_steps(checkpoint):
        if isinstance(step, list):
            return tuple(step)
    raise AssertionError("scan_steps ends with the findings")


def scan_steps(checkpoint: Checkpoint) -> Iterator[tuple[str, int, int] | list[Finding]]:
    """Scan as `scan_findings` does, yielding (tensor, index, count) before each tensor, and the findings last."""
    seen: dict[str, list[tuple[str, str]]] = {}
    for index, name in enumerate(checkpoint.tensors, 1):
        yield name, index, len(checkpoint.tensors)
        for code, message in _scan(checkpoint, name):
            seen.setdefault(code, []).append((name, message))
    yield [_finding(code, seen[code]) for code in _SEVERITY_ADVICE if code in seen]


def _finding(code: str, tensors: list[tuple[str, str]]) -> Finding:
    severity, advice = _SEVERITY_ADVICE[code]
    name, message = tensors[0]
    more = f"; so it is with {len(tensors) - 1} more" if len(tensors) > 1 else ""
    return Finding(code, severity, name, message + more, advice)


def _scan(checkpoint: Checkpoint, name: str) -> Iterator[Seen]:
    try:
        if checkpoint.is_ternary(name):
            yield from _ternary(checkpoint, name)
        else:
            yield from _dense(checkpoint, name)
    except UnsupportedError:
        yield "not-scanned", f"is {checkpoint.info(name).type}, which is not decoded"
    except FormatError as error:
        yield "unreadable", str(error).removeprefix(f"{checkpoint.info(name).file}: ")


def _ternary(checkpoint: Checkpoint, name: str) -> Iterator[Seen]:
    trits = checkpoint.read_codes(name)
    wrong = int(np.count_nonzero(trits.values == CODE_3))
    if wrong:
        yield "code-3", f"holds code 3, which is no trit, {wrong} times in {trits.values.size}"
    if pages := _zero_pages(checkpoint.read_bytes(name)):
        yield "zero-filled", f"holds {pages} runs of {PAGE} zero bytes, which read as weights of -1"
    elif trits.values.size >= SMALLEST and not wrong:
        share = np.count_nonzero(trits.values) / trits.values.size
        if not DENSITY[0] <= share <= DENSITY[1]:
            yield "density", f"has {share:.1%} non-zero weights; absmean leaves 60 % to 75 %"
    for seen in _scales(trits, checkpoint.info(name).type):
        # A file that keeps its scales in tensors of their own has not lost them.
        if seen[0] != "scale-one" or scale_of(name) not in checkpoint.tensors:
            yield seen


def _zero_pages(data: bytes) -> int:
    pages = np.frombuffer(data, np.uint8, len(data) // PAGE * PAGE).reshape(-1, PAGE)
    return int(np.count_nonzero(~pages.any(axis=1)))


def _scales(trits: Trits, kind: QuantType) -> Iterator[Seen]:
    scale = trits.scale
    if bad := int(np.count_nonzero(~np.isfinite(scale))):
        yield "scale-not-finite", f"has {bad} scales of {scale.size} that are NaN or infinite"
        return
    uniform = trits.uniform_scale()
    if uniform is None:
        found = len(np.unique(scale[scale != 0]))
        # A block of scale 0 that holds weights is the only other way not to be uniform.
        if found > 1:
            yield "several-scales", f"has {found} scales; one for the whole matrix would be wrong"
        else:
            yield "scale-zero", "has blocks with non-zero trits and a scale of 0"
    elif uniform == 0 and trits.values.any():
        yield "scale-zero", "has non-zero trits and a scale of 0"
    elif uniform == 1:
        known = " (the converter of bitnet.cpp does so from packed models)" if kind in _LOOKUP else ""
        yield "scale-one", f"has a scale of exactly 1.0, as where the real one was lost{known}"
    if (scale < 0).any():
        yield "scale-negative", f"has a scale of {float(scale.min()):g}"


def _dense(checkpoint: Checkpoint, name: str) -> Iterator[Seen]:
    bad, filled, few, size = 0, False, False, checkpoint.info(name).n_elements
    for start, values in _pieces(checkpoint, name):
        bad += int(np.count_nonzero(~np.isfinite(values)))
        filled = filled or bool(values.any())
        if start == 0:
            # Most matrices are not ternary, and a few of their values show it.
            few = len(np.unique(np.abs(values.reshape(-1)[:SMALLEST]))) <= MAGNITUDES + 1
    if bad:
        yield "not-finite", f"holds {bad} values of {size} that are NaN or infinite"
    elif not filled:
        if size:
            yield "all-zero", f"holds nothing but zeros, {size} of them"
    elif is_projection(name):
        if few:
            yield from _magnitudes(checkpoint.read_dense(name))
    elif name in _HEADS:
        yield from _head(checkpoint, name)


def _pieces(checkpoint: Checkpoint, name: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, rows) of a float tensor, some megabytes at a time: an embedding is a gigabyte as float32."""
    shape = checkpoint.info(name).shape
    if len(shape) < 2 or 0 in shape:
        yield 0, checkpoint.read_dense(name)
        return
    step = max(1, PIECE // prod(shape[1:]))
    for start in range(0, shape[0], step):
        yield start, checkpoint.read_rows(name, start, min(start + step, shape[0]))


def _magnitudes(values: np.ndarray) -> Iterator[Seen]:
    """Bugs 2 and 21: a matrix of floats that is ternary already."""
    found, left = 0, np.abs(values[values != 0])
    while left.size and found <= MAGNITUDES:
        found, left = found + 1, left[left != left[0]]
    if left.size:
        return
    share = np.count_nonzero(values) / values.size
    if found == 1:
        yield "already-ternary", f"is stored as floats and ternary already: one magnitude, {share:.1%} non-zero"
    else:
        yield "several-scales", f"is stored as floats and ternary already, with {found} magnitudes"


def _head(checkpoint: Checkpoint, name: str) -> Iterator[Seen]:
    """Bug 19: an output head beside the embedding that is nearly, but not quite, the same."""
    embedding, info = _HEADS[name], checkpoint.info(name)
    if embedding not in checkpoint.tensors or checkpoint.is_ternary(embedding):
        return
    if checkpoint.info(embedding).shape != info.shape:
        return
    differing, apart, length = 0, 0.0, 0.0
    for start, head in _pieces(checkpoint, name):
        other = checkpoint.read_rows(embedding, start, start + len(head))
        differing += int(np.count_nonzero(head != other))
        apart += float(np.square(head - other, dtype=np.float64).sum())
        length += float(np.square(other, dtype=np.float64).sum())
    if not differing:
        yield "duplicate-head", f"is {embedding} once more, number for number"
        return
    distance = (apart / max(length, np.finfo(np.float64).tiny)) ** 0.5
    tied = checkpoint.metadata.get("tie_word_embeddings") is True
    if tied or distance < 0.1:
        said = ", and config.json says they are tied" if tied else ""
        share = f"{differing} of {info.n_elements} values"
        yield "head-differs", f"differs from {embedding} in {share}, by {distance:.2%}{said}"
