"""Labels and values in two columns, long values folded under themselves; below them bars of shares, and a chart.

 type  I2_S
shape  2560 × 2560
"""

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from bitnet_tui.core.inspect_view import Row, Shares
from bitnet_tui.widgets.cells import bar, fit, fold

Chart = Callable[[int], list[Content]]
"""Draws lines of at most so many cells."""


class RowsView(Widget, can_focus=False):
    """Rows of a view-model, which has made them safe."""

    DEFAULT_CSS = """
    RowsView { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[Row] = ()
        self._shares: Shares | None = None
        self._chart: Chart | None = None

    def show(self, rows: Sequence[Row], shares: Shares | None = None, chart: Chart | None = None) -> None:
        """Show `rows`, the bars of a ternary tensor where there are `shares`, and a chart where there is one."""
        self._rows, self._shares, self._chart = rows, shares, chart
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Return the lines that the rows take in `width` cells."""
        return max(1, len(self._lines(width)))

    def render(self) -> Content:
        """Render every row; the pane around it scrolls."""
        return Content("\n").join(self._lines(self.content_size.width))

    def _lines(self, width: int) -> list[Content]:
        labels = max((len(label) for label, _ in self._rows), default=0)
        column = min(labels, max(8, width // 2))
        lines: list[Content] = []
        for label, value in self._rows:
            parts = fold(value, max(8, width - column - 2)) or [""]
            for number, part in enumerate(parts):
                name = fit(label if number == 0 else "", column, right=True)
                lines.append(Content.assemble((f"{name}  ", "$text-muted"), part))
        if self._shares is not None:
            lines += [Content(""), *_bars(self._shares, column, width)]
        drawn = self._chart(width) if self._chart is not None else []
        return [*lines, *([Content("")] if lines and drawn else []), *drawn]


def _bars(shares: Shares, column: int, width: int) -> list[Content]:
    room = max(1, width - column - 12)
    bars = (
        ("−1", shares.negative, "$tern-neg"),
        ("0", shares.zero, "$tern-zero"),
        ("+1", shares.positive, "$tern-pos"),
    )
    return [
        Content.assemble(
            (f"{fit(name, column, right=True)}  ", "$text-muted"),
            (fit(bar(share, room), room), style),
            f"  {share:>6.1%}",
        )
        for name, share, style in bars
    ]
