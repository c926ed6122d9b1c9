"""Two recorded runs side by side: their headline numbers, and the tokens whose status differs.

    both = RunComparison.of(store.open("t5k1aa01"), store.open("t5k2zx7f"))
    both.rows()                # [("median τ-b", ".912", ".640", "-.272"), …]
    both.changes               # [Change(index=17, text=" Seine", …), …]

Runs are compared token by token as far as they scored the same ones, from the first; where they part is said.
Reads two whole streams: call it in a thread. Knows no screen.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from bitnet_tui.core.events import Event
from bitnet_tui.core.parity_view import ParityView, TokenStatus
from bitnet_tui.core.text import number


@dataclass(frozen=True, slots=True)
class Change:
    """A token whose status differs between two runs."""

    index: int
    text: str
    statuses: tuple[TokenStatus, TokenStatus]
    tau_b: tuple[float, float]
    """NaN where undefined."""


class RunComparison:
    """What changed from the first run to the second."""

    def __init__(self, first: ParityView, second: ParityView) -> None:
        self.first, self.second = first, second
        self.compared = _together(first, second)
        """Tokens that both scored, from the first on."""
        self.changes = [change for index in range(self.compared) if (change := self._change(index))]

    @classmethod
    def of(cls, first: Iterable[Event], second: Iterable[Event]) -> Self:
        """Read two streams to their ends and compare them."""
        return cls(_read(first), _read(second))

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return name, both values and their difference of each headline number, as text."""
        sides = (self.first, self.second)
        words = [
            ("verdict", *(view.verdict or view.state.value for view in sides)),
            ("profile", *(view.profile or "—" for view in sides)),
        ]
        rows = [(name, one, two, "" if one == two else "≠") for name, one, two in words]
        rows.append(_row("tokens", *(float(len(view.tokens)) for view in sides), digits=0))
        rows.append(_row("median τ-b", *(view.median_tau for view in sides), digits=4))
        rows.append(_row("Δ mean NLL", *(view.delta_nll for view in sides), digits=6))
        rows.append(_row("diverging", *(float(view.diverging().sum()) for view in sides), digits=0))
        rows.append(_row("flips", *(float(view.tokens.flips.sum()) for view in sides), digits=0))
        return rows

    def summary(self) -> str:
        """Return how many tokens were compared and how many changed, and where the runs part."""
        most = max(len(self.first.tokens), len(self.second.tokens))
        parts = f"; the runs score different tokens from {self.compared + 1} on" if self.compared < most else ""
        return f"{len(self.changes)} of {self.compared} tokens changed status{parts}"

    def _change(self, index: int) -> Change | None:
        one, two = self.first.status(index), self.second.status(index)
        if one is two:
            return None
        tau_b = self.first.tokens.value("tau_b", index), self.second.tokens.value("tau_b", index)
        return Change(index, self.first.tokens.texts[index], (one, two), tau_b)


def _read(events: Iterable[Event]) -> ParityView:
    view = ParityView()
    for event in events:
        view.feed(event)
    view.finish()
    return view


def _together(first: ParityView, second: ParityView) -> int:
    """Return how many tokens from the first on are the same text at the same place in both runs."""
    one, two = first.tokens, second.tokens
    shorter = min(len(one), len(two))
    pairs = zip(one.texts[:shorter], one.documents[:shorter], two.texts[:shorter], two.documents[:shorter], strict=True)
    for index, (text, document, other_text, other_document) in enumerate(pairs):
        if (text, document) != (other_text, other_document) or one.position(index) != two.position(index):
            return index
    return shorter


def _row(name: str, one: float, two: float, *, digits: int) -> tuple[str, str, str, str]:
    change = two - one if math.isfinite(one) and math.isfinite(two) else float("nan")
    shown = "=" if change == 0 else f"{'+' if change > 0 else ''}{number(change, digits)}"
    return name, number(one, digits), number(two, digits), shown
