"""Where everything lies in a model's files: header, tensors and gaps, in the order of their bytes.

    spans = file_layout(summary)           # [Span("model.gguf", 0, 10816, "header", ""), …]
    cells_of(spans, 200)                   # what 200 equal cells of the file mostly hold

Knows no colours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TERNARY = ("I2_S", "TQ1_0", "TQ2_0", "TL1", "TL2", "IQ1_BN", "IQ2_BN", "HF_PACKED")

PADDING = 4096
"""Bytes between two tensors that alignment may leave; more is a gap worth a look."""


@dataclass(frozen=True)
class Span:
    """Some bytes of a file, `start` to `stop`."""

    file: str
    start: int
    stop: int
    kind: str
    """header, ternary, matrix, vector, padding or gap"""
    name: str = ""
    """Of a tensor."""


def file_layout(summary: Mapping[str, Any]) -> list[Span]:
    """Return the spans of every file of a model, file by file, each without a hole up to its last tensor."""
    files: dict[str, list[Mapping[str, Any]]] = {}
    for tensor in summary.get("tensors", []):
        files.setdefault(str(tensor.get("file", "")), []).append(tensor)
    spans: list[Span] = []
    for file, tensors in files.items():
        at = 0
        for tensor in sorted(tensors, key=lambda tensor: int(tensor.get("offset", 0))):
            start = int(tensor.get("offset", 0))
            if start > at:
                between = "padding" if start - at <= PADDING else "gap"
                spans.append(Span(file, at, start, between if at else "header"))
            at = max(at, start + int(tensor.get("nbytes", 0)))
            spans.append(Span(file, start, at, _kind(tensor), str(tensor["name"])))
    return spans


def cells_of(spans: Sequence[Span], cells: int) -> list[Span]:
    """Return for each of `cells` equal parts of one file the span that holds most of it; a gap wins over its size."""
    end = spans[-1].stop if spans else 0
    chosen: list[Span] = []
    first = 0
    for cell in range(cells if end else 0):
        start, stop = cell * end // cells, max((cell + 1) * end // cells, cell * end // cells + 1)
        while spans[first].stop <= start and first + 1 < len(spans):
            first += 1
        inside = [first]
        while inside[-1] + 1 < len(spans) and spans[inside[-1] + 1].start < stop:
            inside.append(inside[-1] + 1)
        held = [(spans[i].kind == "gap", min(spans[i].stop, stop) - max(spans[i].start, start), i) for i in inside]
        chosen.append(spans[max(held)[2]])
    return chosen


def _kind(tensor: Mapping[str, Any]) -> str:
    if tensor.get("type") in TERNARY:
        return "ternary"
    return "vector" if len(tensor.get("shape", [])) < 2 else "matrix"
