"""One parity run, live or replayed: the verdict, the text token by token, and the ranks at the cursor.

Live and replay differ in where the events come from and in nothing else. The events are read by a thread;
this screen takes what has arrived twenty times a second.
"""

import asyncio
import math
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from bitnet_tui.core.command_line import command, parity_command
from bitnet_tui.core.exporting import export_run
from bitnet_tui.core.failure_rows import replay_command
from bitnet_tui.core.layers_view import LayersView, diagnosis_of
from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.core.run_source import RunSource
from bitnet_tui.core.run_state import RunState
from bitnet_tui.core.session import BitnetError
from bitnet_tui.core.text import elide, safe, token_text
from bitnet_tui.screens.export import Offer
from bitnet_tui.screens.form import Field, FormScreen
from bitnet_tui.screens.layers import LayersScreen
from bitnet_tui.screens.parity_text import Standing, ranks_text, stages, status, token_line, token_text_row
from bitnet_tui.screens.token_walk import TokenWalk
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.rank_table import RankTable
from bitnet_tui.widgets.tau_bars import TauBars
from bitnet_tui.widgets.token_rows import TokenRows
from bitnet_tui.widgets.token_strip import TokenStrip
from bitnet_tui.widgets.tour_card import TourCard
from bitnet_tui.widgets.verdict_bar import VerdictBar


