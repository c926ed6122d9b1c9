"""The line above a list in which a person types what is to be shown: hidden until it is opened.

    yield FilterBox(placeholder="part of a name")       # BaseScreen opens and closes it
    def on_input_changed(self, event): ...              # the screen narrows its list

Knows nothing of what is filtered.
"""

from textual.widget import Widget

from bitnet_tui.widgets.safe_input import SafeInput


class FilterBox(SafeInput):
    """One line; what had the focus before gets it back."""

    DEFAULT_CSS = """
    FilterBox { display: none; height: 1; border: none; padding: 0; background: $panel; }
    """

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=placeholder, id="filter", compact=True)
        self._before: Widget | None = None

    def open(self) -> None:
        """Show the line, and type into it."""
        if not self.has_focus:
            self._before = self.screen.focused
        self.display = True
        self.focus()

    def close(self) -> bool:
        """Empty and hide the line; return whether it was shown."""
        was = bool(self.display)
        self.value, self.display = "", False
        if was:
            self._give_back()
        return was

    def on_input_submitted(self) -> None:
        """Go back to the list; what was typed stays in force."""
        self._give_back()

    def _give_back(self) -> None:
        if self._before is not None:
            self._before.focus()
