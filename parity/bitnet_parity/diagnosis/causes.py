"""What a diagnosis says: causes with their places and proofs, and what is left where nothing explains a difference.

    finding.causes[0].sentence()        # "layer 0, ffn activation: candidate computes silu(gate)·up; config says relu2"
    finding.verdict                     # Verdict.SAME, HARMLESS, EXPLAINED or UNEXPLAINED
    finding.to_json()

Holds numbers and words; finds nothing.
"""

import math
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from bitnet_parity.diagnosis.graph import SPOKEN

SCHEMA, SCHEMA_VERSION = "bitnet-tui/finding", 1
SHOWN_ROWS = 16


class Verdict(StrEnum):
    """How a diagnosis ends."""

    SAME = "SAME"
    """No operation and no weight differs."""
    HARMLESS = "HARMLESS"
    """All that differs is rounding, or another spelling of the same model."""
    EXPLAINED = "EXPLAINED"
    """Every difference has a cause that was proved."""
    UNEXPLAINED = "UNEXPLAINED"
    """Something differs that no hypothesis gives: it is described, and not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One proved cause, in one place or in the same place of several layers."""

    name: str
    """Of the hypothesis: `scale-inverse`, `activation-other`."""
    operation: str
    """The first operation that gives something else; `tokenizer` or `file` where none of the graph does."""
    layer: int | None = None
    """None where it is in no one layer."""
    layers: tuple[int, ...] = ()
    """All layers that have it, where there are several."""
    tensors: tuple[str, ...] = ()
    """Weights that are other than the reference's, by canonical name."""
    rows: tuple[int, ...] = ()
    """Their first rows that are; empty for all, and for none."""
    offset: int | None = None
    """First byte of the first tensor in the candidate's file."""
    says: str
    """What the candidate has or computes."""
    should: str
    """What the reference has."""
    source: str | None = None
    """The reference's weight that the candidate has in that place."""
    evidence: str = ""
    """The numbers that prove it."""
    remedy: str
    """What to do."""
    harmless: bool = False

    def sentence(self) -> str:
        """Return where and what, in one line."""
        spoken = SPOKEN.get(self.operation, self.operation)
        place = spoken if self.layer is None else f"layer {self.layer}, {spoken}"
        more = f" (so in {len(self.layers)} layers)" if len(self.layers) > 1 else ""
        return f"{place}: candidate {self.says}; {self.should}{more}"


@dataclass(frozen=True, slots=True)
class OpResult:
    """How one operation of the candidate compares with the reference's on the candidate's own input."""

    layer: int | None
    operation: str
    residual: float
    """‖found − expected‖ / ‖expected‖; infinity where the candidate's result is not finite."""
    tolerance: float
    cause: str | None
    """Name of what explains it; None where it is within the tolerance, and where nothing does."""

    @property
    def differs(self) -> bool:
        """Whether it is over the tolerance."""
        return self.residual > self.tolerance


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A difference without a name: where it is and what it is like."""

    layer: int | None
    operation: str
    residual: float
    description: tuple[str, ...]
    reproduction: str | None = None
    """The file with the operation's inputs, the candidate's result and the reference's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """NMSE of the logits, candidate against reference: as it is, and with every cause repaired."""

    what: str
    """What was compared with what."""
    before: float
    after: float
    floor: float
    """What the reference differs from itself by, its input moved by half an ulp."""

    @property
    def holds(self) -> bool:
        """Whether the repair brings the candidate back to the noise of the reference."""
        return self.after <= self.floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finished diagnosis."""

    reference: str
    candidate: str
    tokens: tuple[int, ...]
    causes: tuple[Cause, ...]
    unexplained: tuple[Unexplained, ...]
    operations: tuple[OpResult, ...]
    """Every operation that was replayed, in graph order: a layer × operation map of residuals."""
    proof: Proof | None
    """None where nothing differs, or nothing could be run."""

    @property
    def first(self) -> OpResult | None:
        """The first operation that differs, or None."""
        return next((result for result in self.operations if result.differs), None)

    @property
    def verdict(self) -> Verdict:
        """The end of the diagnosis; a repair that does not restore parity leaves it unexplained."""
        if self.unexplained or (self.proof is not None and not self.proof.holds):
            return Verdict.UNEXPLAINED
        if any(not cause.harmless for cause in self.causes):
            return Verdict.EXPLAINED
        return Verdict.HARMLESS if self.causes else Verdict.SAME

    def to_json(self) -> dict[str, Any]:
        """Return plain values; a number that is not finite is None."""
        first = self.first
        values = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "reference": self.reference,
            "candidate": self.candidate,
            "verdict": self.verdict.value,
            "tokens": list(self.tokens),
            "first": None if first is None else asdict(first),
            "causes": [{"sentence": cause.sentence(), **asdict(cause)} for cause in self.causes],
            "unexplained": [asdict(one) for one in self.unexplained],
            "proof": None if self.proof is None else {**asdict(self.proof), "holds": self.proof.holds},
            "operations": [asdict(result) for result in self.operations],
        }
        return _plain(values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def merged(causes: list[Cause]) -> tuple[Cause, ...]:
    """Return the causes with equal ones of several layers as one: a converter's bug is one bug."""
    kept: dict[tuple[str, str, str], Cause] = {}
    for cause in causes:
        key = (cause.name, cause.operation, cause.should if cause.layer is None else "")
        if (first := kept.get(key)) is None:
            kept[key] = replace(cause, layers=() if cause.layer is None else (cause.layer,))
            continue
        layers = first.layers if cause.layer is None else (*first.layers, cause.layer)
        tensors = tuple(dict.fromkeys((*first.tensors, *cause.tensors)))
        kept[key] = replace(first, layers=layers, tensors=tensors)
    return tuple(kept.values())
