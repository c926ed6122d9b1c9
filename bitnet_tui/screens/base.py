"""What every main screen has: the top bar, a body, a footer, and one line where the terminal is too small."""

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from bitnet_tui.widgets.filter_box import FilterBox
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

    DEFAULT_CSS = """
    BaseScreen {
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
        yield Footer(compact=True, show_command_palette=False)
        yield Static(Content(TOO_SMALL), id="too-small")

    def compose_body(self) -> ComposeResult:
        """Yield what lies between the bars."""
        raise NotImplementedError

    def clear_filter(self) -> bool:
        """Close the filter if it is open, and say whether it was; most screens have none."""
        return any(box.close() for box in self.query(FilterBox))

    def action_filter(self) -> None:
        """Open the filter."""
        self.query_one(FilterBox).open()

    @property
    def program(self) -> "BitnetApp":
        """The app this screen belongs to."""
        return cast("BitnetApp", self.app)

    def set_status(self, status: Content) -> None:
        """Show `status` at the right of the top bar."""
        self.query_one(TopBar).status = status
