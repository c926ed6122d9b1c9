"""Which of the three orders an I2_S file was written in: found by comparing its codes with a reference's.

    match = detect_i2s_layout(candidate, reference)
    match.layout, match.rates           # I2SLayout.B, {A: 0.49, B: 1.0, C: 0.37}
    open_checkpoint(path, i2s_layout=match.layout)

Nothing in a file tells the orders apart: every byte is a valid code in each (docs/formats.md §2.7). The right
one matches the same model in another format, a float master included, in every code. Compares codes alone, neither
scales nor norms.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitnet_engine.errors import FormatError
from bitnet_engine.formats import TERNARY_TYPES, Checkpoint, I2SLayout, QuantType, Trits
from bitnet_engine.formats.floats import WIDTHS
from bitnet_engine.matrices import read_matrix
from bitnet_engine.naming import canonical

MATCHES = 0.999
"""Share of equal codes from which a layout is the right one: a master and its packed copy differ in 1 of 10,000."""

SAMPLE = 8
"""Matrices compared: one program wrote the file, in one order."""

PERMUTED = ("attn_q.weight", "attn_k.weight")
"""In files of the llama architecture the rows of these are in another order, which says nothing of the layout."""


@dataclass(frozen=True, slots=True)
class LayoutMatch:
    """How many codes of an I2_S file equal a reference's, by layout, and which layout that proves."""

    layout: I2SLayout | None
    """None where no layout matches, or more than one."""
    rates: dict[I2SLayout, float]
    """Share of equal codes, 0 to 1; 0 for a layout that cannot hold a shape of the file."""
    tensors: int
    weights: int

    def evidence(self) -> str:
        """Return what was seen: the rate of each layout, and in how many matrices."""
        rates = ", ".join(f"{layout} {rate:.4f}" for layout, rate in self.rates.items())
        return f"share of equal codes in {self.tensors} matrices: {rates}"

    def describe(self) -> str:
        """Return one line: the layout, or why there is none, and the evidence."""
        if self.layout is not None:
            return f"layout {self.layout} ({self.evidence()})"
        if matching := [layout.value for layout, rate in self.rates.items() if rate >= MATCHES]:
            return f"ambiguous: {', '.join(matching)} match alike, the matrices are too uniform ({self.evidence()})"
        return f"no layout matches: the reference is another model, or the codes are corrupt ({self.evidence()})"

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, strings and numbers."""
        rates = {layout.value: rate for layout, rate in self.rates.items()}
        layout = None if self.layout is None else self.layout.value
        return {"layout": layout, "rates": rates, "tensors": self.tensors, "weights": self.weights}


def detect_i2s_layout(candidate: Checkpoint, reference: Checkpoint) -> LayoutMatch:
    """Return the layout of the I2_S tensors of `candidate`, as far as `reference` proves it.

    The reference is the same model with its trits in another type, in floats, or in I2_S of a known layout.

    Raises:
        FormatError: no I2_S matrix of the candidate is a ternary one of the same shape in the reference.
        UnsupportedError, StorageError: as `Checkpoint.read_codes`.
    """
    pairs = _pairs(candidate, reference)
    if not pairs:
        raise FormatError(
            f"{candidate.path}: has no I2_S matrix that {reference.path} holds as trits or floats of the same shape; "
            f"pass the same model, packed, in floats, or in TQ1_0, TQ2_0 or I2_S of a known layout"
        )
    equal = dict.fromkeys(I2SLayout, 0)
    weights = 0
    for name, other in pairs:
        expected = _expected(reference, other)
        weights += expected.size
        for layout in I2SLayout:
            if (values := _codes(candidate, name, layout)) is not None:
                equal[layout] += int(np.count_nonzero(values == expected))
    rates = {layout: count / weights if weights else 0.0 for layout, count in equal.items()}
    matching = [layout for layout, rate in rates.items() if rate >= MATCHES]
    return LayoutMatch(matching[0] if len(matching) == 1 else None, rates, len(pairs), weights)


def _pairs(candidate: Checkpoint, reference: Checkpoint) -> list[tuple[str, str]]:
    """Return up to SAMPLE pairs of names, spread over the file."""
    names = {
        canonical(tensor.name): tensor.name
        for tensor in reference.tensors.values()
        if tensor.type in TERNARY_TYPES or tensor.type in WIDTHS
    }
    pairs = [
        (tensor.name, names[canonical(tensor.name)])
        for tensor in candidate.tensors.values()
        if tensor.type is QuantType.I2_S
        and canonical(tensor.name) in names
        and reference.info(names[canonical(tensor.name)]).shape == tensor.shape
    ]
    kept = [pair for pair in pairs if not canonical(pair[0]).endswith(PERMUTED)] or pairs
    return kept[:: max(1, -(-len(kept) // SAMPLE))]


def _expected(reference: Checkpoint, name: str) -> np.ndarray:
    """Return the codes of a reference's matrix; a float master's are those it is ternarised to on loading."""
    if reference.is_ternary(name):
        return reference.read_codes(name).values
    trits = read_matrix(reference, name, master=True)
    assert isinstance(trits, Trits)  # a master's always are
    return trits.values


def _codes(candidate: Checkpoint, name: str, layout: I2SLayout) -> np.ndarray | None:
    """Return the codes of a tensor read in `layout`, or None where it cannot hold the shape."""
    try:
        return candidate.read_as(i2s_layout=layout).read_codes(name).values
    except FormatError:
        return None
