"""What went wrong, in the words of the error itself, with the exit code a script would see."""

from textual.content import Content
from textual.widgets import Static

from bitnet_tui.core.text import safe

_MEANINGS = {
    2: "usage",
    3: "bad model or corpus file",
    4: "input or output",
    6: "engine or environment",
    130: "interrupted",
}


class ErrorCard(Static):
    """A card that is absent until `show`."""

    DEFAULT_CSS = """
    ErrorCard {
        display: none;
        height: auto;
        max-height: 50%;
        border: round $error;
        border-title-color: $error;
        padding: 0 1;
    }
    """

    def show(self, exit_code: int, message: str, advice: str) -> None:
        """Show an error and what can be done from here."""
        self.border_title = Content(f"exit code {exit_code}: {_MEANINGS.get(exit_code, 'error')}")
        self.update(Content.assemble(safe(message, 1200), "\n", (advice, "$text-muted")))
        self.display = True

    def hide(self) -> None:
        """Take the card away."""
        self.display = False
