"""Two checkpoints, weight by weight: which differ, and the cause of each that has one.

    for step in weight_steps(reference, candidate):     # (name, index, count) before each, then a Difference

One matrix of each side is in memory at a time. A permutation of features that all weights of a block share changes
nothing, and is told once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bitnet_engine.diffing import HEAD
from bitnet_engine.formats import Trits
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.causes import Cause
from bitnet_parity.diagnosis.matrices import cycle
from bitnet_parity.diagnosis.rounding import NOTHING
from bitnet_parity.diagnosis.rows import explain_rows
from bitnet_parity.diagnosis.tensor_causes import explain_tensor, same
from bitnet_parity.diagnosis.weights import CheckpointWeights

FFN = ("ffn_gate", "ffn_up", "ffn_sub_norm")
"""Weights of the feed-forward whose rows are its features; the columns of ffn_down are too."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A weight that is not the reference's."""

    tensor: str
    cause: Cause | None
    """None where nothing known makes one of the other."""
    description: tuple[str, ...] = ()


def weight_steps(
    reference: CheckpointWeights, candidate: CheckpointWeights
) -> Iterator[tuple[str, int, int] | Difference]:
    """Yield (tensor, index, count) before each weight that both have, and a Difference after one that differs.

    Raises:
        FormatError, UnsupportedError, StorageError: as reading a checkpoint does.
    """
    names = [name for name in reference.names if name in candidate]
    # A head stored beside a tied embedding is compared with it.
    names += [HEAD] if HEAD in candidate and HEAD not in reference else []
    permuted: set[str] = set()
    for index, name in enumerate(sorted(names, key=_graph_order), 1):
        yield name, index, len(names)
        if name in permuted or same(mine := reference.read(name), theirs := candidate.read(name)):
            continue
        if name.endswith("ffn_gate.weight") and (cause := _features(reference, candidate, name)) is not None:
            permuted |= set(cause.tensors)
            yield Difference(name, cause)
            continue
        yield _difference(reference, candidate, name, mine, theirs)


def _graph_order(name: str) -> tuple[int, int, str]:
    """By layer; ffn_gate first in its own, whose order of features decides on the others'."""
    pieces = name.split(".")
    layer = int(pieces[1]) if pieces[0] == "blk" else -1 if pieces[0] == "token_embd" else 1 << 31
    return layer, 0 if "ffn_gate" in name else 1, name


def _difference(
    reference: CheckpointWeights, candidate: CheckpointWeights, name: str, mine: o.Matrix, theirs: o.Matrix
) -> Difference:
    info = candidate.info(name)
    named = explain_tensor(reference, name, mine, theirs, info.type)
    if named is None:
        return Difference(name, None, _described(mine, theirs))
    stored = "the embedding" if name == HEAD and reference.tied else name
    cause = Cause(
        name=named.name,
        operation=name.split(".")[-2],
        layer=int(name.split(".")[1]) if name.startswith("blk.") else None,
        tensors=(name,),
        rows=named.rows[:16],
        offset=info.offset,
        says=named.says,
        should=f"the reference has {stored}",
        source=named.source,
        evidence="what the reference's weight becomes by it is the candidate's, number for number",
        remedy=named.remedy,
        harmless=named.harmless,
    )
    return Difference(name, cause)


def _features(reference: CheckpointWeights, candidate: CheckpointWeights, name: str) -> Cause | None:
    """Return the harmless cause that a feed-forward block's features are in another order, alike in all its weights."""
    mine, theirs = reference.read(name), candidate.read(name)
    a, b = o.dense(mine), o.dense(theirs)
    if a.shape != b.shape:
        return None
    found = explain_rows(b, a, np.full(a.shape[1], np.inf), 0.0, np.flatnonzero((a != b).any(1)))
    if found is None or found.source is None or found.name != "rows-permuted":
        return None
    order = np.arange(len(a))
    order[list(found.rows)] = found.source
    layer = int(name.split(".")[1])
    names = [f"blk.{layer}.{part}.weight" for part in (*FFN, "ffn_down")]
    present = [weight for weight in names if weight in reference]
    for weight in present:
        one, other = o.dense(reference.read(weight)), o.dense(candidate.read(weight))
        if not np.array_equal(one[:, order] if "ffn_down" in weight else one[order], other):
            return None
    return Cause(
        name="features-permuted",
        operation="ffn_gate",
        layer=layer,
        tensors=tuple(present),
        offset=candidate.info(name).offset,
        says=f"has the features of the feed-forward in another order, alike in all its weights: {cycle(order)}",
        should="the sums are the same",
        evidence="one order of features makes every weight of the block the candidate's",
        remedy=NOTHING,
        harmless=True,
    )


def _described(mine: o.Matrix, theirs: o.Matrix) -> tuple[str, ...]:
    """Describe a difference that has no name: how much, where, and how far."""
    if isinstance(mine, Trits) and isinstance(theirs, Trits) and mine.values.shape == theirs.values.shape:
        wrong = mine.values != theirs.values
        rows = np.flatnonzero(wrong.any(1))
        share = f"{np.count_nonzero(wrong)} of {wrong.size} trits differ, in {len(rows)} rows"
        return (
            share,
            f"first rows {rows[:8].tolist()}",
            f"scales {mine.scale.flat[0]:.7g}, {theirs.scale.flat[0]:.7g}",
        )
    a, b = o.dense(mine), o.dense(theirs)
    if a.shape != b.shape:
        return (f"shapes {list(a.shape)} and {list(b.shape)}",)
    rows = np.flatnonzero((a != b).reshape(len(a), -1).any(1))
    return (
        f"{np.count_nonzero(a != b)} of {a.size} numbers differ, in {len(rows)} rows",
        f"relative {o.residual(b, a):.3g}",
    )
