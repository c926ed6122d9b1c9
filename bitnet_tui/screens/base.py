"""What every main screen has: the top bar, panes, a footer, and one line where the terminal is too small.

A pane is a widget of the class `pane`. `tab` goes from one to the next, `ctrl+o` puts a letter on each, `z` lets the
one with the focus fill the screen; what `y` and `Y` copy is for the screens to say.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from bitnet_tui.core.session import BitnetError
from bitnet_tui.core.text import safe
from bitnet_tui.screens.export import Offer, export_form, svg_of, write_export
from bitnet_tui.screens.jump import JumpScreen
from bitnet_tui.widgets.filter_box import FilterBox
from bitnet_tui.widgets.key_footer import KeyFooter
from bitnet_tui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from bitnet_tui.app import BitnetApp

TOO_SMALL = "enlarge the terminal, or run headless with --export DIR"

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class BaseScreen(Screen[None]):
    """A main screen; subclasses give `TAB`, `HELP` and `compose_body`."""

    TAB = ""
    HELP = ""
    """What the screen is for, in two or three sentences; shown by the help."""

    ALLOW_IN_MAXIMIZED_VIEW = ".-textual-system,Footer,TopBar,TourCard"
    BINDINGS: ClassVar[list[BindingType]] = [
        # Textual's own, named so that they can be remapped.
        Binding("tab", "app.focus_next", "Next pane", show=False, id="app.next_pane"),
        Binding("shift+tab", "app.focus_previous", "Pane before", show=False, id="app.previous_pane"),
    ]
    DEFAULT_CSS = """
    BaseScreen {
        overflow: hidden;
        #too-small { display: none; color: $warning; padding: 1 2; }
        &.-tiny-width > *, &.-tiny-height > * { display: none; }
        &.-tiny-width > #too-small, &.-tiny-height > #too-small { display: block; }
        .pane {
            border: round $panel-lighten-2;
            border-title-color: $text-muted;
            border-subtitle-color: $text-muted;
            padding: 0 1;
        }
        .pane:focus, .pane:focus-within { border: round $primary; border-title-color: $primary; }
    }
    """

    def compose(self) -> ComposeResult:
        """Lay the frame around the body."""
        yield TopBar(self.TAB, self.program.key_of)
        yield from self.compose_body()
        yield KeyFooter()
        yield Static(Content(TOO_SMALL), id="too-small")

    def compose_body(self) -> ComposeResult:
        """Yield what lies between the bars."""
        raise NotImplementedError

    @property
    def busy(self) -> bool:
        """Whether something that the screen shows is still on its way from a child process or a file."""
        return False

    def clear_filter(self) -> bool:
        """Close the filter if it is open, and say whether it was; most screens have none."""
        return any(box.close() for box in self.query(FilterBox))

    def action_filter(self) -> None:
        """Open the filter."""
        self.query_one(FilterBox).open()

    # ---- panes --------------------------------------------------------------------------------------

    def panes(self) -> list[Widget]:
        """Return the panes in view that can have the focus, or hold what can."""
        return [pane for pane in self.query(".pane") if self._entry(pane) is not None]

    def _entry(self, pane: Widget) -> Widget | None:
        """Return what gets the focus when somebody goes to `pane`."""
        return next((inside for inside in self.focus_chain if pane in inside.ancestors_with_self), None)

    def action_zoom(self) -> None:
        """Let the pane with the focus fill the screen, or put it back."""
        panes = self.panes()
        focused = [pane for pane in panes if self.focused is not None and pane in self.focused.ancestors_with_self]
        if self.maximized is not None:
            self.minimize()
        elif panes:
            self.maximize((focused or panes)[0], container=False)

    def action_jump(self) -> None:
        """Put a letter on each pane, and go where the next key says."""

        def go(pane: Widget | None) -> None:
            if pane is not None and (entry := self._entry(pane)) is not None:
                entry.focus()

        self.app.push_screen(JumpScreen(self.panes()), go)

    # ---- copying ------------------------------------------------------------------------------------

    def selection_text(self) -> str:
        """Return what `y` copies, unaltered: the name, path or row at the cursor; empty where there is none."""
        return ""

    def command_line(self) -> str:
        """Return the command that equals what is shown; empty where there is none."""
        return ""

    def action_copy(self) -> None:
        """Copy what is selected."""
        self.copy(self.selection_text(), "nothing is selected")

    def action_copy_command(self) -> None:
        """Copy the command line that equals what is shown."""
        self.copy(self.command_line(), "no command shows this")

    def copy(self, text: str, otherwise: str) -> None:
        """Copy `text` and say so; say `otherwise` where there is none."""
        if text:
            self.app.copy_to_clipboard(text)
        self.program.say(f"copied {safe(text, 120)}" if text else otherwise)

    # ---- exporting ----------------------------------------------------------------------------------

    def offer(self) -> Offer | None:
        """Return what can be exported; None where there is nothing."""
        return None

    def action_export(self) -> None:
        """Ask for a file, and write what is shown into it."""
        offer = self.offer()
        if offer is None:
            self.program.say("there is nothing to export yet")
            return
        svg, size = svg_of(self.app), self.app.size

        def write(answers: dict[str, str] | None) -> None:
            if answers is not None:
                file = Path(answers["file"]).expanduser()
                self.run_worker(self._write(offer, file, svg), group="export", exclusive=True)

        self.app.push_screen(export_form(offer, (size.width, size.height), self.app.theme), write)

    async def _write(self, offer: Offer, file: Path, svg: str) -> None:
        try:
            await asyncio.to_thread(write_export, offer, file, svg)
        except (BitnetError, OSError) as error:
            self.program.say(str(error), title="not exported", severity="error")
        else:
            self.program.say(f"written: {file}")

    # ---- the program --------------------------------------------------------------------------------

    @property
    def program(self) -> "BitnetApp":
        """The app this screen belongs to."""
        return cast("BitnetApp", self.app)

    def set_status(self, status: Content) -> None:
        """Show `status` at the right of the top bar."""
        self.query_one(TopBar).status = status
