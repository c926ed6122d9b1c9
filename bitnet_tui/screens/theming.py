"""The themes of the running app: shipped and the user's own, read again when a file changes.

    themes = Themes([shipped, own])
    for theme in themes.data.values():
        app.register_theme(textual_theme(theme))
    if themes.changed():                   # looks at the files; call it in a thread
        themes.load()

`core.themes` reads and checks a file; this keeps what is loaded, and speaks Textual.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from textual.theme import Theme

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
