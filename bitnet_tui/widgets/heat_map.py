"""A map of cells, rows by columns, each as hot as it is far off; a cursor stands on one of them.

                  in  0  1  2  3  4  5 out
    ffn_down           .  .  @  .  .  .

Agreement is quiet and divergence glows: colours and glyphs come from the theme's own ramp, so that without colours the
same is said by glyphs alone. Only what is in view is drawn, around the cursor. Knows no keys: the screen moves the
cursor, a click posts `Picked`.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from bitnet_tui.core.text import safe
from bitnet_tui.widgets.cells import fit

_LABEL, _WIDEST = 16, 4


class HeatMap(Widget, can_focus=True):
    """Cells of a grid."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"map--label", "map--here"}
    DEFAULT_CSS = """
    HeatMap {
        & > .map--label { color: $text-muted; }
        & > .map--here { color: $accent; text-style: bold; }
    }
    """

    cursor: reactive[tuple[int, int]] = reactive((0, 0))

    class Picked(Message):
        """A cell was clicked."""

        def __init__(self, row: int, column: int) -> None:
            super().__init__()
            self.row, self.column = row, column

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[str] = ()
        self._columns: Sequence[str] = ()
        self._heat: Callable[[tuple[int, int]], float | None] = lambda _place: None
        self._styles: list[Style] = []
        self._glyphs = " ."

    def show(
        self, rows: Sequence[str], columns: Sequence[str], heat: Callable[[tuple[int, int]], float | None]
    ) -> None:
        """Show cells: `heat` of a place is 0 to 1, None where there is no cell."""
        self._rows, self._columns, self._heat = rows, columns, heat
        self.refresh()

    def paint(self, ramp: Sequence[str], glyphs: str) -> None:
        """Take the colours from cold to hot, `#rrggbb`, and the glyphs that say the same."""
        self._styles = [_cell_style(color) for color in ramp]
        self._glyphs = glyphs
        self.refresh()

    def glyph(self, heat: float) -> str:
        """Return the sign of a cell."""
        # The quietest glyph is a blank, which would say that there is no cell.
        return self._glyphs[max(1, round(heat * (len(self._glyphs) - 1)))]

    @property
    def _cell(self) -> int:
        """Cells of the terminal that a column takes."""
        room = self.size.width - _LABEL
        return max(2, min(_WIDEST, room // max(1, len(self._columns))))

    def _window(self, cursor: int, count: int, room: int) -> range:
        """Return which rows or columns are in view; the cursor is."""
        start = min(max(0, cursor - room // 2), max(0, count - room))
        return range(start, min(start + max(1, room), count))

    def _in_view(self) -> tuple[range, range]:
        row, column = self.cursor
        rows = self._window(row, len(self._rows), self.size.height - 1)
        return rows, self._window(column, len(self._columns), (self.size.width - _LABEL) // self._cell)

    def render_line(self, y: int) -> Strip:
        """Render the names of the columns, or one row of cells."""
        if not self._rows or self.size.width <= _LABEL:
            return Strip([Segment(" " * self.size.width, self.rich_style)])
        rows, columns = self._in_view()
        if y == 0:
            segments = self._head(columns)
        elif y <= len(rows):
            segments = self._row(rows[y - 1], columns)
        else:
            segments = []
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def _head(self, columns: range) -> list[Segment]:
        segments = [Segment(" " * _LABEL, self._part("label"))]
        for column in columns:
            here = column == self.cursor[1]
            # Where names do not fit beside each other, the cursor's and every fifth still do.
            name = self._columns[column] if self._cell > 2 or here or column % 5 == 1 or column == columns[-1] else ""
            segments.append(Segment(fit(name, self._cell, right=True), self._part("here" if here else "label")))
        return segments

    def _row(self, row: int, columns: range) -> list[Segment]:
        here = row == self.cursor[0]
        label = fit(safe(self._rows[row], _LABEL), _LABEL - 1) + " "
        return [Segment(label, self._part("here" if here else "label")), *(self._at(row, each) for each in columns)]

    def _at(self, row: int, column: int) -> Segment:
        heat = self._heat((row, column))
        cursor = Style(reverse=True, bold=True) if (row, column) == self.cursor else Style()
        if heat is None:
            return Segment(" " * self._cell, self.rich_style + cursor)
        style = self._styles[round(heat * (len(self._styles) - 1))] if self._styles else Style()
        return Segment(fit(self.glyph(heat), self._cell, right=True), self.rich_style + style + cursor)

    def _part(self, name: str) -> Style:
        return self.get_component_rich_style(f"map--{name}")

    def on_click(self, event: events.Click) -> None:
        """Pick the cell under the mouse."""
        offset = event.get_content_offset(self)
        if offset is None or offset.x < _LABEL or offset.y < 1:
            return
        rows, columns = self._in_view()
        row, column = offset.y - 1, (offset.x - _LABEL) // self._cell
        if row < len(rows) and column < len(columns):
            self.post_message(self.Picked(rows[row], columns[column]))


def _cell_style(color: str) -> Style:
    """Return a cell of a colour, its glyph in black or white, whichever is read better."""
    front = "#000000" if Color.parse(color).brightness > 0.5 else "#ffffff"
    return Style(color=front, bgcolor=color)
