"""The measures of a benchmark, a line each: a bar that is full where the machine allows no more.

      decode@64         2   21.9 tok/s ████████▌░░░░░░░░░░░ [21.7, 22.0]   42%  ▲ 6%

A `~` marks what was disturbed. The bar gives way where the terminal is narrow. Knows no artifact: the rows are made.
"""

from collections.abc import Sequence

from textual.content import Content

from bitnet_tui.core.bench_view import BenchRow
from bitnet_tui.widgets.cells import bar, fit
from bitnet_tui.widgets.pick_list import Pick, PickList

_NAME, _THREADS, _FIGURE, _CHANGE = 17, 3, 12, 8
_LEAST, _MOST = 6, 40
"""Cells of a bar; with less room for it there is none."""


class MeasureList(PickList):
    """Rows of a `BenchView`, with a cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: dict[str, BenchRow] = {}

    def show_rows(self, rows: Sequence[BenchRow]) -> None:
        """Replace the rows; the cursor stays on its measure."""
        self._rows = {row.key: row for row in rows}
        self.show([Pick(row.key, row.case, row.facts) for row in rows])

    def line(self, pick: Pick, width: int) -> Content:
        """Return a row in `width` cells: name, threads, value, bar, facts, change."""
        row = self._rows[pick.value]
        changed = any(other.change is not None for other in self._rows.values())
        facts_width = max(len(other.facts) for other in self._rows.values())
        fixed = 2 + _NAME + _THREADS + 1 + _FIGURE + 1 + (_CHANGE if changed else 0)
        room = min(_MOST, width - fixed - facts_width - 1)
        filled = any(other.fill is not None for other in self._rows.values())
        parts: list[Content | tuple[str, str]] = [
            ("~ " if row.noisy else "  ", "$warning"),
            (fit(row.case, _NAME), "bold"),
            (f"{row.threads:>{_THREADS}} ", "$text-muted"),
            (fit(row.figure, _FIGURE, right=True) + " ", ""),
        ]
        if filled and room >= _LEAST:
            parts.append(_bar(row.fill, room))
        left = max(0, width - fixed - (room if filled and room >= _LEAST else 0))
        parts.append((fit(f" {row.facts}", left), "$text-muted"))
        return Content.assemble(*parts, *([_change(row)] if changed else []))


def _bar(share: float | None, room: int) -> Content:
    if share is None:
        return Content(" " * room)
    drawn = bar(share, room)
    return Content.assemble((drawn, "$ref"), ("░" * (room - len(drawn)), "$text-disabled"))


def _change(row: BenchRow) -> Content:
    change = row.change
    if change is None or change.ratio is None:
        return Content(" " * _CHANGE)
    if not change.sure:
        return Content.styled(fit("≈", _CHANGE, right=True), "$text-muted")
    better = change.ratio > 1
    text = f"{'▲' if better else '▼'} {abs(change.ratio - 1):.0%}"
    return Content.styled(fit(text, _CHANGE, right=True), "$success" if better else "$error")
