"""The first line of every screen: the program, the screens and the keys in force, and what goes on at the right.

bitnet-tui  0 Home  1 Inspect  2 Parity  3 Bench  4 Runs               ● live 31/64  12.4 tok/s  eta 3 s
"""

from collections.abc import Callable

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

_MODES = ("home", "inspect", "parity", "bench", "runs")
TABS = tuple((f"app.{mode}", mode.capitalize()) for mode in _MODES)
"""Actions that lead to the screens, with their names."""


class TopBar(Widget, can_focus=False):
    """Tabs at the left, the screen's status at the right; the status is cut where both do not fit."""

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; color: $foreground; }
    """

    status: reactive[Content] = reactive(Content(""))

    def __init__(self, active: str, key_of: Callable[[str], str]) -> None:
        super().__init__()
        self._active, self._key_of = active, key_of

    def render(self) -> Content:
        """Render both ends."""
        wide = self.size.width >= 100
        left = Content.assemble((" bitnet-tui " if wide else "", "bold $primary"), *map(self._tab, TABS))
        room = self.size.width - left.cell_length - 1
        right = self.status.truncate(max(0, room), ellipsis=True)
        return Content.assemble(left, " " * (room - right.cell_length), right)

    def _tab(self, tab: tuple[str, str]) -> Content:
        key, name = self._key_of(tab[0]), tab[1]
        if name == self._active:
            return Content.styled(f" {key} {name} ", "bold reverse")
        return Content.assemble((f" {key}", "bold $accent"), (f" {name} ", "$text-muted"))
