"""Every setting with its value and where it comes from; `enter` changes one, in config.toml and at once.

The list is made from the fields of `core.settings.Settings`: a setting that is added there is here too.
"""

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList

from bitnet_tui.core.config_file import save
from bitnet_tui.core.inspect_view import Row
from bitnet_tui.core.session import BitnetError, SettingError
from bitnet_tui.core.settings import Entry, entries, load_config
from bitnet_tui.core.text import safe
from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.screens.export import Offer
from bitnet_tui.screens.form import Field, FormScreen
from bitnet_tui.widgets.panes import Pane, ScrollPane
from bitnet_tui.widgets.pick_list import Pick, PickList
from bitnet_tui.widgets.rows_view import RowsView


class SettingsScreen(BaseScreen):
    """The settings in force."""

    TAB = "Settings"
    HELP = (
        "Enter changes a setting: its line in config.toml, and nothing else of that file, comments included. An empty "
        "answer takes the line away, for the default. A variable of the environment, or a flag, wins over the file "
        "until the program ends. Keys of single actions are written into [keymap] by hand."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.back", "back", id="app.back"),
    ]
    DEFAULT_CSS = """
    SettingsScreen {
        #list { height: 2fr; }
        #about { height: 1fr; scrollbar-size-vertical: 1; }
        PickList { height: 1fr; border: none !important; padding: 0; background: $background; }
    }
    """

    def compose_body(self) -> ComposeResult:
        """The settings above, one in full below."""
        with Pane(id="list", classes="pane"):
            yield PickList(id="settings")
        with ScrollPane(id="about", classes="pane"):
            yield RowsView(id="rows")

    def on_mount(self) -> None:
        """Fill the list."""
        self.query_one("#list").border_title = Content(f"settings · {self.program.key_of('list.select')} changes one")
        self.query_one("#list").border_subtitle = Content(safe(str(self.program.config.path), 100))
        self.query_one(PickList).focus()
        self._show()

    @property
    def selected(self) -> Entry:
        """The setting under the cursor."""
        chosen = self.query_one(PickList).chosen
        known = entries(self.program.config)
        return next((entry for entry in known if chosen is not None and entry.key == chosen.value), known[0])

    def _show(self) -> None:
        known = entries(self.program.config)
        width = max(len(entry.key) for entry in known)
        picks = [Pick(entry.key, f"{entry.key:<{width}}  {entry.value}", entry.source) for entry in known]
        self.query_one(PickList).show(picks)
        self._show_selected()

    def _show_selected(self) -> None:
        entry = self.selected
        self.query_one("#about").border_title = Content(entry.key)
        self.query_one(RowsView).show(_rows(entry, self._choices(entry)))

    def _choices(self, entry: Entry) -> tuple[str, ...]:
        return tuple(self.program.themes.data) if entry.name == "theme" else entry.choices

    def on_option_list_option_highlighted(self) -> None:
        """Show the setting under the cursor in full."""
        self._show_selected()

    def on_option_list_option_selected(self, _event: OptionList.OptionSelected) -> None:
        """Ask for another value of the setting that was chosen."""
        entry, choices = self.selected, self._choices(self.selected)

        def check(text: str) -> str | None:
            if text and choices and text not in choices:
                return f"{safe(text, 40)!r}: one of {', '.join(choices)} is allowed"
            try:
                if text:
                    entry.read(text)
            except SettingError as error:
                return safe(str(error), 200)
            return None

        def answered(answer: dict[str, str] | None) -> None:
            if answer is not None and answer["value"] != entry.value:
                self._change(entry, answer["value"])

        hint = ", ".join(choices) or entry.about
        field = Field("value", hint, entry.value, placeholder="empty: the default", check=check)
        self.app.push_screen(FormScreen(entry.key, [field]), answered)

    def _change(self, entry: Entry, text: str) -> None:
        program, config = self.program, self.program.config
        flags = {name: getattr(config.settings, name) for name, by in config.sources.items() if by.startswith("--")}
        try:
            if entry.name == "preset":
                # Before it is written: a preset may give a key that [keymap] has given away.
                program.keys_of(replace(config, settings=replace(config.settings, preset=text or "default")))
            save(config.path, entry.key, entry.read(text) if text else None)
            program.use(load_config(flags))
        except BitnetError as error:
            program.say(str(error), title="not changed", severity="error")
            return
        self._show()
        now = self.selected
        if now.source not in ("default", program.config.path.name):
            program.say(f"written, but {now.source} wins: {now.key} is {now.value}", severity="warning")

    def selection_text(self) -> str:
        """Return the setting as config.toml would hold it."""
        return f"{self.selected.key} = {self.selected.value}"

    def offer(self) -> Offer:
        """Return the picture."""
        return Offer("settings", ("--press", "comma"))


def _rows(entry: Entry, choices: tuple[str, ...]) -> list[Row]:
    """Return what is known of a setting, made safe."""
    rows = [
        ("value", entry.value or "—"),
        ("set by", entry.source),
        ("what for", entry.about),
        ("variable", entry.env),
        ("allowed", ", ".join(choices)),
    ]
    return [(label, safe(value, 600)) for label, value in rows if value]
