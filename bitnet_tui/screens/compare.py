"""Two recorded runs side by side: their numbers, and the tokens whose status changed from one to the other."""

import asyncio
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static

from bitnet_tui.core.parity_view import TokenStatus
from bitnet_tui.core.run_comparison import Change, RunComparison
from bitnet_tui.core.store import RunInfo
from bitnet_tui.core.text import number, safe, token_text
from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.widgets.cells import fit
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.pick_list import Pick, PickList

_LISTED = 2000
"""Changed tokens that are listed; how many there are is said above the list."""

_WORDS = {
    TokenStatus.AGREE: "agrees",
    TokenStatus.DRIFT: "drifts",
    TokenStatus.DIVERGE: "diverges",
    TokenStatus.UNDEFINED: "undefined",
}


class CompareScreen(BaseScreen):
    """What changed from `first` to `second`."""

    TAB = "Runs"
    HELP = (
        "Two runs of the same text, the older one first. The list holds the tokens whose status (agrees, drifts, "
        "diverges, undefined) differs; statuses follow the limits of each run's own profile. Enter opens the newer run."
    )
    DEFAULT_CSS = """
    CompareScreen {
        #sides { height: 2; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #numbers { height: auto; }
        #changes { height: 1fr; }
        PickList { background: $background; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    }
    """

    def __init__(self, first: RunInfo, second: RunInfo) -> None:
        super().__init__()
        self._runs = (first, second)
        self.comparison: RunComparison | None = None
        """None until both runs have been read."""

    def compose_body(self) -> ComposeResult:
        """Sides, numbers, changed tokens."""
        yield Static(Content("\n").join(map(_side, ("A", "B"), self._runs)), id="sides")
        yield ErrorCard(id="error")
        with Vertical(id="body"):
            yield Static(Content("reading two runs …"), id="numbers", classes="pane")
            yield PickList(id="changes")

    def on_mount(self) -> None:
        """Read both runs in a thread."""
        changes = self.query_one("#changes")
        changes.add_class("pane")
        changes.border_title = Content("changed tokens, A → B")
        self.query_one("#numbers").border_title = Content("numbers")
        changes.focus()
        self.run_worker(self._read, group="compare", exclusive=True)

    async def _read(self) -> None:
        store = self.program.store
        streams = [store.open(run.path) for run in self._runs]
        try:
            self.comparison = await asyncio.to_thread(RunComparison.of, *streams)
        except OSError as error:
            self.query_one("#body").display = False
            message = f"{error.filename}: {error.strerror or error}"
            self.query_one(ErrorCard).show(4, message, f"{self.program.key_of('app.back')} goes back")
            return
        self._show(self.comparison)

    def _show(self, both: RunComparison) -> None:
        width = max(12, (self.app.size.width - 40) // 3)
        head = Content(f"{'':<12}{'A':>{width}}{'B':>{width}}{'B − A':>14}").stylize("bold")
        rows = [
            Content.assemble(
                (fit(safe(name, 12), 12), "$text-muted"),
                fit(safe(one, 40), width, right=True),
                fit(safe(two, 40), width, right=True),
                (f"{safe(change, 20):>14}", "$text-muted" if change in ("", "=") else "bold $accent"),
            )
            for name, one, two, change in both.rows()
        ]
        self.query_one("#numbers", Static).update(Content("\n").join([head, *rows]))
        box = self.query_one(PickList)
        box.show([_pick(change) for change in both.changes[:_LISTED]])
        more = f" · the first {_LISTED} are listed" if len(both.changes) > _LISTED else ""
        box.border_subtitle = Content(both.summary() + more)

    def selection_text(self) -> str:
        """Return the changed token under the cursor: its number, its text, both tau-b."""
        chosen = self.query_one(PickList).chosen
        if chosen is None or self.comparison is None:
            return ""
        change = next(change for change in self.comparison.changes if str(change.index) == chosen.value)
        return "\t".join([str(change.index + 1), change.text, *map(str, change.tau_b)])

    def on_option_list_option_selected(self, _event: OptionList.OptionSelected) -> None:
        """Open the newer run."""
        self.program.open_path(str(self._runs[1].path))


def _side(letter: str, run: RunInfo) -> Content:
    names = " → ".join(Path(side).name for side in (run.reference, run.candidate) if side)
    return Content.assemble((f"{letter} ", "bold"), (f"{safe(run.id, 20)}  ", "$accent"), safe(names, 120))


def _pick(change: Change) -> Pick:
    worse = change.statuses[1] in (TokenStatus.DIVERGE, TokenStatus.UNDEFINED)
    words = f"{_WORDS[change.statuses[0]]} → {_WORDS[change.statuses[1]]}"
    facts = f"{words:<22} τ-b {number(change.tau_b[0]):>5} → {number(change.tau_b[1]):>5}"
    name = f"{change.index + 1:>6}  {token_text(change.text)}"
    return Pick(str(change.index), name, facts, "$tau-bad" if worse else "$text-muted")
