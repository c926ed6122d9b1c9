"""What goes wrong at both ends of the graph: rows of the embedding, and the head.

A dense head cannot be told apart from any other by a few tokens' logits; only what is known of it is tried.
"""

from collections.abc import Iterator

import numpy as np

from bitnet_engine.diffing import EMBEDDING, HEAD
from bitnet_engine.formats import QuantType
from bitnet_engine.formats.floats import rounded
from bitnet_engine.masters import absmean
from bitnet_parity.diagnosis import operations as o
from bitnet_parity.diagnosis.hypotheses import Alternative
from bitnet_parity.diagnosis.replay import Case
from bitnet_parity.diagnosis.rounding import NOTHING
from bitnet_parity.diagnosis.tensor_causes import BLOCK_TYPES, within_steps

SHIFTS = (-1, 1)
SPREADS = 8.0
"""Standard deviations that the rounding of a head may move a logit by: none of millions is farther."""


def of_embedding(case: Case) -> Iterator[Alternative]:
    """Yield what may have been looked up."""
    table = o.dense(case.reference.weights.read(EMBEDDING))
    for shift in SHIFTS:
        yield Alternative(
            name="embedding-shifted",
            says=f"takes row id {'−' if shift < 0 else '+'} 1 of the embedding",
            should="the reference takes row id",
            compute=lambda inputs, _, shift=shift: table[(inputs[0] + shift) % len(table)],
            of_weight=True,
            remedy="convert the embedding again: its rows are off by one",
        )
    gain = _gain(case)
    yield Alternative(
        name="embedding-scaled",
        says=f"multiplies the embedding by {gain:.6g}",
        should="the graph takes it as it is",
        compute=lambda inputs, _: gain * table[inputs[0]],
        tolerance=1e-6,
        remedy="take the embedding unscaled",
    )
    for kind in (QuantType.F16, QuantType.BF16):
        yield Alternative(
            name="embedding-rounded",
            says=f"has the embedding rounded to {kind}",
            should="the reference has it whole",
            compute=lambda inputs, _, kind=kind: rounded(table[inputs[0]].astype(np.float32), kind).astype(np.float64),
            harmless=True,
            of_weight=True,
            remedy=NOTHING,
        )
    yield from _blocks(case)


def _blocks(case: Case) -> Iterator[Alternative]:
    """The embedding in a block type: what was found lies within that type's steps."""
    for kind in BLOCK_TYPES:
        if within_steps(case.expected, case.found, kind):
            yield _in_steps(case, "embedding", kind)


def _in_steps(case: Case, table: str, kind: QuantType) -> Alternative:
    """Return a table in a block type, whose numbers are taken as they were found."""
    return Alternative(
        name=f"{table}-rounded",
        says=f"has the {table} within the steps of {kind}",
        should="the reference has it whole",
        compute=lambda _, __: case.found,
        harmless=True,
        of_weight=True,
        remedy=NOTHING,
    )


def _gain(case: Case) -> float:
    size = float(np.square(case.expected).sum())
    return float((case.found * case.expected).sum() / size) if size else 1.0


def of_head_in_steps(case: Case) -> Iterator[Alternative]:
    """Yield the head in a block type: every logit lies within what the steps of its row's blocks add up to, at random.

    The loosest of all: to be tried when nothing else explains the logits.
    """
    table = o.dense(case.reference.weights.read(HEAD))
    x = np.square(case.inputs[0])
    for kind, (width, levels) in BLOCK_TYPES.items():
        if table.shape[1] % width:
            continue
        steps = np.repeat(np.abs(table).reshape(len(table), -1, width).max(-1) / levels, width, axis=1)
        spread = np.sqrt(x @ np.square(steps).T / 12)
        if (np.abs(case.found - case.expected) <= SPREADS * spread).all():
            yield _in_steps(case, "head", kind)


def of_head(case: Case) -> Iterator[Alternative]:
    """Yield what else may have made the logits."""
    table = o.dense(case.reference.weights.read(HEAD))
    gain = _gain(case)

    def other(name: str, says: str, head: np.ndarray, remedy: str, *, harmless: bool = False) -> Alternative:
        return Alternative(
            name=name,
            says=says,
            should="the reference has " + ("a tied head" if case.reference.weights.tied else HEAD),
            compute=lambda inputs, _: inputs[0] @ head.T,
            harmless=harmless,
            of_weight=True,
            remedy=remedy,
        )

    for shift in SHIFTS:
        moved = np.roll(table, -shift, axis=0)
        says = f"has logits of id {'−' if shift < 0 else '+'} 1: its rows are off by one"
        yield other("embedding-shifted", says, moved, "convert the embedding again: its rows are off by one")
    yield other("head-scaled", f"has logits times {gain:.6g}", gain * table, "take the head of the reference")
    trits, scale = absmean(table.astype(np.float32))
    ternary = trits * np.float64(scale)
    yield other("head-ternary", "has a ternary head (bug #7)", ternary, "leave the head out of the ternary tensors")
    if not case.reference.weights.tied:
        embedding = o.dense(case.reference.weights.read(EMBEDDING))
        yield other("head-tied", "has the embedding for a head", embedding, "take output.weight for the head")
    for kind in (QuantType.F16, QuantType.BF16):
        half = rounded(table.astype(np.float32), kind).astype(np.float64)
        yield other("head-rounded", f"has the head rounded to {kind}", half, NOTHING, harmless=True)
