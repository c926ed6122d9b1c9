"""What differs between the model on the screen and another file, built from the events of a `diff` job.

    view = DiffView("model-i2_s.gguf", "other.gguf")
    for event in events:
        view.feed(event)
    view.said, view.differences, view.rows(0)

Strings that it returns are safe to display. Knows no widget, and compares nothing itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitnet_tui.core.events import Event
from bitnet_tui.core.inspect_view import Row
from bitnet_tui.core.text import number, safe


@dataclass(frozen=True)
class Difference:
    """One thing in which the two files differ."""

    name: str
    rows: tuple[Row, ...]


class DiffView:
    """The state of one comparison; the model on the screen is the reference."""

    def __init__(self, reference: str, candidate: str) -> None:
        self.reference, self.candidate = reference, candidate
        self.said = "comparing …"
        """How far it is, or what came of it."""
        self.differences: list[Difference] = []

    def feed(self, event: Event) -> bool:
        """Take in one event; return whether the differences are known now."""
        kind = event["event"]
        if kind == "tensor":
            self.said = f"diff {event['index']}/{event['count']} {safe(str(event['name']), 60)}"
        elif kind == "report":
            self._report(event["report"])
        elif kind == "error":
            self.said = f"not compared: {safe(str(event.get('message', '')), 300)}"
        elif kind == "run.end" and event.get("status") == "cancelled":
            self.said = "not compared: stopped"
        return kind == "report"

    def rows(self, index: int) -> list[Row]:
        """Return one difference in full."""
        return list(self.differences[index].rows)

    def _report(self, report: Mapping[str, Any]) -> None:
        other = safe(Path(self.candidate).name, 60)
        tensors = report["tensors"]
        found = [Difference(tensor["name"], _tensor(tensor)) for tensor in tensors if not tensor["equal"]]
        for side in ("reference", "candidate"):
            other_side = "the candidate" if side == "reference" else "the reference"
            missing = (("tensor", "missing"), ("missing in", other_side))
            found += [Difference(name, missing) for name in report[f"only_{side}"]]
        found += [Difference(setting["key"], _setting(setting)) for setting in report["settings"]]
        tokenizer = report["tokenizer"]
        if not tokenizer["equal"]:
            fields = (("reference", tokenizer["reference"]), ("candidate", tokenizer["candidate"]))
            rows = [(label, safe(str(value), 80)) for label, value in (*fields, ("note", tokenizer["note"])) if value]
            found.append(Difference("tokenizer", tuple(rows)))
        self.differences = found
        count = len(found)
        same = f"{len(tensors)} tensors are equal to those of {other}"
        self.said = f"{count} difference{'s' * (count != 1)} from {other}" if found else same


def _tensor(tensor: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return what is known of a tensor that differs, made safe; what a kind of tensor lacks is left out."""

    def both(field: str) -> str | None:
        one, two = tensor[f"reference_{field}"], tensor[f"candidate_{field}"]
        if one is None and two is None:
            return None
        return safe(f"{_plain(one)}  →  {_plain(two)}", 160)

    kind = "trits" if tensor["ternary"] else "floats"
    rows = [
        ("type", both("type")),
        ("shape", both("shape")),
        ("scale", both("scale")),
        ("different", None if tensor["different"] is None else f"{tensor['different']} {kind}"),
        ("first rows", ", ".join(map(str, tensor["rows"]))),
        ("max |Δ|", None if tensor["max_abs"] is None else f"{tensor['max_abs']:.6g}"),
        ("relative", None if tensor["max_rel"] is None else f"{tensor['max_rel']:.6g}"),
        ("likely", safe(str(tensor["note"]), 400)),
    ]
    return tuple((label, value) for label, value in rows if value)


def _setting(setting: Mapping[str, Any]) -> tuple[Row, ...]:
    return tuple((side, safe(str(setting[side]), 120)) for side in ("reference", "candidate"))


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return " × ".join(map(str, value))
    return number(None) if value is None else str(value)
