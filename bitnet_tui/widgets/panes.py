"""The boxes that a screen is made of: what `tab` goes to and `z` lets fill the screen.

    with Pane(id="parts", classes="pane"):
        yield TensorTree()
    with ScrollPane(id="details", classes="pane"):     # scrolls by the keys `pane.…` once it has the focus
        yield RowsView()

A widget that draws a whole pane by itself (the token strip) needs no box: the class `pane` is what counts.
"""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll


class Pane(Vertical):
    """A box around widgets that may fill the screen."""

    ALLOW_MAXIMIZE = True


# Textual's own bindings have no names, and what has no name cannot be remapped.
class ScrollPane(VerticalScroll, can_focus=True, inherit_bindings=False):
    """A box that scrolls what is in it."""

    ALLOW_MAXIMIZE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "Scroll up", show=False, id="pane.up"),
        Binding("down", "scroll_down", "Scroll down", show=False, id="pane.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="pane.page_up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="pane.page_down"),
        Binding("home", "scroll_home", "First line", show=False, id="pane.first"),
        Binding("end", "scroll_end", "Last line", show=False, id="pane.last"),
    ]
