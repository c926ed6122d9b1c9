"""The text of a run, token by token, each in the colour of how well the two sides agree on it.

Agreement is quiet and divergence glows; without colours the same is said by style: bold for a divergence,
underline for a flipped top-1, strike for an undefined tau-b, reverse for the cursor. Only the lines in view
are rendered. Knows nothing of keys: the screen moves the cursor, a click posts `Picked`.
"""

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from bitnet_tui.core.parity_view import ParityView, TokenStatus
from bitnet_tui.core.text import token_text
from bitnet_tui.widgets.token_lines import TokenLines


# The screen moves the cursor, and the strip scrolls after it: keys of its own would shadow the screen's.
class TokenStrip(ScrollView, can_focus=True, inherit_bindings=False):
    """Tokens of a `ParityView`, wrapped, with a cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "strip--agree",
        "strip--drift",
        "strip--diverge",
        "strip--undefined",
        "strip--flip",
        "strip--cursor",
    }
    DEFAULT_CSS = """
    TokenStrip {
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & > .strip--agree { color: $tau-good; }
        & > .strip--drift { color: $tau-drift; }
        & > .strip--diverge { color: $tau-bad; text-style: bold; }
        & > .strip--undefined { color: $tau-bad; text-style: strike; }
        & > .strip--flip { text-style: underline; }
        & > .strip--cursor { text-style: reverse; }
    }
    """

    cursor: reactive[int] = reactive(0)

    class Picked(Message):
        """A token was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = ParityView()
        self._lines = TokenLines(1)

    def show(self, view: ParityView) -> None:
        """Show another run, from its first token."""
        self._view = view
        self._lines = TokenLines(self._text_width)
        self.set_reactive(TokenStrip.cursor, 0)
        self.sync()

    @property
    def count(self) -> int:
        """How many tokens are shown; fewer than the run has while the view is frozen."""
        return self._lines.count

    @property
    def line_count(self) -> int:
        """How many lines the tokens fill."""
        return len(self._lines)

    def sync(self) -> None:
        """Lay out the tokens that have arrived since the last call."""
        tokens = self._view.tokens
        for index in range(self._lines.count, len(tokens)):
            new_document = index > 0 and tokens.documents[index] is not tokens.documents[index - 1]
            self._lines.add(cell_len(token_text(tokens.texts[index])), new_document)
        self.virtual_size = Size(self._text_width, len(self._lines))
        self.refresh()

    def line_up(self, lines: int) -> int:
        """Return the token `lines` above (negative: below) the cursor, in about the same column."""
        if not self.count:
            return 0
        line = self._lines.line_of(self.cursor) - lines
        line = min(max(line, 0), len(self._lines) - 1)
        token = self._lines.token_at(self._lines.left_of(self.cursor), line)
        return self._lines.tokens_of(line)[-1] if token is None else token

    def watch_cursor(self) -> None:
        """Bring the cursor's line into view."""
        if self.count:
            line = self._lines.line_of(self.cursor)
            self.scroll_to_region(Region(0, line, 1, 1), animate=False, force=True)
        self.refresh()

    def on_resize(self) -> None:
        """Lay the text out again for the new width; the cursor stays on its token."""
        if self._text_width != self._lines.width:
            self._lines = TokenLines(self._text_width)
            self.sync()
        self.call_after_refresh(self.watch_cursor)

    def on_click(self, event: events.Click) -> None:
        """Pick the token under the mouse."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        token = self._lines.token_at(offset.x, offset.y + self.scroll_offset.y)
        if token is not None:
            self.post_message(self.Picked(token))

    def render_line(self, y: int) -> Strip:
        """Render one visible line."""
        tokens = self._lines.tokens_of(y + self.scroll_offset.y)
        styles = self._styles()
        segments = [Segment(token_text(self._view.tokens.texts[index]), self._style(index, styles)) for index in tokens]
        # Not Strip.blank: a segment without a style has no background, and breaks NO_COLOR's filter.
        return Strip(segments).extend_cell_length(self._text_width, self.rich_style)

    @property
    def _text_width(self) -> int:
        return max(1, self.scrollable_content_region.width)

    def _styles(self) -> dict[str, Style]:
        names = ("agree", "drift", "diverge", "undefined")
        styles = {name: self.get_component_rich_style(f"strip--{name}") for name in names}
        marks = {name: self.get_component_rich_style(f"strip--{name}", partial=True) for name in ("flip", "cursor")}
        return styles | marks

    def _style(self, index: int, styles: dict[str, Style]) -> Style:
        style = styles[self._view.status(index).value]
        if self._view.tokens.is_flip(index):
            style += styles["flip"]
            # A flip above the limit is still worth a glance.
            if self._view.status(index) is TokenStatus.AGREE:
                style += Style(color=styles["drift"].color)
        return style + styles["cursor"] if index == self.cursor else style
