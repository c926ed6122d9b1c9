"""Faults of scales: the number a ternary matrix is multiplied with is another, its trits are right.

Sub norms hide some of them: a factor on attn_v, and with relu² on ffn_gate and ffn_up, never reaches the logits
(docs/formats.md §4.4). They are faults all the same, and weights show them.
"""

from collections.abc import Callable
from math import log, pi, sqrt

import numpy as np

from bitnet_engine.errors import SettingError
from bitnet_engine.formats import Trits
from bitnet_engine.naming import PROJECTIONS
from bitnet_parity.faults.draft import Draft, Place, split
from bitnet_parity.faults.fault import GGUF, MEMORY, Fault, Fingerprint

TQ_BLOCK = 256
TYPICAL_GAIN = 1.0625
"""A factor that is exact in every scale type and far above any rounding of one."""


def _scaled(factor: Callable[[Trits], np.ndarray | float], note: str) -> Callable[[Draft], Place]:
    """Return a fault that gives each chosen matrix the scale `factor(matrix)`."""

    def apply(draft: Draft) -> Place:
        names = draft.matrices()
        before = after = 0.0
        for name in names:
            matrix = draft.tensors.trits(name)
            scale = np.asarray(factor(matrix), np.float32)
            before, after = float(matrix.scale.flat[0]), float(scale.flat[0])
            draft.tensors[name] = Trits(matrix.values, scale)
        return _place(names, f"{note}: {before:.6g} became {after:.6g}" if len(names) == 1 else note)

    return apply


def _place(names: list[str], detail: str) -> Place:
    layer, part = split(names[0])
    if len(names) == 1:
        return Place(layer, part, names[0], (), detail)
    return Place(None, PROJECTIONS[0], None, (), f"{detail}, in all {len(names)} matrices")


def _density(matrix: Trits) -> float:
    return np.count_nonzero(matrix.values) / matrix.values.size


def _largest(matrix: Trits) -> np.ndarray:
    # Of n normal numbers the largest magnitude is about σ·√(2·ln(2n)), their mean magnitude σ·√(2/π).
    return np.asarray(matrix.scale * sqrt(pi * log(2 * matrix.values.size)), np.float32)


def _another(draft: Draft) -> Place:
    name = draft.matrix()
    mine = draft.tensors.trits(name)
    layer, part = split(name)
    names = [f"blk.{layer}.{other}.weight" for other in PROJECTIONS if other != part]
    for other in draft.random.permutation(names):
        theirs = draft.tensors[str(other)]
        if isinstance(theirs, Trits) and theirs.scale.shape == mine.scale.shape and (theirs.scale != mine.scale).any():
            draft.tensors[name] = Trits(mine.values, theirs.scale)
            return Place(layer, part, name, (), f"has the scale of {other}")
    raise SettingError(f"All matrices of layer {layer} have one scale; choose another fault.")


def _block(draft: Draft) -> Place:
    fits = [part for part in PROJECTIONS if draft.tensors.trits(f"blk.0.{part}.weight").values.shape[1] % TQ_BLOCK == 0]
    if not fits:
        raise SettingError(f"No matrix has rows of a multiple of {TQ_BLOCK}, the block that has a scale of its own.")
    name = draft.matrix(*fits)
    matrix = draft.tensors.trits(name)
    rows, count = matrix.values.shape[0], matrix.values.shape[1] // TQ_BLOCK
    blocks = matrix.scale.shape[1] if matrix.scale.ndim else 1
    spread = np.broadcast_to(matrix.scale, (rows, blocks))
    scale = np.repeat(spread, count // blocks, axis=1) if count >= blocks else spread.copy()
    row, block = int(draft.random.integers(rows)), int(draft.random.integers(scale.shape[1]))
    scale[row, block] *= 2
    draft.tensors[name] = Trits(matrix.values, scale)
    return Place(*split(name), name, (row,), f"block {block} of row {row} has twice its scale")


def _merged(draft: Draft) -> Place:
    names = [name for name in draft.matrices() if draft.tensors.trits(name).uniform_scale() is None]
    if not names:
        raise SettingError("The matrix has one scale already; this fault is one of models trained in shards (TriLM).")
    for name in names:
        matrix = draft.tensors.trits(name)
        draft.tensors[name] = Trits(matrix.values, np.asarray(matrix.scale.max(), np.float32))
    return _place(names, "several scales became the largest of them")


def _head(draft: Draft) -> Place:
    name = "output.weight" if "output.weight" in draft.tensors else "token_embd.weight"
    draft.tensors["output.weight"] = draft.tensors.floats(name) * np.float32(0.5)
    return Place(None, "output", "output.weight", (), "all logits are halved; no argmax moves")


def _fault(name: str, summary: str, apply: Callable[[Draft], Place], **more: object) -> Fault:
    fields: dict[str, object] = {"where": "any ternary matrix", "fingerprint": Fingerprint.GAIN} | more
    return Fault(name=name, summary=summary, kind="scale", apply=apply, **fields)  # pyright: ignore[reportArgumentType]


FAULTS = (
    _fault(
        "scale-inverse",
        "a scale that divides was read as one that multiplies, or the reverse",
        _scaled(lambda m: 1 / m.scale, "the reciprocal"),
        bugs=(3,),
    ),
    _fault("scale-lost", "the scale was lost: it reads as 1", _scaled(lambda _: 1.0, "lost"), bugs=(5, 6)),
    _fault(
        "scale-double-absmean",
        "absmean ran again on a matrix that was ternary already: times its share of non-zeros",
        _scaled(lambda m: m.scale * np.float32(_density(m)), "times the density"),
        bugs=(2,),
    ),
    _fault(
        "scale-max",
        "the largest magnitude of the master for the mean one, as of normal weights",
        _scaled(_largest, "the largest for the mean"),
        bugs=(3,),
    ),
    _fault("scale-gain", "a scale that is off by a sixteenth", _scaled(lambda m: m.scale * TYPICAL_GAIN, "a gain")),
    _fault("scale-negative", "a scale with the wrong sign", _scaled(lambda m: -m.scale, "negative")),
    _fault("scale-of-another", "the scale of another matrix of the layer", _another),
    _fault(
        "scale-of-block",
        "one block of 256 weights has twice its scale",
        _block,
        fingerprint=Fingerprint.FEW,
        storages=GGUF[1:],
        refused=GGUF[1:],
    ),
    _fault(
        "scales-merged",
        "a matrix trained in shards has one scale for all of them",
        _merged,
        bugs=(21,),
        targets=MEMORY,
    ),
    _fault("head-scale", "the output head is halved", _head, where="output head"),
)
"""In the order of docs/diagnose.md."""
