"""A list of things to open: a name at the left that gives way, facts at the right that do not.

bitnet-2B/ggml-model-i2_s.gguf                1.10 GiB
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from bitnet_tui.core.text import elide, safe
from bitnet_tui.widgets.cells import fit


@dataclass(frozen=True)
class Pick:
    """One entry: `value` is what opening it means; the other strings are made safe here."""

    value: str
    name: str
    facts: str
    style: str = "$text-muted"
    """Style of the facts."""


class PickList(OptionList):
    """Entries laid out for the list's width; the same entry stays highlighted when they change."""

    # Textual's own, named so that they can be remapped.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "Up", show=False, id="list.up"),
        Binding("down", "cursor_down", "Down", show=False, id="list.down"),
        Binding("home", "first", "First", show=False, id="list.first"),
        Binding("end", "last", "Last", show=False, id="list.last"),
        Binding("pageup", "page_up", "Page up", show=False, id="list.page_up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="list.page_down"),
        Binding("enter", "select", "Open", show=False, id="list.select"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.picks: list[Pick] = []

    def show(self, picks: Sequence[Pick]) -> None:
        """Replace the entries."""
        chosen = self.chosen
        self.picks = list(picks)
        self._fill()
        values = [pick.value for pick in self.picks]
        if values:
            self.highlighted = values.index(chosen.value) if chosen and chosen.value in values else 0

    @property
    def chosen(self) -> Pick | None:
        """The highlighted entry."""
        at = self.highlighted
        return self.picks[at] if at is not None and at < len(self.picks) else None

    def action_page_down(self) -> None:
        """Go down by what is in view; Textual's own fails on a list that was never drawn, as in a tiny terminal."""
        if self.region.area:
            super().action_page_down()

    def action_page_up(self) -> None:
        """Go up by what is in view; as `action_page_down`."""
        if self.region.area:
            super().action_page_up()

    def on_resize(self) -> None:
        """Lay the entries out again."""
        at = self.highlighted
        self._fill()
        self.highlighted = at

    def _fill(self) -> None:
        self.clear_options()
        self.add_options([Option(self._drawn(pick)) for pick in self.picks])

    def _drawn(self, pick: Pick) -> Content:
        return self.line(pick, max(10, self.scrollable_content_region.width))

    def _watch_highlighted(self, before: int | None, after: int | None) -> None:
        """Draw the row under the cursor in the cursor's colours alone: on its background no other can be read."""
        for at in (before, after):
            if at is not None and at < self.option_count:
                drawn = self._drawn(self.picks[at])
                self.replace_option_prompt_at_index(at, Content(drawn.plain) if at == after else drawn)

    def line(self, pick: Pick, width: int) -> Content:
        """Return an entry in `width` cells."""
        facts = safe(pick.facts, 60)
        room = max(4, width - len(facts) - 2)
        name = fit(elide(safe(pick.name), room), room)
        return Content.assemble(name, "  ", (facts, pick.style))
