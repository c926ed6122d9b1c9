"""The recorded runs: find one, look at it, compare two, run one again, delete what is not wanted.

The folder of runs is read, and changed, in a thread; a run of any length costs two short reads.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, OptionList

from bitnet_tui.core.command_line import command
from bitnet_tui.core.exporting import export_table, runs_table
from bitnet_tui.core.inspect_view import Row
from bitnet_tui.core.run_filter import HELP, RunFilter
from bitnet_tui.core.session import SettingError
from bitnet_tui.core.store import RunInfo
from bitnet_tui.core.text import human_bytes, number, safe
from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.screens.compare import CompareScreen
from bitnet_tui.screens.confirm import ConfirmScreen
from bitnet_tui.screens.export import Offer
from bitnet_tui.widgets.filter_box import FilterBox
from bitnet_tui.widgets.panes import Pane, ScrollPane
from bitnet_tui.widgets.pick_list import PickList
from bitnet_tui.widgets.rows_view import RowsView
from bitnet_tui.widgets.run_line import run_pick

RUN_KINDS = ("parity", "bench")
"""Kinds of runs that can be started again."""


class RunsScreen(BaseScreen):
    """Every run of the folder of runs."""

    TAB = "Runs"
    HELP = (
        "Parity runs and benchmarks of the app are recorded and stay until they are deleted, here or by the setting "
        f"runs_limit_gib. The filter takes terms that all have to hold: {HELP}. A - before a term turns it round; "
        "fields are verdict, status, kind, profile, id, model, reference, candidate, since, before, tau, tokens, size."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", id="runs.mark"),
        Binding("c", "compare", "compare two", id="runs.compare"),
        Binding("R", "again", "run again", id="runs.again"),
        Binding("D", "delete", "delete", id="runs.delete"),
        Binding("slash", "filter", "filter", key_display="/", id="runs.filter"),
        Binding("e", "export", "export", id="app.export"),
    ]
    DEFAULT_CSS = """
    RunsScreen {
        #list { width: 2fr; }
        #about { width: 1fr; scrollbar-size-vertical: 1; }
        &.-narrow #body { layout: vertical; }
        &.-narrow #list { width: 100%; height: 2fr; }
        &.-narrow #about { width: 100%; height: 1fr; }
        #runs {
            height: 1fr; border: none !important; padding: 0;
            background: $background; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[RunInfo] = []
        """What the folder held when it was last read, newest first."""
        self.marked: list[str] = []
        """Ids in the order in which they were marked."""
        self._wanted = RunFilter(())

    def compose_body(self) -> ComposeResult:
        """The list and its filter at the left, one run in full at the right (below, where it is narrow)."""
        with Horizontal(id="body"):
            with Pane(id="list", classes="pane"):
                yield FilterBox(HELP)
                yield PickList(id="runs")
            with ScrollPane(id="about", classes="pane"):
                yield RowsView(id="rows")

    def on_mount(self) -> None:
        """Name the panes."""
        self.query_one("#list").border_title = Content("runs")
        self.query_one("#about").border_title = Content("run")
        self.query_one("#runs").focus()

    def on_screen_resume(self) -> None:
        """Read the folder again; a run may have ended."""
        self.reload()

    def reload(self) -> None:
        """Read the folder in a thread, and show what it holds."""
        self.run_worker(self._reload, group="runs", exclusive=True)

    async def _reload(self) -> None:
        self.runs = await asyncio.to_thread(self.program.store.list)
        known = {run.id for run in self.runs}
        self.marked = [id for id in self.marked if id in known]
        self._show()

    # ---- showing ------------------------------------------------------------------------------------

    def shown(self) -> list[RunInfo]:
        """Return the runs that the filter lets through."""
        now = self.program.clock()
        return [run for run in self.runs if self._wanted.matches(run, now)]

    @property
    def selected(self) -> RunInfo | None:
        """The run under the cursor."""
        chosen = self.query_one(PickList).chosen
        return next((run for run in self.runs if chosen is not None and str(run.path) == chosen.value), None)

    def _show(self) -> None:
        shown, now = self.shown(), self.program.clock()
        live = self.program.live_run
        picks = [run_pick(run, now, live=run.id == live, marked=run.id in self.marked) for run in shown]
        self.query_one(PickList).show(picks)
        size = human_bytes(sum(run.nbytes for run in shown))
        marked = f" · {len(self.marked)} marked" if self.marked else ""
        none = f"none yet: {self.program.key_of('app.new_run')} makes the first"
        text = f"{len(shown)} of {len(self.runs)} · {size}{marked}" if self.runs else none
        self.query_one("#list").border_subtitle = Content(text)
        self._show_selected()

    def _show_selected(self) -> None:
        run = self.selected
        self.query_one(RowsView).show(_rows(run) if run else [])

    def on_option_list_option_highlighted(self) -> None:
        """Show the run under the cursor in full."""
        self._show_selected()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the run that was chosen."""
        if isinstance(event.option_list, PickList) and (chosen := event.option_list.chosen):
            self.program.open_path(chosen.value)

    # ---- keys ---------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away."""
        run = self.selected
        if run is None:
            return
        if run.id in self.marked:
            self.marked.remove(run.id)
        else:
            self.marked.append(run.id)
        self._show()

    def action_compare(self) -> None:
        """Compare the two marked runs, or the marked one with the one under the cursor."""
        ids = list(dict.fromkeys([*self.marked, *([self.selected.id] if self.selected else [])]))[:2]
        runs = [run for id in ids for run in self.runs if run.id == id]
        if len(runs) != 2 or len(self.marked) > 2:
            self.program.say(f"mark two runs with {self.program.key_of('runs.mark')}: {len(self.marked)} are marked")
            return
        # The older one first: what is asked is what changed since.
        self.app.push_screen(CompareScreen(*sorted(runs, key=lambda run: run.when)))

    def action_again(self) -> None:
        """Start the run under the cursor again, as it was asked for."""
        run = self.selected
        if run is None or run.request is None or run.kind not in RUN_KINDS:
            self.program.say("this run does not say how it was started" if run else "there is no run")
            return
        self.program.start_run({**run.request, "export": None})

    def action_delete(self) -> None:
        """Ask, and delete the marked runs, or the one under the cursor."""
        ids = self.marked or ([self.selected.id] if self.selected else [])
        runs = [run for run in self.runs if run.id in ids and run.id != self.program.live_run]
        if not runs:
            self.program.say("there is no run to delete; a live one is cancelled first")
            return
        what = f"the run {safe(runs[0].id, 40)}" if len(runs) == 1 else f"{len(runs)} runs"
        question = f"Delete {what}, {human_bytes(sum(run.nbytes for run in runs))}? They cannot be brought back."

        def decide(yes: bool | None) -> None:
            if yes:
                self.run_worker(partial(self._delete, runs), group="delete")

        self.app.push_screen(ConfirmScreen(question), decide)

    async def _delete(self, runs: Sequence[RunInfo]) -> None:
        try:
            await asyncio.to_thread(lambda: [self.program.store.delete(run) for run in runs])
        except OSError as error:
            self.program.say(f"{error.filename}: cannot be deleted: {error.strerror}", severity="error")
        self.reload()

    def selection_text(self) -> str:
        """Return the path of the run under the cursor; in the pane beside it, its rows."""
        run = self.selected
        if run is None:
            return ""
        if self.query_one("#about").has_focus:
            return "\n".join(f"{label}\t{value}" for label, value in _rows(run))
        return str(run.path)

    def command_line(self) -> str:
        """Return the command that lists the same runs."""
        return command(*self._list_words())

    def _list_words(self) -> tuple[str, ...]:
        terms = self.query_one(FilterBox).value.split()
        # What begins with - is a filter's negation here and an option there.
        return ("runs", "list", *(["--"] if any(term.startswith("-") for term in terms) else []), *terms)

    def offer(self) -> Offer:
        """Return the runs that the filter lets through, and the picture."""
        table = runs_table(self.shown())
        press = ("--press", self.program.key_of("app.runs"))
        return Offer("runs", press, lambda file: export_table(table, file), self._list_words())

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list; a term that is not finished yet leaves it as it was, and says what is missing."""
        try:
            self._wanted = RunFilter.parse(event.value)
        except SettingError as error:
            self.query_one("#list").border_subtitle = Content.styled(safe(str(error), 120), "$warning")
            return
        self._show()


def shown_path(run: RunInfo) -> str:
    """Return where a run lies, as the pane tells it."""
    return str(run.path)


def _rows(run: RunInfo) -> list[Row]:
    """Return what is known of a run, made safe."""
    when = datetime.fromtimestamp(run.when, UTC).strftime("%Y-%m-%d %H:%M UTC")
    request = run.request or {}
    numerics = [request.get("numerics"), request.get("candidate_numerics")]
    rows = [
        ("id", run.id),
        ("model" if run.kind == "bench" else "reference", run.reference),
        ("candidate", run.candidate),
        ("verdict", run.verdict or run.status),
        *((name, status) for name, status in run.gates),
        *([] if run.kind == "bench" else [("median τ-b", number(run.tau_median)), ("tokens", str(run.tokens))]),
        ("profile", run.profile),
        ("numerics", " against ".join(dict.fromkeys(str(name) for name in numerics if name)) or None),
        ("corpus", request.get("corpus")),
        ("max tokens", request.get("max_tokens")),
        ("problem", run.problem),
        ("when", when),
        ("size", human_bytes(run.nbytes)),
        ("path", shown_path(run)),
    ]
    return [(safe(name, 20), safe(str(value), 400)) for name, value in rows if value is not None]
