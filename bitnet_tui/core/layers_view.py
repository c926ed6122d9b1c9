"""What the Layers screen shows, built from the events of one diagnosis: its steps, then operations by layer.

    view = LayersView()
    for event in events:
        view.feed(event)
    view.grid.at(row, column)          # an Operation, or None where the graph has none
    view.first                         # (row, column) of the first operation that differs
    view.rows((row, column))           # what is said of it, and the whole finding

Strings for display are safe. Knows nothing of colours and keys.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitnet_tui.core.events import Event
from bitnet_tui.core.finding_text import causes, first_text, proof_text, repaired_text, unexplained
from bitnet_tui.core.inspect_view import Row
from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.core.run_state import RunView
from bitnet_tui.core.session import BitnetError, side_path
from bitnet_tui.core.text import safe

ROUNDING = 1e-7
"""Taken for the tolerance of an operation that has to be exact."""
DECADES = 6.0
"""Over the tolerance by so many powers of ten, a cell is as hot as one gets."""
_EXACT, _ROUNDING, _OFF, _MOST = 0.0, 0.2, 0.4, 1.0
LEGEND = (_EXACT, _ROUNDING, _OFF, _MOST)
"""The heat of a cell that is exact, within rounding, just beyond it, and as far off as is told apart."""

Place = tuple[int, int]
"""Row and column of the map."""


@dataclass(frozen=True)
class Operation:
    """One operation of one layer."""

    layer: int | None
    name: str
    residual: float | None
    """‖found − expected‖ / ‖expected‖; None where the candidate's result is not finite."""
    tolerance: float
    cause: str | None

    @property
    def differs(self) -> bool:
        """Whether it is farther off than rounding."""
        return self.residual is None or self.residual > self.tolerance

    @property
    def heat(self) -> float:
        """How far off it is, 0 to 1: under 0.3 within the tolerance, from 0.4 on beyond it."""
        if self.residual is None:
            return _MOST
        if not self.differs:
            return _EXACT if self.residual == 0 else _ROUNDING
        over = math.log10(self.residual / max(self.tolerance, ROUNDING))
        return min(_MOST, _OFF + (_MOST - _OFF) * max(0.0, over) / DECADES)


class Grid:
    """Operations as a map: a row for each kind, a column for each layer, before them the embedding, behind the head."""

    def __init__(self, operations: list[Operation]) -> None:
        self.names = list(dict.fromkeys(one.name for one in operations))
        layers = list(dict.fromkeys(one.layer for one in operations if one.layer is not None))
        before = [one for one in operations[:1] if one.layer is None]
        after = [one for one in operations[1:] if one.layer is None]
        self.columns = [*(["in"] if before else []), *map(str, layers), *(["out"] if after else [])]
        start = len(before)
        self._cells: dict[Place, Operation] = {}
        for one in operations:
            end = 0 if one in before else len(self.columns) - 1
            column = end if one.layer is None else start + layers.index(one.layer)
            self._cells[self.names.index(one.name), column] = one
        self._order = list(self._cells)

    def at(self, place: Place) -> Operation | None:
        """Return the operation at a place."""
        return self._cells.get(place)

    def differing(self) -> list[Place]:
        """Return the places of what differs, in the order of the graph."""
        return [place for place in self._order if self._cells[place].differs]

    def after(self, place: Place, direction: int) -> Place | None:
        """Return the next differing place in the order of the graph, or the one before; None behind the last."""
        order = {each: number for number, each in enumerate(self._order)}
        # A place without an operation stands before all that its column has.
        here = order.get(place, min((n for (_, column), n in order.items() if column == place[1]), default=0) - 0.5)
        found = [each for each in self.differing() if (order[each] - here) * direction > 0]
        return None if not found else found[0] if direction > 0 else found[-1]


_TOKENS = 32
"""Ids before a token that are run: a difference of an operation shows on any of them."""


