"""A letter on each pane of the screen below; pressing one goes there.

    app.push_screen(JumpScreen(panes), lambda pane: pane and pane.focus())

Any other key closes it. Knows nothing of what the panes hold.
"""

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Label

LETTERS = "asdfghjkl"
"""The home row, from the left."""


class JumpScreen(ModalScreen[Widget | None]):
    """Letters over `targets`; closes with the one that was chosen."""

    DEFAULT_CSS = """
    JumpScreen {
        background: $background 40%;
        Label { position: absolute; background: $accent; color: auto; text-style: bold; }
    }
    """

    def __init__(self, targets: Sequence[Widget]) -> None:
        super().__init__()
        self._targets = dict(zip(LETTERS, targets, strict=False))

    def compose(self) -> ComposeResult:
        """Put each letter into the upper border of its pane."""
        for letter, target in self._targets.items():
            label = Label(Content(f" {letter} "))
            label.styles.offset = (target.region.x + 1, target.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """Close with the pane of the letter, or with none."""
        event.stop()
        self.dismiss(self._targets.get(event.key))
