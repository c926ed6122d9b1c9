"""One parity run, live or replayed: the verdict, the text token by token, and the ranks at the cursor.

Live and replay differ in where the events come from and in nothing else. The events are read by a thread;
this screen takes what has arrived twenty times a second.
"""

import time
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from bitnet_tui.core.command_line import command, parity_command
from bitnet_tui.core.exporting import export_run
from bitnet_tui.core.feed import Feed, Live
from bitnet_tui.core.parity_view import ParityView, RunState, TokenStatus
from bitnet_tui.core.text import duration, elide, number, safe, token_text
from bitnet_tui.screens.base import SPINNER, BaseScreen
from bitnet_tui.screens.export import Offer
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.rank_table import RankTable
from bitnet_tui.widgets.tau_bars import TauBars
from bitnet_tui.widgets.token_strip import TokenStrip
from bitnet_tui.widgets.verdict_bar import VerdictBar

_TICK = 1 / 20
_BATCH = 1000

_VERDICTS = {
    "PASS": ("✔ PASS", "bold $success"),
    "FAIL": ("✘ FAIL", "bold $error"),
    "INCONCLUSIVE": ("? INCONCLUSIVE", "bold $warning"),
}
_WORDS = {
    TokenStatus.AGREE: ("agrees", "$tau-good"),
    TokenStatus.DRIFT: ("drifts", "$tau-drift"),
    TokenStatus.DIVERGE: ("diverges", "$tau-bad"),
    TokenStatus.UNDEFINED: ("τ-b undefined", "$tau-bad"),
}


