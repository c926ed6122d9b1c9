"""What a comparison yields on its way: stages, the plan, a row a token, a row a document.

Fields are those of the events of the same name (`stage`, `plan`, `token`, `document`). A value that does not
exist is NaN here; `to_json` turns it into null.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

TopId = tuple[int, str, float]
"""An id, its text, its logit."""


@dataclass(frozen=True)
class Stage:
    """A step that began (`seconds` None) or ended."""

    name: str
    status: Literal["start", "done"]
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `stage` event."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """How many documents and tokens will be scored."""

    documents: int
    tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `plan` event."""
        return asdict(self)


@dataclass(frozen=True)
class TokenRow:
    """One scored token.

    `index` counts over the run, `position` is the place of `token` in its document's ids, both from 0. The numbers
    are those of `metrics.WindowMetrics`: nll, kl and js in nats, tau_b exact where tau_b_error is 0, margin the
    reference's best logit less its second; top_* best first.
    """

    index: int
    document: str
    position: int
    token: int
    text: str
    tau_b: float
    tau_b_error: float
    tau_top: float
    kl: float
    js: float
    nll_reference: float
    nll_candidate: float
    delta_p: float
    nmse: float
    cosine: float
    max_abs: float
    overlap: float
    same_top: bool
    margin: float
    top_reference: tuple[TopId, ...]
    top_candidate: tuple[TopId, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `token` event."""
        row = {name: finite(value) for name, value in vars(self).items()}
        for side in ("top_reference", "top_candidate"):
            row[side] = [[token, text, finite(logit)] for token, text, logit in row[side]]
        return row


@dataclass(frozen=True)
class DocumentRow:
    """One scored document; nll_* are sums over its tokens in nats."""

    name: str
    tokens: int
    nll_reference: float
    nll_candidate: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `document` event."""
        return {name: finite(value) for name, value in vars(self).items()}


def finite(value: Any) -> Any:
    """Return `value`, or None for a float that JSON cannot hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
