"""The tokens of a run as a table, a row each: all of them, or the ones that differ.

         #  token            τ-b     KL  |Δlogit|  Δrank
    ●   18  ·fortune↵       .429   .020      .040      1  diverges, flips

Only the rows in view are rendered. A cursor on a token that is not listed stands on the one before it. Knows nothing of
keys: the screen moves the cursor, a click posts `Picked`.
"""

from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from bitnet_tui.core.measures import MEASURES
from bitnet_tui.core.parity_view import ParityView, TokenStatus
from bitnet_tui.core.text import number, token_text
from bitnet_tui.widgets.cells import fit
from bitnet_tui.widgets.token_strip import TokenStrip

STATUS_WORDS = {
    TokenStatus.AGREE: "",
    TokenStatus.DRIFT: "drifts",
    TokenStatus.DIVERGE: "diverges",
    TokenStatus.UNDEFINED: "undefined",
}
_TEXT = 20


# The screen moves the cursor, and the table scrolls after it: keys of its own would shadow the screen's.
class TokenRows(ScrollView, can_focus=True, inherit_bindings=False):
    """Tokens of a `ParityView`, a row each, with a cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("rows--agree", "rows--drift", "rows--diverge", "rows--undefined", "rows--cursor", "rows--head")
    }
    DEFAULT_CSS = """
    TokenRows {
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & > .rows--agree { color: $foreground; }
        & > .rows--drift { color: $tau-drift; }
        & > .rows--diverge { color: $tau-bad; text-style: bold; }
        & > .rows--undefined { color: $tau-bad; }
        & > .rows--head { color: $text-muted; text-style: bold; }
        & > .rows--cursor { text-style: reverse; }
    }
    """

    cursor: reactive[int] = reactive(0)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = ParityView()
        self._rows = np.zeros(0, np.int64)
        self.only_marked = False
        """Whether only tokens that diverge, flip or are bookmarked are listed."""

    def show(self, view: ParityView, count: int) -> None:
        """Show the first `count` tokens of a run."""
        self._view = view
        self._rows = np.arange(count)
        if self.only_marked:
            listed = view.marked()[:count]
            listed[[index for index in view.bookmarks if index < count]] = True
            self._rows = np.flatnonzero(listed)
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows) + 1)
        self.watch_cursor()

    @property
    def listed(self) -> int:
        """How many tokens are listed."""
        return len(self._rows)

    def line_up(self, lines: int) -> int:
        """Return the token `lines` rows above (negative: below) the cursor; the cursor's where none is listed."""
        if not self.listed:
            return self.cursor
        here = self._row_of_cursor()
        if lines < 0 and self._rows[max(here, 0)] > self.cursor:
            here = -1  # the first row is below a cursor that stands before every one of them
        return int(self._rows[min(max(here - lines, 0), self.listed - 1)])

    def watch_cursor(self) -> None:
        """Bring the cursor's row into view."""
        if self.listed:
            row = max(self._row_of_cursor(), 0)
            self.scroll_to_region(Region(0, row, 1, 2), animate=False, force=True)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Pick the token under the mouse."""
        offset = event.get_content_offset(self)
        row = -1 if offset is None else offset.y + self.scroll_offset.y - 1
        if offset is not None and offset.y > 0 and 0 <= row < self.listed:
            self.post_message(TokenStrip.Picked(int(self._rows[row])))

    def render_line(self, y: int) -> Strip:
        """Render the head, which stays, or one visible row."""
        width = max(1, self.scrollable_content_region.width)
        row = y + self.scroll_offset.y - 1
        if y == 0:
            text, style = self._head(), self.get_component_rich_style("rows--head")
        elif not 0 <= row < self.listed:
            text, style = "" if row or self.listed else " no token differs", self.rich_style
        else:
            index = int(self._rows[row])
            text, style = self._text(index), self.get_component_rich_style(f"rows--{self._view.status(index).value}")
            if row == self._row_of_cursor():
                style += self.get_component_rich_style("rows--cursor", partial=True)
        return Strip([Segment(fit(text, width), style)])

    def _row_of_cursor(self) -> int:
        return int(np.searchsorted(self._rows, self.cursor, side="right")) - 1

    def _head(self) -> str:
        return f"{'#':>9}  {fit('token', _TEXT)}" + "".join(f"{measure.name:>10}" for measure in MEASURES)

    def _text(self, index: int) -> str:
        tokens = self._view.tokens
        values = [tokens.value(measure.column, index) for measure in MEASURES]
        mark = "●" if index in self._view.bookmarks else " "
        words = [STATUS_WORDS[self._view.status(index)], "flips" if tokens.is_flip(index) else ""]
        numbers = "".join(f"{number(value):>10}" for value in values[:-1])
        rank = f"{number(values[-1], 0):>10}"
        name = fit(token_text(tokens.texts[index]), _TEXT)
        return f" {mark}{index + 1:>7}  {name}{numbers}{rank}  {', '.join(filter(None, words))}"
