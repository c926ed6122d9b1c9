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
from bitnet_tui.core.exporting import export_table, model_table
from bitnet_tui.core.feed import Live
from bitnet_tui.core.inspect_view import InspectView, Row, Shares
from bitnet_tui.core.text import elide, safe
from bitnet_tui.screens.base import SPINNER, BaseScreen
from bitnet_tui.screens.export import Offer
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.filter_box import FilterBox
from bitnet_tui.widgets.panes import Pane, ScrollPane
from bitnet_tui.widgets.rows_view import RowsView
from bitnet_tui.widgets.tensor_tree import Part, TensorTree

_TICK = 1 / 20
_BATCH = 1000


class InspectScreen(BaseScreen):
    """One model file."""

    TAB = "Inspect"
    HELP = (
        "Everything here comes from the file's header, except the statistics of a tensor: a child process "
        "reads the weights for those, and each tensor gets a bar of its −1, 0 and +1 when it is done. "
        "s reads them once more, for the known bugs that only the weights show."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/", id="inspect.filter"),
        Binding("s", "scan", "scan", id="inspect.scan"),
        Binding("y", "copy", "copy name", id="app.copy"),
        Binding("e", "export", "export", id="app.export"),
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
        self._timer: Timer | None = None
        self._tick = 0

    def compose_body(self) -> ComposeResult:
        """Facts, tree and details, progress of the statistics."""
        yield Static(Content("no model is open · o opens one"), id="facts")
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

    def load(self, path: str, reading: dict[str, Any]) -> None:
        """Read the header of `path` in a thread, then its statistics in a child process.

        `reading` says what the file does not state, as `session.inspect` takes it; {} where nobody knows.
        """
        self.stop()
        self.path, self._reading = path, reading
        self.run_worker(partial(self._load, path), group="load", exclusive=True)

    async def _load(self, path: str) -> None:
        self.query_one("#facts", Static).update(Content(f"reading {safe(path)} …"))
        try:
            summary = await asyncio.to_thread(partial(self.program.inspect, path, **self._reading))
        except Exception as error:
            # The edge of the program: whatever a strange file causes is a card, never a crash.
            self._fail(path, getattr(error, "exit_code", 6), str(error) or type(error).__name__)
            return
        self._show(summary)
        self._live = self._start("stats")

    @property
    def busy(self) -> bool:
        """Whether statistics or a scan go on."""
        return self._live is not None or self._scan is not None

    def _start(self, kind: str) -> Live | None:
        live = self.program.start({"kind": kind, "path": self.path, **self._reading})
        if live is not None and self._timer is not None:
            self._timer.resume()
        return live

    def _show(self, summary: dict[str, Any]) -> None:
        self.view = InspectView(summary)
        self.query_one(ErrorCard).hide()
        self.query_one("#body").display = True
        self._part = Part("file")
        self._show_facts()
        self.query_one(TensorTree).show(self.view)
        self._show_part()
        self.query_one("#tree").focus()

    def _fail(self, path: str, exit_code: int, message: str) -> None:
        self.view = InspectView({})
        self.query_one("#facts", Static).update(Content(safe(path)))
        self.query_one("#body").display = False
        self.query_one(ErrorCard).show(exit_code, message, "o opens another model, esc goes back")

    def stop(self) -> None:
        """Stop the statistics and the scan; what has arrived stays."""
        for live in (self._live, self._scan):
            if live is not None:
                self.program.stop(live)
        if self._scan is not None:
            self.view.feed_scan({"event": "run.end", "status": "cancelled"})
        self._live = self._scan = None
        if self._timer is not None:
            self._timer.pause()
        self.query_one("#progress", Static).update(Content(self.view.scan))

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
            self._show_part()

    def _show_part(self) -> None:
        title, rows, shares = self._details(self._part)
        self.query_one("#details").border_title = Content(title)
        self.query_one(RowsView).show(rows, shares)

    def _details(self, part: Part) -> tuple[str, list[Row], Shares | None]:
        view = self.view
        if part.kind == "tensor":
            return safe(part.key, 60), view.tensor(part.key), view.shares(part.key)
        if part.kind == "metadata":
            return safe(part.key, 60), view.metadata(part.key), None
        if part.kind == "tokenizer":
            return "tokenizer", view.tokenizer(), None
        if part.kind == "finding":
            return "finding", view.finding(int(part.key)), None
        if part.kind == "block":
            return safe(part.key, 60), view.block(part.key), None
        if part == Part("section", "metadata"):
            return "metadata", view.all_metadata(), None
        return ("file" if part.kind == "file" else safe(part.key, 60)), view.overview() if self.path else [], None

    def _take(self) -> None:
        """Take in what has arrived from the child processes."""
        self._live = self._take_stats(self._live) if self._live is not None else None
        self._scan = self._take_scan(self._scan) if self._scan is not None else None
        running = self._live is not None or self._scan is not None
        self._tick += 1
        self._show_progress(SPINNER[self._tick // 2 % len(SPINNER)] + " " if running else "")
        if not running and self._timer is not None:
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
                self.query_one(TensorTree).show(self.view, self.query_one(FilterBox).value)
                self._show_part()
        return None if live.feed.ended else live

    def _show_progress(self, spinner: str) -> None:
        view = self.view
        total = len(view.summary.get("tensors", []))
        text = f"{spinner}statistics {view.measured}/{total} tensors, {view.coverage:.0%} of the bytes"
        notes = [view.stats_error, view.scan, "ctrl+x stops" if spinner else ""]
        self.query_one("#progress", Static).update(Content(" · ".join([text, *filter(None, notes)])))

    # ---- keys ---------------------------------------------------------------------------------------

    def action_scan(self) -> None:
        """Look in the weights for the known bugs that a header does not show; once for each file."""
        if self.view.path and self._scan is None and not self.view.scanned:
            self._scan = self._start("scan")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the tree to what holds the text."""
        self.query_one(TensorTree).show(self.view, event.value)

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
