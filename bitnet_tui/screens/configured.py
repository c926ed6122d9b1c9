"""An app with settings: the theme and the keys in force, read again when a theme's file or a setting changes.

    class BitnetApp(ConfiguredApp):
        BOUND = (...)                      # every class that binds keys, filled in where all of them are known

Knows no screen of ours and no model.
"""

import asyncio
from typing import ClassVar

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.notifications import SeverityLevel

from bitnet_tui.core.keymap import resolve
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.settings import DEFAULT_THEME, Config, Settings, themes_dir
from bitnet_tui.core.store import Store
from bitnet_tui.core.text import safe, safe_lines
from bitnet_tui.core.themes import APP_COLORS, ThemeData
from bitnet_tui.screens.keys import actions_of, shown, textual_keymap
from bitnet_tui.screens.theming import Themes

_LOOK = 1.0
"""Seconds between two looks at the files of themes."""


class ConfiguredApp(App[None]):
    """What the settings decide. Raises SettingError where two actions get one key."""

    BOUND: ClassVar[tuple[type[DOMNode], ...]] = ()
    """Everything that binds keys."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.themes = Themes([resource_dir("themes"), themes_dir()])
        self._keys = self.keys_of(config)
        super().__init__()
        self._use_keys()
        self.store = Store(self.settings.runs_dir)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.config.settings

    def say(self, message: str, title: str = "", severity: SeverityLevel = "information") -> None:
        """Show a toast; its text may hold anything. (`notify` alone takes its text for markup.)"""
        lines = "\n".join(safe_lines(message, 12))
        self.notify(lines, title=safe(title), severity=severity, timeout=3, markup=False)

    # ---- themes and keys ----------------------------------------------------------------------------

    def _use_themes(self, wanted: str) -> None:
        """Register what is loaded and turn to `wanted`; what is wrong with files or name is one notification."""
        if problems := self.themes.use(self, wanted):
            self.say("\n".join(problems), title="themes left out", severity="warning")

    def watch_themes(self) -> None:
        """Turn to the theme of the settings, and look at its file from now on."""
        self._use_themes(self.settings.theme)
        self.set_interval(_LOOK, self._look_at_themes)

    async def _look_at_themes(self) -> None:
        """Show the theme as its file now is, once somebody has changed it."""
        if await asyncio.to_thread(self.themes.changed):
            self.themes.load()
            self._use_themes(self.theme)

    def keys_of(self, config: Config) -> dict[str, list[str]]:
        """Return the keys of every action under `config`. Raises SettingError where two actions get one key."""
        return resolve(actions_of(self.BOUND), config.settings.preset, config.settings.keys, str(config.path))

    def _use_keys(self) -> None:
        known = actions_of(self.BOUND)
        # Only what differs: an untouched binding keeps the way it is shown (`←→`).
        self.set_keymap(textual_keymap({name: keys for name, keys in self._keys.items() if keys != known[name]}))

    def use(self, config: Config) -> None:
        """Put other settings in force at once; a run that goes on stays where it is recorded."""
        before, self.config = self.settings, config
        self._keys = self.keys_of(config)
        self._use_keys()
        if self.settings.theme != before.theme:
            self._use_themes(self.settings.theme)
        if self.settings.runs_dir != before.runs_dir:
            self.store = Store(self.settings.runs_dir)

    def get_key_display(self, binding: Binding) -> str:
        """Return a key as the help shows it."""
        return binding.key_display or shown(binding.key)

    def key_of(self, action: str) -> str:
        """Return the key in force for an action, such as `app.open`, as a hint names it."""
        return shown(self._keys[action][0])

    def action_next_theme(self) -> None:
        """Switch to the next of the program's own themes."""
        following = self.themes.after(self.theme)
        if following is None:
            self.say("no theme was loaded", severity="warning")
            return
        self.theme = following
        self.say(f"theme {self.theme}")

    @property
    def heat_theme(self) -> ThemeData | None:
        """The theme whose ramp heat maps take: the one in force, the default where Textual's own is."""
        return self.themes.data.get(self.theme) or self.themes.data.get(DEFAULT_THEME)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the app's own colours for themes that lack them, such as Textual's."""
        theme = self.themes.data.get(DEFAULT_THEME)
        return dict(theme.app) if theme else dict.fromkeys(APP_COLORS, "auto")
