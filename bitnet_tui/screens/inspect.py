"""What is in a model file: its parts as a tree, the details of one part beside it.

The header is read at once, in a thread; statistics of the weights follow from a child process, and findings that only
the weights show from another, when they are asked for.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static, Tree

from bitnet_tui.core.command_line import command, reading_words
from bitnet_tui.core.diff_view import DiffView
from bitnet_tui.core.exporting import export_table, model_table
from bitnet_tui.core.feed import Live
from bitnet_tui.core.inspect_view import ORDERS, InspectView, Row, Shares
from bitnet_tui.core.layout import file_layout
from bitnet_tui.core.session import canonical
from bitnet_tui.core.text import elide, safe
from bitnet_tui.screens.base import SPINNER, BaseScreen
from bitnet_tui.screens.export import Offer
from bitnet_tui.screens.form import Field, FormScreen
from bitnet_tui.widgets.charts import histogram, layout_strip, value_grid, zero_map
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.filter_box import FilterBox
from bitnet_tui.widgets.panes import Pane, ScrollPane
from bitnet_tui.widgets.rows_view import Chart, RowsView
from bitnet_tui.widgets.tensor_tree import Part, TensorTree

_LAYOUT_ROWS = 12
_VALUES = (32, 64)
"""Rows and columns of values that are read."""

_TICK = 1 / 20
_BATCH = 1000


_ORDERED = {"file": "as in the file", "size": "by size", "unusual": "the unusual first"}


def _after(order: str) -> str:
    return ORDERS[(ORDERS.index(order) + 1) % len(ORDERS)]


class InspectScreen(BaseScreen):
    """One model file."""

    TAB = "Inspect"
    HELP = (
        "Everything here comes from the file's header, except the statistics of a tensor: a child process "
        "reads the weights for those, and each tensor gets a bar of its −1, 0 and +1 when it is done. "
        "s reads them once more, for the known bugs that only the weights show; d compares with another file.\n\n"
        "bpw: bits stored for each weight, scales and padding included; body: without embedding and head. "
        "trit: a weight of −1, 0 or +1. scale: the float that a matrix of trits is multiplied with. "
        "entropy: the bits that the shares of the three values carry, log2(3) = 1.585 at most; far less means "
        "nearly one value alone. γ (gamma): the weight of a norm; its rms is about 1 in a healthy model. "
        "zeros by block: an even shade is usual, a dark row or column is a dead output or input. "
        "Sorted by unusual, the matrix whose share of zeros is farthest from the median comes first."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/", id="inspect.filter"),
        Binding("s", "scan", "scan", id="inspect.scan"),
        Binding("d", "diff", "diff", id="inspect.diff"),
        Binding("S", "sort", "sort", id="inspect.sort"),
        Binding("r", "app.new_run", "run", id="app.new_run"),
        Binding("v", "values", "values", id="inspect.values"),
        Binding("e", "export", "export", id="app.export"),
        Binding("y", "copy", "copy name", id="app.copy"),
        Binding("o", "app.open", "open", id="app.open"),
    ]
    DEFAULT_CSS = """
    InspectScreen {
        #facts { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #parts { width: 1fr; }
        #details { width: 1fr; scrollbar-size-vertical: 1; }
        #tree { background: $background; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
        #progress { height: 1; padding: 0 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
        &.-narrow #body { layout: vertical; }
        &.-narrow #parts, &.-narrow #details { width: 100%; height: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.view = InspectView({})
        self.path: str | None = None
        self._part = Part("file")
        self._reading: dict[str, Any] = {}
        self._live: Live | None = None
        self._scan: Live | None = None
        self._diff: tuple[Live | None, DiffView] | None = None
        """The job that compares with another file, None once it has ended, and what it has said."""
        self._values: dict[str, list[list[float | None]]] = {}
        """First values of the tensors that were asked for."""
        self._show_values = False
        self._timer: Timer | None = None
        self._tick = 0

    def compose_body(self) -> ComposeResult:
        """Facts, tree and details, progress of the statistics."""
        yield Static(Content(f"no model is open · {self.program.key_of('app.open')} opens one"), id="facts")
        yield ErrorCard(id="error")
        with Horizontal(id="body"):
            with Pane(id="parts", classes="pane"):
                yield FilterBox("part of a name")
                yield TensorTree(id="tree")
            with ScrollPane(id="details", classes="pane"):
                yield RowsView(id="rows")
        yield Static(id="progress")

    def on_mount(self) -> None:
        """Prepare the clock of the statistics; it runs while there are any."""
        self._timer = self.set_interval(_TICK, self._take, pause=True)
        self.query_one("#parts").border_title = Content("parts")
        self.query_one("#tree").focus()

    # ---- opening ------------------------------------------------------------------------------------

    def load(self, path: str, reading: dict[str, Any], weight: str = "") -> None:
        """Read the header of `path` in a thread, then its statistics in a child process.

        `reading` says what the file does not state, as `session.inspect` takes it; {} where nobody knows. The cursor
        goes to the tensor whose canonical name is `weight`.
        """
        self.stop()
        self.path, self._reading = path, reading
        self.run_worker(partial(self._load, path, weight), group="load", exclusive=True)

    def go_to(self, weight: str) -> None:
        """Put the cursor on the tensor whose canonical name is `weight`."""
        name = next((name for name in self.view.names() if canonical(name) == weight), None)
        if name is None or not self.query_one(TensorTree).go_to(Part("tensor", name)):
            self.program.say(f"{weight}: this operation has no weight of its own in the file")

    async def _load(self, path: str, weight: str) -> None:
        self.query_one("#facts", Static).update(Content(f"reading {safe(path)} …"))
        try:
            summary = await asyncio.to_thread(partial(self.program.inspect, path, **self._reading))
        except Exception as error:
            # The edge of the program: whatever a strange file causes is a card, never a crash.
            self._fail(path, getattr(error, "exit_code", 6), str(error) or type(error).__name__)
            return
        self._show(summary)
        if weight:
            self.go_to(weight)
        self._live = self._start("stats")

    @property
    def busy(self) -> bool:
        """Whether statistics, a scan or a comparison go on."""
        return any(live is not None for live in (self._live, self._scan, self._comparing))

    @property
    def _comparing(self) -> Live | None:
        return self._diff[0] if self._diff is not None else None

    def _start(self, kind: str) -> Live | None:
        live = self.program.start({"kind": kind, "path": self.path, **self._reading})
        if live is not None and self._timer is not None:
            self._timer.resume()
        return live

    def _show(self, summary: dict[str, Any]) -> None:
        self.view = InspectView(summary)
        self._diff, self._values = None, {}
        self.query_one(ErrorCard).hide()
        self.query_one("#body").display = True
        self._part = Part("file")
        self._show_facts()
        self._show_tree()
        self._show_part()
        self.query_one("#tree").focus()

    def _fail(self, path: str, exit_code: int, message: str) -> None:
        self.view = InspectView({})
        self.query_one("#facts", Static).update(Content(safe(path)))
        self.query_one("#body").display = False
        keys = self.program.key_of("app.open"), self.program.key_of("app.back")
        self.query_one(ErrorCard).show(exit_code, message, f"{keys[0]} opens another model, {keys[1]} goes back")

    def stop(self) -> None:
        """Stop the statistics, the scan and the comparison; what has arrived stays."""
        for live in (self._live, self._scan, self._comparing):
            if live is not None:
                self.program.stop(live)
        if self._diff is not None and self._comparing is not None:
            self._diff[1].feed({"event": "run.end", "status": "cancelled"})
            self._diff = (None, self._diff[1])
        if self._scan is not None:
            self.view.feed_scan({"event": "run.end", "status": "cancelled"})
        self._live = self._scan = None
        if self._timer is not None:
            self._timer.pause()
        self._show_progress("")

    # ---- showing ------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Fit the facts to the new width."""
        self._show_facts()

    def _show_facts(self) -> None:
        if not self.view.path:
            return
        facts, notes = self.view.facts(), len(self.view.findings())
        name = elide(safe(self.view.path), max(12, self.app.size.width - len(facts) - 18))
        sound = Content.styled("✔ no finding", "$success")
        found = Content.styled(f"! {notes} finding{'s' * (notes != 1)}", "$warning")
        line = Content.assemble((name, "bold"), "  ", found if notes else sound, "  ", (facts, "$text-muted"))
        self.query_one("#facts", Static).update(line)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Part]) -> None:
        """Show the part under the tree's cursor."""
        if event.node.data is not None:
            self._part = event.node.data
            self._need_values()
            self._show_part()

    def _show_tree(self) -> None:
        names = [found.name for found in self._diff[1].differences] if self._diff is not None else []
        self.query_one(TensorTree).show(self.view, self.query_one(FilterBox).value, names)
        order = "" if self.view.order == ORDERS[0] else f" {_ORDERED[self.view.order]}"
        # What another press leads to is said here: nobody would look for the unusual behind `sort`.
        after = f"{self.program.key_of('inspect.sort')}: {_ORDERED[_after(self.view.order)]}"
        self.query_one("#parts").border_title = Content(f"parts{order} · {after}")

    def _show_part(self) -> None:
        title, rows, shares = self._details(self._part)
        self.query_one("#details").border_title = Content(title)
        values = self._values.get(self._part.key) if self._show_values and self._part.kind == "tensor" else None
        if values is not None:
            self.query_one(RowsView).show([], None, partial(value_grid, values))
        else:
            self.query_one(RowsView).show(rows, shares, self._chart(self._part))

    def _chart(self, part: Part) -> Chart | None:
        """Return what is drawn below the rows of a part."""
        if part.kind == "layout":
            spans = [span for span in file_layout(self.view.summary) if span.file == part.key]
            return partial(layout_strip, spans, rows=_LAYOUT_ROWS)
        if part.kind != "tensor":
            return None
        if zeros := self.view.zeros(part.key):
            return partial(zero_map, zeros)
        found = self.view.histogram(part.key)
        return None if found is None else partial(histogram, *found)

    def _details(self, part: Part) -> tuple[str, list[Row], Shares | None]:
        view = self.view
        if part.kind == "tensor":
            return safe(part.key, 60), view.tensor(part.key), view.shares(part.key)
        if part.kind == "metadata":
            return safe(part.key, 60), view.metadata(part.key), None
        if part.kind == "tokenizer":
            return "tokenizer", view.tokenizer(), None
        if part.kind == "layout":
            return "layout", [("file", safe(part.key, 120))], None
        if part.kind == "difference" and self._diff is not None:
            found = self._diff[1].differences[int(part.key)]
            return safe(found.name, 60), list(found.rows), None
        if part.kind == "finding":
            return "finding", view.finding(int(part.key)), None
        if part.kind == "block":
            return safe(part.key, 60), view.block(part.key), None
        if part == Part("section", "metadata"):
            return "metadata", view.all_metadata(), None
        rows = view.overview(self.program.key_of("inspect.scan")) if self.path else []
        return ("file" if part.kind == "file" else safe(part.key, 60)), rows, None

    def _take(self) -> None:
        """Take in what has arrived from the child processes."""
        self._live = self._take_stats(self._live) if self._live is not None else None
        self._scan = self._take_scan(self._scan) if self._scan is not None else None
        if self._diff is not None and self._diff[0] is not None:
            self._diff = (self._take_diff(self._diff[0], self._diff[1]), self._diff[1])
        self._tick += 1
        self._show_progress(SPINNER[self._tick // 2 % len(SPINNER)] + " " if self.busy else "")
        if not self.busy and self._timer is not None:
            self._timer.pause()

    def _take_stats(self, live: Live) -> Live | None:
        for event in live.feed.drain(_BATCH):
            name = self.view.feed(event)
            if name is not None:
                self.query_one(TensorTree).update_tensor(name)
                if self._part == Part("tensor", name):
                    self._show_part()
        return None if live.feed.ended else live

    def _take_scan(self, live: Live) -> Live | None:
        for event in live.feed.drain(_BATCH):
            if self.view.feed_scan(event):
                self._show_facts()
                self._show_tree()
                self._show_part()
        return None if live.feed.ended else live

    def _take_diff(self, live: Live, diff: DiffView) -> Live | None:
        for event in live.feed.drain(_BATCH):
            if diff.feed(event):
                self._show_tree()
        return None if live.feed.ended else live

    def _show_progress(self, spinner: str) -> None:
        view = self.view
        if not view.path:
            return
        total = len(view.summary.get("tensors", []))
        text = f"{spinner}statistics {view.measured}/{total} tensors, {view.coverage:.0%} of the bytes"
        diff = self._diff[1].said if self._diff is not None else ""
        notes = [view.stats_error, view.scan, diff, f"{self.program.key_of('app.cancel')} stops" if spinner else ""]
        self.query_one("#progress", Static).update(Content(" · ".join([text, *filter(None, notes)])))

    # ---- keys ---------------------------------------------------------------------------------------

    def action_scan(self) -> None:
        """Look in the weights for the known bugs that a header does not show; once for each file."""
        if self.view.path and self._scan is None and not self.view.scanned:
            self._scan = self._start("scan")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the tree to what holds the text."""
        if event.input.id == "filter":
            self._show_tree()

    def action_sort(self) -> None:
        """List the tensors in the next order: as in the file, by size, the unusual first; go to the first of them."""
        self.view.order = _after(self.view.order)
        self._show_tree()
        listed = self.view.groups(self.query_one(FilterBox).value)
        if self.view.order != ORDERS[0] and listed:
            self.query_one(TensorTree).go_to(Part("tensor", listed[0].tensors[0]))

    def action_diff(self) -> None:
        """Ask for another file and compare this one with it, tensor by tensor."""
        if not self.view.path:
            self.program.say("no model is open")
            return

        def chosen(answer: dict[str, str] | None) -> None:
            if answer is not None:
                self._compare(str(Path(answer["path"]).expanduser()))

        field = Field("path", "candidate: a .gguf file or a model folder")
        self.app.push_screen(FormScreen("compare with", [field]), chosen)

    def _compare(self, path: str) -> None:
        if self._comparing is not None:
            self.program.stop(self._comparing)
        request = {"kind": "diff", "reference": self.path, "candidate": path, **self._reading}
        self._diff = (self.program.start(request), DiffView(self.path or "", path))
        if self._timer is not None:
            self._timer.resume()

    def action_values(self) -> None:
        """Show the first values of a tensor, or its facts again."""
        self._show_values = not self._show_values
        self._need_values()
        self._show_part()

    def _need_values(self) -> None:
        part = self._part
        if self._show_values and part.kind == "tensor" and part.key not in self._values:
            self.run_worker(self._read_values(part.key), group="values", exclusive=True)

    async def _read_values(self, name: str) -> None:
        read = partial(self.program.read_values, self.path, name, *_VALUES, **self._reading)
        try:
            self._values[name] = await asyncio.to_thread(read)
        except Exception as error:
            # The edge of the program, as in `_load`.
            self.program.say(str(error), severity="error")
        self._show_part()

    def selection_text(self) -> str:
        """Return the name of the selected part, the file's own bytes; in the pane of details its rows."""
        if self.query_one("#details").has_focus:
            return "\n".join(f"{label}\t{value}" for label, value in self._details(self._part)[1])
        return (self.path or "") if self._part.kind == "file" else self._part.key

    def offer(self) -> Offer | None:
        """Return what the header says, a row a tensor, and the picture."""
        if self.path is None or not self.view.path:
            return None
        words = (self.path, *reading_words(self._reading))
        table = model_table(self.view.summary)
        return Offer(Path(self.path).stem or "model", words, lambda file: export_table(table, file), words)

    def command_line(self) -> str:
        """Return the command that prints what the file holds."""
        if self.path is None:
            return ""
        return command("info", self.path, *(["--scan"] if self.view.scanned else []), *reading_words(self._reading))
