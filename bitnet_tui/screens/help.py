"""The keys of the screen below, generated from its bindings, and what the screen is for."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from bitnet_tui.screens.keys import shown

_EVERYWHERE = ("app.focus_", "screen.")


class HelpScreen(ModalScreen[None]):
    """Keys and words; any of escape, q, ? closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1", "close", "Close", id="help.close")]

    def __init__(self, title: str, about: str, bindings: Iterable[ActiveBinding]) -> None:
        super().__init__(classes="dialog")
        self._title, self._about = title, about
        self._shown = list(bindings)

    def compose(self) -> ComposeResult:
        """One scrolling box."""
        with VerticalScroll(classes="box") as box:
            box.border_title = Content(self._title)
            yield Static(Content(self._about), classes="about")
            yield Static(self._keys())

    def action_close(self) -> None:
        """Go back to the screen."""
        self.dismiss(None)

    def _keys(self) -> Content:
        keys: dict[str, list[str]] = {}
        # What Textual binds everywhere (tab, copying a selection) comes after the program's own keys.
        for active in sorted(self._shown, key=lambda active: active.binding.action.startswith(_EVERYWHERE)):
            binding = active.binding
            if binding.description and not binding.system and not binding.key.startswith("super+"):
                keys.setdefault(binding.description, []).append(shown(binding.key))
        width = max((len(" ".join(names)) for names in keys.values()), default=0)
        lines = [
            Content.assemble((f"{' '.join(names):>{width}}", "bold $accent"), f"  {about[0].upper()}{about[1:]}")
            for about, names in keys.items()
        ]
        return Content("\n").join(lines)
