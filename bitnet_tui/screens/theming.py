"""The themes of the running app: shipped and the user's own, read again when a file changes.

    themes = Themes([shipped, own])
    themes.use(app, "bitnet-dark")         # returns what is wrong with files or name
    if themes.changed():                   # looks at the files; call it in a thread
        themes.load()

`core.themes` reads and checks a file; this keeps what is loaded, and speaks Textual.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from textual.app import App
from textual.theme import Theme

from bitnet_tui.core.settings import DEFAULT_THEME, nearest
from bitnet_tui.core.themes import ThemeData, load_themes


class Themes:
    """The themes of some folders, by name; a later folder wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self.data: dict[str, ThemeData] = {}
        self.problems: list[str] = []
        """A line for each file that is no theme."""
        self.load()

    def load(self) -> None:
        """Read every file; what was loaded before and is gone or broken now is dropped."""
        self._seen = self._look()
        themes, self.problems = load_themes(self._folders)
        self.data = {theme.name: theme for theme in themes}

    def changed(self) -> bool:
        """Return whether a file came, went or was written since `load`."""
        return self._look() != self._seen

    def use(self, app: App[Any], wanted: str) -> list[str]:
        """Turn `app` to the theme `wanted`, to the default where there is none; return what is wrong, a line each."""
        for theme in self.data.values():
            app.register_theme(textual_theme(theme))
        if wanted in app.available_themes:
            app.theme = wanted
            app.refresh_css(animate=False)
        elif DEFAULT_THEME in self.data:
            app.theme = DEFAULT_THEME
            hint = nearest(wanted, self.data) or f" Allowed: {', '.join(self.data)}."
            return [*self.problems, f"there is no theme '{wanted}'.{hint} {app.theme} is shown."]
        return list(self.problems)

    def after(self, name: str) -> str | None:
        """Return the theme that follows `name`, the first one after the last; None without any."""
        names = list(self.data)
        at = names.index(name) if name in names else -1
        return names[(at + 1) % len(names)] if names else None

    def _look(self) -> dict[Path, tuple[int, int]]:
        seen: dict[Path, tuple[int, int]] = {}
        for folder in self._folders:
            for path in folder.glob("*.toml"):
                # An editor replaces a file in two steps, and may be between them.
                with suppress(OSError):
                    status = path.stat()
                    seen[path] = (status.st_mtime_ns, status.st_size)
        return seen


def textual_theme(theme: ThemeData) -> Theme:
    """Return `theme` as Textual knows themes, the app's own colours as its variables."""
    base: dict[str, Any] = dict(theme.colors)
    return Theme(name=theme.name, dark=theme.dark, variables=dict(theme.app), **base)