class ParityScreen(BaseScreen):
    """A reference and a candidate over the same text."""

    TAB = "Parity"
    HELP = (
        "τ-b is Kendall's rank correlation of the two sides' next-token logits: 1 is the same order, 0 none. "
        "A token diverges when its τ-b is under the profile's limit or undefined; at an "
        "underlined token the two sides prefer different ones (it flips). n and N visit both kinds. A near-tie "
        "is a token where the reference's own margin between its first two choices is smaller than the "
        "median |Δlogit| of the run: there the order says little. NLL is the negative log-likelihood, in nats."
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
        Binding("n", "divergence(1)", "next difference", id="parity.next"),
        Binding("N", "divergence(-1)", "Divergence or flip before", show=False, id="parity.previous"),
        Binding("w", "worst", "worst", id="parity.worst"),
        Binding("f", "first", "First divergence or flip", show=False, id="parity.first"),
        Binding("space", "pause", "pause", id="parity.pause"),
        Binding("e", "export", "export", id="app.export"),
    ]
    DEFAULT_CSS = """
    ParityScreen {
        #sides { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #verdict { padding: 0 1; }
        #strip { height: 1fr; min-height: 5; background: $background; }
        #bottom { height: 15; }
        #bars { width: 1fr; }
        #ranks { width: 1fr; }
        #stages { height: 1fr; display: none; }
        &.-loading #stages { display: block; }
        &.-loading #strip, &.-loading #bottom { display: none; }
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
        self.view = ParityView()
        self.cursor = 0
        self.frozen = False
        self.live: Live | None = None
        self._feed: Feed | None = None
        self._replayed: str | None = None
        self._follow = False
        self._moved = False
        self._begun: float | None = None
        self._rate = 0.0
        self._tick = 0
        self._timer: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """Sides, verdict, tokens; below them the bars and the ranks."""
        yield Static(Content("no run is open · r starts one, Home lists the recorded ones"), id="sides")
        yield VerdictBar(id="verdict")
        yield ErrorCard(id="error")
        yield Static(id="stages", classes="pane")
        yield TokenStrip(id="strip")
        with Horizontal(id="bottom"):
            yield TauBars(id="bars")
            yield RankTable(id="ranks")

    def on_mount(self) -> None:
        """Name the panes; the clock runs while there is something to read."""
        self._timer = self.set_interval(_TICK, self._take, pause=True)
        for name, title in (
            ("strip", "tokens"),
            ("bars", "τ-b around the cursor"),
            ("ranks", "next token"),
            ("stages", "stages"),
        ):
            pane = self.query_one(f"#{name}")
            pane.add_class("pane")
            pane.border_title = Content(title)

    # ---- beginning and ending -----------------------------------------------------------------------

    def run_live(self, request: dict[str, Any]) -> None:
        """Start a run in a child process and show it as it goes."""
        live = self.program.start(request, record=True)
        if live is not None:
            self._begin(live.feed, live=live)

    def replay(self, path: str) -> None:
        """Show a recorded run."""
        feed = Feed(self.program.store.open(Path(path)))
        feed.start()
        self._begin(feed, replayed=path)

    def _begin(self, feed: Feed, live: Live | None = None, replayed: str | None = None) -> None:
        if self._feed is not None:
            self._feed.stop()
        self._feed, self.live, self._replayed = feed, live, replayed
        self.view = ParityView()
        self.cursor, self.frozen, self._moved = 0, False, False
        self._follow = live is not None
        self._begun, self._rate = None, 0.0
        self.query_one(ErrorCard).hide()
        self.query_one(TokenStrip).show(self.view)
        if self._timer is not None:
            self._timer.resume()
        self.refresh_bindings()
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer to pause where something is on its way only: the footer has room for six keys."""
        return action != "pause" or self.frozen or self._feed is not None

    @property
    def busy(self) -> bool:
        """Whether events of the run are still read."""
        return self._feed is not None

    @property
    def is_live(self) -> bool:
        """Whether a child process is still at work for this screen."""
        return self.live is not None and self._feed is not None

    def _take(self) -> None:
        """Take in the events that have arrived, and show what they changed."""
        if self._feed is None:
            return
        events = self._feed.drain(_BATCH)
        for event in events:
            self.view.feed(event)
        self._tick += 1
        self._time(bool(events))
        ended = self._feed.ended
        if ended:
            self.view.finish()
            self._ended()
        if (events and not self.frozen) or ended:
            self._show()
        else:
            self._show_status()

    def _ended(self) -> None:
        self._feed = None
        self.refresh_bindings()
        if self._timer is not None:
            self._timer.pause()
        recorder = self.live.recorder if self.live is not None else None
        if recorder is not None and recorder.problem:
            self.program.say(recorder.problem, severity="warning")
        self.program.run_ended()
        worst = self.view.worst()
        # A replay has been seen before: what is wanted of it is where it went wrong.
        if self.live is None and not self._moved and worst is not None and self.view.marked()[worst]:
            self.cursor = worst

    def _time(self, arrived: bool) -> None:
        count = len(self.view.tokens)
        if self.live is None or not arrived or not count:
            return
        now = time.monotonic()
        if self._begun is None:
            # What came with the first token waited for a compilation; the clock starts after it.
            self._begun, self._uncounted = now, count
        elif now > self._begun:
            self._rate = (count - self._uncounted) / (now - self._begun)

    # ---- showing ------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Fit the names of the sides to the new width."""
        self._show_sides()

    def _show(self) -> None:
        view = self.view
        strip = self.query_one(TokenStrip)
        loading = not len(view.tokens) and (self._feed is not None or bool(view.stages))
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
        self.query_one(TauBars).show(view, strip.count)
        self.query_one(RankTable).show(view)
        self._show_cursor()
        self._show_status()

    def _show_cursor(self) -> None:
        for widget in (self.query_one(TokenStrip), self.query_one(TauBars), self.query_one(RankTable)):
            widget.cursor = self.cursor
        strip = self.query_one(TokenStrip)
        if not strip.count:
            return
        strip.border_subtitle = self._token_line()
        text = token_text(self.view.tokens.texts[self.cursor])
        self.query_one("#ranks").border_title = Content(f"next token, where the text has {text}")

    def _token_line(self) -> Content:
        tokens, index = self.view.tokens, self.cursor
        word, style = _WORDS[self.view.status(index)]
        parts = [
            Content(f"{index + 1}/{len(tokens)}"),
            Content.styled(token_text(tokens.texts[index]), "bold $foreground"),
            Content(f"τ-b {number(tokens.value('tau_b', index))}"),
        ]
        flips = tokens.is_flip(index)
        if not flips or self.view.status(index) is not TokenStatus.AGREE:
            parts.append(Content.styled(word, style))
        if flips:
            parts.append(Content.styled("flips top-1", "bold $tau-drift"))
        parts.append(Content(f"KL {number(tokens.value('kl', index))}"))
        if self.app.size.width >= 100:
            parts.append(Content(safe(f"{tokens.documents[index]}:{tokens.position(index)}", 40)))
        return Content("  ").join(parts)

    def _show_sides(self) -> None:
        view = self.view
        if view.state is RunState.WAITING and self._feed is None and self._replayed is None:
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
            self.query_one(ErrorCard).show(code, message, "r starts another run, esc goes back")

    def _show_status(self) -> None:
        spinner = SPINNER[self._tick // 2 % len(SPINNER)]
        if self.has_class("-loading"):
            self.query_one("#stages", Static).update(self._stages(spinner))
        self.set_status(self._status(spinner))

    def _stages(self, spinner: str) -> Content:
        lines = []
        for stage in self.view.stages:
            ended = stage.done or not self.is_live
            unfinished = "✘" if self.view.state is RunState.FAILED else "·"
            mark = "✔" if stage.done else unfinished if ended else spinner
            took = "" if stage.seconds is None else f"  {number(stage.seconds, 1)} s"
            lines.append(Content.assemble((f"{mark} ", "$accent"), safe(stage.name, 60), (took, "$text-muted")))
        if not lines:
            lines = [Content(f"{spinner} starting the engine" if self.is_live else "no stage was recorded")]
        return Content("\n").join(lines)

    def _status(self, spinner: str) -> Content:
        view, count = self.view, len(self.view.tokens)
        if view.state is RunState.WAITING and self._feed is None:
            return Content("")
        parts = [self._state(spinner)]
        if view.live and not count and view.active_stage:
            parts.append(Content(safe(view.active_stage, 40)))
        elif count or view.planned:
            of = f"/{view.planned}" if view.live and view.planned else ""
            parts.append(Content(f"{count}{of} tokens"))
        if self.is_live and self._rate > 0:
            parts.append(Content(f"{self._rate:,.{0 if self._rate >= 100 else 1}f} tok/s"))
            if view.planned:
                parts.append(Content(f"eta {duration((view.planned - count) / self._rate)}"))
        return Content("  ").join([*parts, Content("")])

    def _state(self, spinner: str) -> Content:
        if self.frozen:
            return Content.styled("‖ view paused", "bold $warning")
        if self.live is not None and self._feed is not None:
            return Content.styled(f"{spinner} {'cancelling' if self.live.cancelled else 'live'}", "bold $accent")
        if self._feed is not None:
            return Content.styled(f"{spinner} reading", "bold $accent")
        name = "" if self.live is not None else "replay  "
        if self.view.state is RunState.DONE and self.view.verdict in _VERDICTS:
            return Content.assemble((name, "$text-muted"), _VERDICTS[self.view.verdict])
        quiet = self.view.state is RunState.DONE
        return Content.assemble((name, "$text-muted"), (self.view.state.value, "" if quiet else "bold $warning"))

    # ---- keys ---------------------------------------------------------------------------------------

    def _go(self, index: int | None, follow: bool = False) -> None:
        """Move the cursor to a token that is shown; following ends, unless this is how it begins."""
        last = self.query_one(TokenStrip).count - 1
        if index is None or last < 0:
            return
        self._moved, self._follow = True, follow and self.is_live
        self.cursor = min(max(index, 0), last)
        self._show_cursor()

    def on_token_strip_picked(self, event: TokenStrip.Picked) -> None:
        """Go to the clicked token."""
        self._go(event.index)

    def action_step(self, tokens: int) -> None:
        """Move by tokens."""
        self._go(self.cursor + tokens)

    def action_line(self, lines: int) -> None:
        """Move up by lines of the strip."""
        self._go(self.query_one(TokenStrip).line_up(lines))

    def action_edge(self, end: int) -> None:
        """Move to the first or the last token; the last of a live run is followed."""
        self._go(self.query_one(TokenStrip).count - 1 if end else 0, follow=bool(end))

    def action_divergence(self, direction: int) -> None:
        """Move to the nearest diverging or flipped token."""
        find = self.view.next_marked if direction > 0 else self.view.previous_marked
        self._go_or_say(
            find(self.cursor), "no further divergence or flip" if direction > 0 else "no earlier divergence or flip"
        )

    def action_worst(self) -> None:
        """Move to the token with the lowest τ-b."""
        self._go_or_say(self.view.worst(), "no token yet")

    def action_first(self) -> None:
        """Move to the first diverging or flipped token."""
        self._go_or_say(self.view.first(), "no divergence and no flip")

    def _go_or_say(self, index: int | None, otherwise: str) -> None:
        if index is None:
            self.program.say(otherwise)
        self._go(index)

    def selection_text(self) -> str:
        """Return the token at the cursor as a row; in the pane of the ranks, both lists."""
        tokens, index = self.view.tokens, self.cursor
        if index >= len(tokens):
            return ""
        if self.query_one(RankTable).has_focus:
            lists = (self.view.tokens.top(index)[side] for side in (0, 1))
            rows = (
                [name, str(rank), row.text, str(row.logit)]
                for name, side in zip(("reference", "candidate"), lists, strict=True)
                for rank, row in enumerate(side, 1)
            )
            return "\n".join("\t".join(row) for row in rows)
        place = f"{tokens.documents[index]}:{tokens.position(index)}"
        return "\t".join([str(index + 1), place, tokens.texts[index], str(tokens.value("tau_b", index))])

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

    @property
    def path(self) -> str | None:
        """Where the run is recorded: what was opened, or what a live run writes."""
        if self._replayed is not None or self.live is None or self.live.recorder is None:
            return self._replayed
        return self.live.recorder.path

    def action_pause(self) -> None:
        """Freeze the view, or bring it up to date; the run itself goes on."""
        self.frozen = not self.frozen and self._feed is not None
        if self.frozen:
            self._show_status()
        else:
            self._show()
