"""Walking through the tokens of a run: by one, by lines, to what differs, to the worst, between bookmarks.

    class ParityScreen(TokenWalk): ...     # its keys are bound to the actions here

Knows where the cursor is and what is followed, and nothing of how a token is shown.
"""

from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.screens.run_screen import RunScreen
from bitnet_tui.widgets.token_rows import TokenRows
from bitnet_tui.widgets.token_strip import TokenStrip


class TokenWalk(RunScreen):
    """A screen with a cursor on the tokens of a `ParityView`, as text (TokenStrip) or, with -table, as TokenRows."""

    def __init__(self) -> None:
        super().__init__()
        self.view = ParityView()
        self.cursor = 0
        self._follow = False
        """Whether the cursor goes with the last token of a live run."""
        self._moved = False
        """Whether anybody has moved it since the run was opened."""

    def show_cursor(self) -> None:
        """Show what depends on where the cursor is."""
        raise NotImplementedError

    def show_judged(self) -> None:
        """Show what depends on the measure, its threshold and the bookmarks."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many tokens are shown."""
        return self.query_one(TokenStrip).count

    def _go(self, index: int | None, follow: bool = False) -> None:
        """Move the cursor to a token that is shown; following ends, unless this is how it begins."""
        last = self.query_one(TokenStrip).count - 1
        if index is None or last < 0:
            return
        self._moved, self._follow = True, follow and self.is_live
        self.cursor = min(max(index, 0), last)
        self.show_cursor()

    def on_token_strip_picked(self, event: TokenStrip.Picked) -> None:
        """Go to the clicked token."""
        self._go(event.index)

    def action_step(self, tokens: int) -> None:
        """Move by tokens."""
        self._go(self.cursor + tokens)

    def action_line(self, lines: int) -> None:
        """Move up by lines of the text, or rows of the table."""
        self._go(self.query_one(TokenRows if self.has_class("-table") else TokenStrip).line_up(lines))

    def action_edge(self, end: int) -> None:
        """Move to the first or the last token; the last of a live run is followed."""
        self._go(self.query_one(TokenStrip).count - 1 if end else 0, follow=bool(end))

    def action_divergence(self, direction: int) -> None:
        """Move to the nearest diverging or flipped token."""
        find = self.view.next_marked if direction > 0 else self.view.previous_marked
        self._go_or_say(
            find(self.cursor), "no further divergence or flip" if direction > 0 else "no earlier divergence or flip"
        )

    def action_worst(self) -> None:
        """Move to the token that the measure calls the worst; say so where none differs."""
        worst = self.view.worst()
        if worst is not None and not self.view.marked().any():
            self.program.say("every token agrees")
        self._go_or_say(worst, "no token yet")

    def action_first(self) -> None:
        """Move to the first diverging or flipped token."""
        self._go_or_say(self.view.first(), "no divergence and no flip")

    def _go_or_say(self, index: int | None, otherwise: str) -> None:
        if index is None:
            self.program.say(otherwise)
        self._go(index)

    def action_bookmark(self) -> None:
        """Set a bookmark on the token, or take it away; they last as long as the run is on the screen."""
        if self.count:
            self.view.bookmarks ^= {self.cursor}
            self.show_judged()
            self.show_cursor()

    def action_next_bookmark(self) -> None:
        """Move to the next bookmark, after the last to the first."""
        after = [index for index in self.view.bookmarks if index > self.cursor]
        key = self.program.key_of("parity.bookmark")
        self._go_or_say(min(after or self.view.bookmarks, default=None), f"no bookmark; {key} sets one")
