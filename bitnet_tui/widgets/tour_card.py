"""What the guided tour says, above the keys; absent when nobody is on it."""

from textual.content import Content
from textual.widgets import Static


class TourCard(Static):
    """One stop of the tour."""

    DEFAULT_CSS = """
    TourCard {
        display: none;
        dock: bottom;
        height: auto;
        margin-bottom: 1;
        padding: 0 1;
        background: $accent 25%;
        color: $foreground;
    }
    """

    def show(self, text: str) -> None:
        """Show a stop; hide the card where `text` is empty."""
        self.display = bool(text)
        self.update(Content(text))
