"""One benchmark, live, recorded or opened from its bench.json: bars against the machine's limits, one measure whole.

Live and stored differ in where the events come from and in nothing else. Earlier runs of the same model on the same
machine are looked up in a thread when there is an artifact.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import OptionList, Static

from bitnet_tui.core.bench_history import history
from bitnet_tui.core.bench_report import artifact_events, bench_table, is_bench
from bitnet_tui.core.bench_view import SHOWN_GROUPS, BenchView
from bitnet_tui.core.command_line import bench_command, command
from bitnet_tui.core.exporting import export_table
from bitnet_tui.core.run_source import RunSource
from bitnet_tui.core.run_state import RunState
from bitnet_tui.core.text import elide, safe
from bitnet_tui.screens.export import Offer
from bitnet_tui.screens.run_screen import RunScreen
from bitnet_tui.widgets.bench_charts import measure_charts
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.measure_list import MeasureList
from bitnet_tui.widgets.panes import Pane, ScrollPane
from bitnet_tui.widgets.rows_view import RowsView


class BenchScreen(RunScreen):
    """How fast a model is here, and how fast it could be."""

    TAB = "Bench"
    HELP = (
        "A bar is full where the machine allows no more: by reading its memory once, or by the products of bytes that "
        "its processors can do, both measured in the same run. A value is the median of the samples that nothing "
        "disturbed, beside it the interval that holds the true one in 95 % of cases; ~ marks a measure of which some "
        "samples were disturbed by other processes, steal or a lower clock. ▲ and ▼ stand where the baseline differs "
        "by more than the noise of both, ≈ where it does not. decode@64: a token with 64 behind it; prefill[512]: a "
        "prompt of 512; ttft: the time to the first token; body, attention, head, norms: parts, each measured alone."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "group", "measures", id="bench.group"),
        Binding("b", "baseline", "baseline", id="bench.baseline"),
        Binding("a", "absolute", "absolute", id="bench.absolute"),
        Binding("l", "logarithmic", "log", id="bench.logarithmic"),
        Binding("r", "app.new_run", "new run", id="app.new_run"),
        Binding("e", "export", "export", id="app.export"),
        Binding("i", "intervals", "intervals", id="bench.intervals"),
        Binding("x", "by_case", "by case", id="bench.by_case"),
    ]
    DEFAULT_CSS = """
    BenchScreen {
        #facts { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #notes { height: auto; max-height: 3; padding: 0 1; display: none; }
        #none { height: auto; padding: 1 2; }
        #body { display: none; }
        &.-opened #body { display: block; }
        &.-opened #none { display: none; }
        #list { width: 2fr; }
        #one { width: 1fr; scrollbar-size-vertical: 1; }
        MeasureList {
            height: 1fr; border: none !important; padding: 0;
            background: $background; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        }
        &.-narrow #body { layout: vertical; }
        &.-narrow #list, &.-narrow #one { width: 100%; height: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.view = BenchView()

    def compose_body(self) -> ComposeResult:
        """Facts and notes, the list of measures, one measure at its right (below, where it is narrow)."""
        yield Static(Content("no benchmark is open"), id="facts")
        yield Static(id="notes")
        yield ErrorCard(id="error")
        yield Static(id="none")
        with Horizontal(id="body"):
            with Pane(id="list", classes="pane"):
                yield MeasureList(id="measures")
            with ScrollPane(id="one", classes="pane"):
                yield RowsView(id="rows")

    def on_mount(self) -> None:
        """Say what can be done here."""
        keys = [self.program.key_of(name) for name in ("app.new_run", "app.open", "app.runs")]
        self.query_one("#none", Static).update(
            Content(
                f"{keys[0]} measures a model: how fast it is here, and how fast this machine would allow it to be.\n"
                f"{keys[1]} opens a bench.json that `bitnet-tui bench MODEL --export DIR` has written.\n"
                f"{keys[2]} lists what was recorded, benchmarks among it."
            )
        )

    # ---- beginning ----------------------------------------------------------------------------------

    @property
    def taking(self) -> BenchView:
        """What takes the events of the run."""
        return self.view

    def replay(self, path: str) -> None:
        """Show a recorded run, or an artifact."""
        if is_bench(Path(path)):
            self.begin(RunSource.of_events(artifact_events(Path(path)), path))
        else:
            super().replay(path)

    def fresh(self) -> None:
        """Show a run that has no sample yet, with the choices made for the one before."""
        before, self.view = self.view, BenchView()
        for name in ("group", "by_case", "absolute", "logarithmic", "with_intervals"):
            setattr(self.view, name, getattr(before, name))
        self.query_one(ErrorCard).hide()
        self.add_class("-opened")
        self.query_one(MeasureList).focus()

    def took(self, arrived: bool) -> None:
        """Show what has arrived."""
        if arrived or not self.busy:
            self._show()
        self._show_status()

    def ended(self, source: RunSource) -> None:  # noqa: ARG002
        """Look for earlier runs of the same model."""
        if self.view.artifact is not None:
            self.run_worker(partial(self._look_back, self.view), group="history", exclusive=True)

    async def _look_back(self, view: BenchView) -> None:
        assert view.artifact is not None
        view.compare(await asyncio.to_thread(history, self.program.store, view.artifact, view.id))
        if view is self.view:
            self._show()

    # ---- showing ------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Fit the facts to the new width."""
        self._show_facts()

    def _show(self) -> None:
        view = self.view
        self._show_facts()
        notes = self.query_one("#notes", Static)
        notes.update(Content("\n").join(Content.styled(line, "$warning") for line in view.notes()))
        notes.display = bool(view.notes())
        if view.errors:
            keys = self.program.key_of("app.new_run"), self.program.key_of("app.back")
            self.query_one(ErrorCard).show(*view.errors[-1], f"{keys[0]} starts another run, {keys[1]} goes back")
        box, listing = self.query_one(MeasureList), self.query_one("#list")
        box.show_rows(view.rows())
        bars = "beside the largest of their unit" if view.absolute else "of what the machine allows"
        bars += ", by powers of ten to a thousandth" if view.logarithmic else ""
        doing = view.progress()[0]
        title = f"{view.group} · bars {bars}" if view.artifact is not None else f"samples so far · {doing}"
        listing.border_title = Content(title if view.artifact is not None or doing else "samples")
        listing.border_subtitle = Content(f"{self.program.key_of('app.cancel')} cancels" if self.is_live else "")
        self._show_one()

    def _show_facts(self) -> None:
        view = self.view
        if self.source is None:
            return
        facts = view.facts()
        name = elide(safe(view.model), max(16, self.app.size.width - len(facts) - 20))
        parts = [(f"{safe(view.id, 16)} ", "bold"), (name, "$ref"), (f"  {facts}", "$text-muted")]
        self.query_one("#facts", Static).update(Content.assemble(*parts))

    def _show_one(self) -> None:
        chosen = self.query_one(MeasureList).chosen
        one = self.view.measure(chosen.value) if chosen is not None else None
        title = "measure" if one is None else f"{safe(one.case, 24)}, {one.threads} threads"
        self.query_one("#one").border_title = Content(title.removesuffix("s") if one and one.threads == 1 else title)
        if one is None:
            text = "a measure has its value once the run has ended" if self.busy else "no measure"
            self.query_one(RowsView).show([("", text)])
            return
        charts = partial(measure_charts, self.view, one, self.program.clock())
        self.query_one(RowsView).show(self.view.details(one), None, charts)

    def _show_status(self) -> None:
        view = self.view
        if self.busy:
            cancelling = self.live is not None and self.live.cancelled
            name = "cancelling" if cancelling else "measuring" if self.live is not None else "reading"
            parts = [Content.styled(f"{self.spinner} {name}", "bold $accent"), Content(view.progress()[1])]
        else:
            state = view.state.value
            parts = [Content.styled(state, "" if view.state is RunState.DONE else "bold $warning")]
        self.set_status(Content("  ").join([*parts, Content("")]))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the measure under the cursor."""
        if isinstance(event.option_list, MeasureList):
            self._show_one()

    # ---- keys ---------------------------------------------------------------------------------------

    def action_group(self) -> None:
        """List the next group of measures: speed, parts, start, machine, all."""
        at = SHOWN_GROUPS.index(self.view.group)
        self.view.group = SHOWN_GROUPS[(at + 1) % len(SHOWN_GROUPS)]
        self._show()

    def action_baseline(self) -> None:
        """Compare with the run before the baseline, after the oldest with the newest."""
        run = self.view.next_baseline()
        if run is None:
            self.program.say("there is no earlier run of this model on this machine to compare with")
        self._show()

    def action_absolute(self) -> None:
        """Draw bars as values, or as shares of what the machine allows."""
        self.view.absolute = not self.view.absolute
        self._show()

    def action_logarithmic(self) -> None:
        """Draw bars by powers of ten, where a decode is not nothing beside a prefill, or as they are."""
        self.view.logarithmic = not self.view.logarithmic
        self._show()

    def action_intervals(self) -> None:
        """Show the intervals in the list, or leave their room to the bars."""
        self.view.with_intervals = not self.view.with_intervals
        self._show()

    def action_by_case(self) -> None:
        """Put the threads of a case together, or the cases of a number of threads."""
        self.view.by_case = not self.view.by_case
        self._show()

    # ---- copying and exporting ----------------------------------------------------------------------

    def selection_text(self) -> str:
        """Return the measure under the cursor as a row; in the pane beside it, all that is known of it."""
        chosen = self.query_one(MeasureList).chosen
        one = self.view.measure(chosen.value) if chosen is not None else None
        if one is None:
            return ""
        if self.query_one("#one").has_focus:
            return "\n".join(f"{label}\t{value}" for label, value in self.view.details(one))
        return "\t".join([one.case, str(one.threads), str(one.value), one.unit])

    def command_line(self) -> str:
        """Return the command that measures the same; one that opens it where it does not say how it was made."""
        request = self.view.request
        if all(name in request for name in _NEEDED):
            return bench_command(request)
        return command(self.path) if self.path is not None else ""

    def offer(self) -> Offer | None:
        """Return the measures, a row each, and the picture."""
        artifact, path = self.view.artifact, self.path
        if artifact is None or path is None:
            return None
        table = bench_table(artifact)
        return Offer("bench", (path,), lambda file: export_table(table, file), (path,))


_NEEDED = ("path", "iterations", "warmup", "threads", "quick", "peers")
"""Fields of a request by which a benchmark is made again."""