def diagnosis_of(view: ParityView, index: int) -> dict[str, Any] | str:
    """Return the diagnosis to ask for at a token of a run, as `core.session.run` takes it; or why there is none."""
    request = view.request
    if not request:
        return "this run does not say which models it compared"
    for side in ("reference", "candidate"):
        try:
            if side_path(request[side]) != request[side]:
                return f"the {side} is {safe(request[side], 60)}: layers need the model itself"
        except BitnetError as error:
            return safe(str(error), 200)
    start = max(0, index - _TOKENS + 1)
    documents = view.tokens.documents
    near = range(start, index + 1)
    text = "".join(view.tokens.texts[i] for i in near if documents[i] == documents[index])
    numerics = request.get("candidate_numerics") or request.get("numerics")
    # Twice the ids that it was made of: where the text is cut, other ids may come of it.
    asked = {"kind": "diagnose", "text": text, "tokens": 2 * _TOKENS, "numerics": numerics}
    kept = ("reference", "candidate", "i2s_layout", "kernel_config", "candidate_i2s_layout", "candidate_kernel_config")
    return {**asked, **{name: request[name] for name in kept if name in request}}


class LayersView(RunView):
    """The state of one diagnosis."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, tuple[str, int, int]] = {}
        """By work: what of, its number, and how many there are."""
        self.report: Mapping[str, Any] | None = None
        self.grid = Grid([])
        self._told = 0

    @property
    def count(self) -> int:
        """How many steps have been told."""
        return self._told

    def feed(self, event: Event) -> None:
        """Take in one event; kinds it does not know are ignored."""
        super().feed(event)
        kind = event["event"]
        if kind == "tensor":
            self._told += 1
            self.steps[safe(str(event["work"]), 20)] = (safe(str(event["name"]), 60), event["index"], event["count"])
        elif kind == "report":
            report: Mapping[str, Any] = event["report"]
            self.report, self.grid = report, Grid([_operation(one) for one in report["operations"]])

    def summary(self) -> list[str]:
        """Return the lines that stay in the scrollback: the verdict and the first sentence."""
        if self.report is None:
            return []
        found = [sentence for _, sentence, _ in [*causes(self.report), *unexplained(self.report)]]
        return [f"diagnose {safe(self.id)}: {self.report['verdict']}", *found[:1]]

    @property
    def first(self) -> Place | None:
        """The place of the first operation that differs."""
        differing = self.grid.differing()
        return differing[0] if differing else None

    def progress(self) -> str:
        """Return how far the diagnosis is: the work it is at."""
        if not self.steps:
            return "starting the engine"
        work, (name, index, count) = list(self.steps.items())[-1]
        return f"{work} {name}  {index}/{count}"

    def step_rows(self) -> list[Row]:
        """Return every kind of work with how far it is."""
        return [(work, f"{index}/{count}  {name}") for work, (name, index, count) in self.steps.items()]

    def rows(self, place: Place) -> list[Row]:
        """Return what is said of the operation at `place`, then the finding: causes, what is left, the proof."""
        if self.report is None:
            return self.step_rows()
        found: list[Row] = [("verdict", self.report["verdict"])]
        for mark, sentence, rows in (*causes(self.report), *unexplained(self.report)):
            found += [("", ""), (mark, sentence), *rows]
        if not self.report["causes"] and not self.report["unexplained"]:
            found += [("", ""), ("✔", "no weight differs, and no operation is farther off than rounding")]
        found.append(("", ""))
        if (first := self.report["first"]) is not None:
            found.append(("first", first_text(first)))
        if (proof := self.report["proof"]) is not None:
            found.append(("proof", proof_text(proof)))
        if (repair := self.report.get("repaired")) is not None:
            found.append(("repaired", repaired_text(repair)))
        return [*self._operation_rows(self.grid.at(place)), *found]

    def _operation_rows(self, one: Operation | None) -> list[Row]:
        if one is None:
            return []
        size = "not finite" if one.residual is None else f"{one.residual:.3g}"
        state = "differs" if one.differs else "agrees"
        name = one.name if one.layer is None else f"layer {one.layer}, {one.name}"
        rows = [("operation", safe(name, 60)), ("residual", f"{size}; up to {one.tolerance:.0e} is rounding: {state}")]
        return [*rows, *([("cause", safe(one.cause, 60))] if one.cause else []), ("", "")]

    def weight_at(self, place: Place) -> str | None:
        """Return the canonical name of the weight of an operation; None where it may have none."""
        one = self.grid.at(place)
        if one is None:
            return None
        return f"{one.name}.weight" if one.layer is None else f"blk.{one.layer}.{one.name}.weight"


def _operation(value: Mapping[str, Any]) -> Operation:
    return Operation(value["layer"], str(value["operation"]), value["residual"], value["tolerance"], value["cause"])