class ParityScreen(TokenWalk):
    """A reference and a candidate over the same text."""

    TAB = "Parity"
    HELP = (
        "τ-b is Kendall's rank correlation of the two sides' next-token logits: 1 is the same order, 0 none. "
        "A token diverges when its τ-b is under the profile's limit or undefined; at an "
        "underlined token the two sides prefer different ones (it flips). n and N visit both kinds. A near-tie "
        "is a token where the reference's own margin between its first two choices is smaller than the "
        "median |Δlogit| of the run: there the order says little. NLL is the negative log-likelihood, in nats. "
        "m colours and marks the tokens by another measure, t sets the value beyond which one diverges; the verdict "
        "stays that of the profile. Enter computes every operation of every layer again on the text up to the token: "
        "which is off first, and why. c turns the text into a table, and again into the tokens that differ alone."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Token before", show=False, id="parity.left"),
        Binding("right", "step(1)", "token", key_display="←→", id="parity.right"),
        Binding("up", "line(1)", "Line up", show=False, id="parity.line_up"),
        Binding("down", "line(-1)", "Line down", show=False, id="parity.line_down"),
        Binding("pageup", "line(8)", "Eight lines up", show=False, id="parity.lines_up"),
        Binding("pagedown", "line(-8)", "Eight lines down", show=False, id="parity.lines_down"),
        Binding("home", "edge(0)", "First token", show=False, id="parity.start"),
        Binding("end", "edge(1)", "Last token, and follow a live run", show=False, id="parity.end"),
        Binding("n", "divergence(1)", "difference", id="parity.next"),
        Binding("N", "divergence(-1)", "Divergence or flip before", show=False, id="parity.previous"),
        Binding("w", "worst", "worst", id="parity.worst"),
        Binding("enter", "layers", "layers", key_display="⏎", id="parity.layers"),
        Binding("f", "first", "First divergence or flip", show=False, id="parity.first"),
        Binding("m", "measure", "measure", id="parity.measure"),
        Binding("c", "context", "table", id="parity.context"),
        Binding("space", "pause", "pause", id="parity.pause"),
        Binding("e", "export", "export", id="app.export"),
        Binding("t", "threshold", "Threshold of the measure", show=False, id="parity.threshold"),
        Binding("left_square_bracket", "ranks(-1)", "Fewer ranks", key_display="[", show=False, id="parity.fewer"),
        Binding("right_square_bracket", "ranks(1)", "More ranks", key_display="]", show=False, id="parity.more"),
        Binding("b", "bookmark", "Bookmark the token", show=False, id="parity.bookmark"),
        Binding("B", "next_bookmark", "Next bookmark", show=False, id="parity.next_bookmark"),
        Binding("p", "replay", "Copy the command that measures this token again", show=False, id="parity.replay"),
    ]
    DEFAULT_CSS = """
    ParityScreen {
        #sides { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #verdict { padding: 0 1; }
        #strip, #rows { height: 1fr; min-height: 5; background: $background; }
        #rows { display: none; }
        &.-table #rows { display: block; }
        &.-table #strip { display: none; }
        #bottom { height: 15; }
        #bars { width: 1fr; }
        #ranks { width: 1fr; }
        #stages { height: 1fr; display: none; }
        &.-loading #stages { display: block; }
        &.-loading #strip, &.-loading #rows, &.-loading #bottom { display: none; }
        &.-narrow #bars { display: none; }
        &.-narrow.-tall #bottom { layout: vertical; height: 24; }
        &.-narrow.-tall #bars { display: block; width: 100%; height: 10; }
        &.-narrow.-tall #ranks { width: 100%; height: 14; }
        &.-low #bottom { height: 2fr; max-height: 14; }
        &.-low.-wide #bars { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False
        self._diagnoses: dict[int, LayersView] = {}
        """Diagnoses that were begun, by token."""

    def compose_body(self) -> ComposeResult:
        """Sides, verdict, tokens; below them the bars and the ranks."""
        key = self.program.key_of("app.new_run")
        yield Static(Content(f"no run is open · {key} starts one, Home lists the recorded ones"), id="sides")
        yield VerdictBar(id="verdict")
        yield ErrorCard(id="error")
        yield Static(id="stages", classes="pane")
        yield TokenStrip(id="strip")
        yield TokenRows(id="rows")
        with Horizontal(id="bottom"):
            yield TauBars(id="bars")
            yield RankTable(id="ranks")
        yield TourCard()

    def on_mount(self) -> None:
        """Name the panes."""
        for name, title in (
            ("strip", "tokens"),
            ("rows", "tokens"),
            ("bars", "bars"),
            ("ranks", "next token"),
            ("stages", "stages"),
        ):
            pane = self.query_one(f"#{name}")
            pane.add_class("pane")
            pane.border_title = Content(title)

    # ---- beginning and ending -----------------------------------------------------------------------

    @property
    def taking(self) -> ParityView:
        """What takes the events of the run."""
        return self.view

    def fresh(self) -> None:
        """Show a run that has no token yet."""
        self.view = ParityView()
        self.cursor, self.frozen, self._moved = 0, False, False
        self._diagnoses.clear()
        self._follow = self.live is not None
        self.query_one(ErrorCard).hide()
        self.query_one(TokenStrip).show(self.view)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer to pause while something is on its way, the layers once the run has ended: there is one at a time."""
        if action == "layers":
            return not self.is_live
        return action != "pause" or self.frozen or self.busy

    def took(self, arrived: bool) -> None:
        """Show what has arrived, unless the view is held."""
        if (arrived and not self.frozen) or not self.busy:
            self._show()
        else:
            self._show_status()

    def ended(self, source: RunSource) -> None:
        """Go to the worst token of a replay."""
        worst = self.view.worst()
        # A replay has been seen before: what is wanted of it is where it went wrong.
        if source.live is None and not self._moved and worst is not None and self.view.marked()[worst]:
            self.cursor = worst

    # ---- showing ------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Fit the names of the sides to the new width."""
        self._show_sides()

    def _show(self) -> None:
        view = self.view
        strip = self.query_one(TokenStrip)
        loading = not len(view.tokens) and (self.busy or bool(view.stages))
        self.set_class(loading, "-loading")
        if self.focused is None and not loading:
            # What is hidden loses the focus, and the strip was while the first token was awaited.
            strip.focus()
        strip.sync()
        if self._follow and strip.count:
            self.cursor = strip.count - 1
        self._show_sides()
        self._show_error()
        self.query_one(VerdictBar).show(view)
        self.show_judged()
        self.query_one(RankTable).show(view)
        self.show_cursor()
        self._show_status()

    def show_judged(self) -> None:
        """Show what depends on the measure and its threshold."""
        view, rows, count = self.view, self.query_one(TokenRows), self.query_one(TokenStrip).count
        self.query_one(TauBars).show(view, count)
        self.query_one("#bars").border_title = Content(f"{view.measure.name} around the cursor")
        rows.show(view, count if rows.display else 0)
        rows.border_title = Content(f"{rows.listed} tokens that differ" if rows.only_marked else "tokens")
        self.query_one(TokenStrip).refresh()

    def show_cursor(self) -> None:
        """Show what is known of the token at the cursor."""
        parts = (TokenStrip, TokenRows, TauBars, RankTable)
        for widget in map(self.query_one, parts):
            widget.cursor = self.cursor
        strip = self.query_one(TokenStrip)
        if not strip.count:
            return
        line = token_line(self.view, self.cursor, wide=self.app.size.width >= 100)
        strip.border_subtitle = self.query_one(TokenRows).border_subtitle = line
        text = token_text(self.view.tokens.texts[self.cursor])
        self.query_one("#ranks").border_title = Content(f"next token, where the text has {text}")

    def _show_sides(self) -> None:
        view = self.view
        if view.state is RunState.WAITING and self.source is None:
            return
        room = max(16, self.app.size.width - len(view.id) - 36) // 2
        names = [elide(safe(side) or "…", room) for side in (view.reference, view.candidate)]
        parts: list[Content | tuple[str, str]] = [
            (f"{safe(view.id, 16)} " if view.id else "", "bold"),
            ("ref ", "$text-muted"),
            (names[0], "$ref"),
            ("  cand ", "$text-muted"),
            (names[1], "$cand"),
        ]
        if view.profile:
            parts.append((f"  {safe(view.profile, 16)}", "$text-muted"))
        self.query_one("#sides", Static).update(Content.assemble(*parts))

    def _show_error(self) -> None:
        if self.view.errors:
            code, message = self.view.errors[-1]
            keys = self.program.key_of("app.new_run"), self.program.key_of("app.back")
            self.query_one(ErrorCard).show(code, message, f"{keys[0]} starts another run, {keys[1]} goes back")

    def _show_status(self) -> None:
        standing = Standing(
            self.spinner,
            reading=self.busy,
            live=self.live is not None,
            cancelled=self.live is not None and self.live.cancelled,
            frozen=self.frozen,
            rate=self.source.rate if self.source is not None else 0.0,
        )
        if self.has_class("-loading"):
            self.query_one("#stages", Static).update(stages(self.view, standing))
        self.set_status(status(self.view, standing))

    def show_tour(self, text: str) -> None:
        """Show a stop of the tour; none where `text` is empty."""
        self.query_one(TourCard).show(text)

    # ---- keys ---------------------------------------------------------------------------------------

    def action_measure(self) -> None:
        """Judge the tokens by the next measure."""
        self.view.measure = self.view.measure.after()
        limit = self.view.threshold
        beyond = f"beyond {limit:g}" if limit is not None else f"{self.program.key_of('parity.threshold')} sets a limit"
        self.program.say(f"{self.view.measure.name}: {self.view.measure.about}; {beyond}")
        self._judge()

    def action_threshold(self) -> None:
        """Ask beyond which value of the measure a token diverges."""
        measure, now = self.view.measure, self.view.threshold

        def answered(answer: dict[str, str] | None) -> None:
            if answer is None:
                return
            self.view.thresholds.pop(measure, None)
            if answer["limit"]:
                self.view.thresholds[measure] = float(answer["limit"])
            self._judge()

        side = "over" if measure.rising else "under"
        label = f"{measure.name}: a token diverges {side} this value; empty: the limit of the profile, where it has one"
        field = Field("limit", label, "" if now is None else f"{now:g}", check=_number_or_empty)
        self.app.push_screen(FormScreen("threshold", [field]), answered)

    def _judge(self) -> None:
        self.query_one(VerdictBar).show(self.view)
        self.show_judged()
        self.show_cursor()

    def action_ranks(self, more: int) -> None:
        """Show more or fewer ranks."""
        table = self.query_one(RankTable)
        table.most = min(max(1, table.most + more), max(1, len(self.view.rank_rows(self.cursor)))) if self.count else 10

    def action_context(self) -> None:
        """Turn the text into a table, then into a table of what differs, then back."""
        rows, table = self.query_one(TokenRows), self.has_class("-table")
        focused = self.focused in (rows, self.query_one(TokenStrip))
        self.set_class(not (table and rows.only_marked), "-table")
        rows.only_marked = table and not rows.only_marked
        self.call_after_refresh(self.show_judged)
        if focused:
            self.query_one("#rows" if self.has_class("-table") else "#strip").focus()

    def action_layers(self) -> None:
        """Show the layers behind the token: which operation is off first, and why."""
        if self.program.touring:
            self.program.say("the tour's models are not here; bitnet-tui demo --fault activation-other has such a pair")
            return
        request = diagnosis_of(self.view, self.cursor) if self.count else "there is no token yet"
        if isinstance(request, str):
            self.program.say(request)
            return
        known = self._diagnoses.get(self.cursor)
        finished = known is not None and known.report is not None
        if not finished and not self.program.one_run_only():
            return
        crumb = f"{safe(self.view.id, 16)} › token {self.cursor + 1} {token_text(self.view.tokens.texts[self.cursor])}"
        screen = LayersScreen(crumb, request, known if finished else None)
        self._diagnoses[self.cursor] = screen.view
        self.app.push_screen(screen)

    def action_replay(self) -> None:
        """Copy the command that measures this token alone again."""
        if self.count and self.path is not None:
            self.run_worker(self._copy_replay(self.path, self.cursor), group="replay", exclusive=True)
        else:
            self.program.say("there is no token to measure again")

    async def _copy_replay(self, run: str, index: int) -> None:
        document, position = self.view.tokens.documents[index], self.view.tokens.position(index)
        try:
            self.copy(await asyncio.to_thread(replay_command, run, document, position), "")
        except BitnetError as error:
            self.program.say(str(error), severity="warning")

    def selection_text(self) -> str:
        """Return the token at the cursor as a row; in the pane of the ranks, both lists."""
        if self.cursor >= len(self.view.tokens):
            return ""
        return (ranks_text if self.query_one(RankTable).has_focus else token_text_row)(self.view, self.cursor)

    def command_line(self) -> str:
        """Return the command that makes the run again; one that opens it where it does not say how it was made."""
        if self.view.request:
            return parity_command(self.view.request)
        return command(self.path) if self.path is not None else ""

    def offer(self) -> Offer | None:
        """Return the report of the recorded run, and the picture."""
        path = self.path
        if path is None:
            return None

        def write(file: Path) -> None:
            export_run(self.program.store.open(Path(path)), path, file)

        return Offer(self.view.id or "run", (path,), write, (path,))

    def action_pause(self) -> None:
        """Freeze the view, or bring it up to date; the run itself goes on."""
        self.frozen = not self.frozen and self.busy
        if self.frozen:
            self._show_status()
        else:
            self._show()


def _number_or_empty(text: str) -> str | None:
    """Return what is wrong with a threshold that may be left out, or None."""
    try:
        return None if not text or math.isfinite(float(text)) else "a finite number is allowed"
    except ValueError:
        return f"{safe(text, 20)!r}: a number is allowed"
