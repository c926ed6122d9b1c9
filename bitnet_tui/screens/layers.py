"""Why a token differs: every operation of every layer on the candidate's own inputs, as a map, and the finding.

A diagnosis runs in a child process, on the text up to the token; the cursor then stands on the first operation that is
off. Pushed over the Parity screen, which keeps a finished one: coming back costs nothing. Leaving one that runs ends
it.
"""

from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from bitnet_tui.core.command_line import diagnose_command
from bitnet_tui.core.exporting import export_finding
from bitnet_tui.core.finding_text import repaired_text
from bitnet_tui.core.layers_view import LEGEND, LayersView, Place
from bitnet_tui.core.run_source import RunSource
from bitnet_tui.core.run_state import RunState
from bitnet_tui.core.text import safe
from bitnet_tui.screens.export import Offer
from bitnet_tui.screens.form import Field, FormScreen, new_file
from bitnet_tui.screens.run_screen import RunScreen
from bitnet_tui.widgets.error_card import ErrorCard
from bitnet_tui.widgets.heat_map import HeatMap
from bitnet_tui.widgets.panes import ScrollPane
from bitnet_tui.widgets.rows_view import RowsView

_SOUND = ("SAME", "HARMLESS")
"""Verdicts that ask for no repair."""
_STYLES = {"SAME": "$success", "HARMLESS": "$success", "EXPLAINED": "$warning", "UNEXPLAINED": "$error"}


class LayersScreen(RunScreen):
    """The layers behind one token.

    Args:
        crumb: what was come from: the run and the token.
        request: the diagnosis, as `core.session.run` takes it.
        view: a finished diagnosis of the same token; None where there is none yet.
    """

    TAB = "Parity"
    HELP = (
        "Every operation of the candidate is computed again in float64 from the candidate's own input to it, with the "
        "reference's weights: what differs there is wrong there, and not inherited from a layer before. A cell is the "
        "residual ‖found − expected‖ / ‖expected‖, cold where rounding explains it, hotter with each power of ten "
        "beyond. The cursor begins on the first that differs. A cause is named only where a repair is proved to bring "
        "the logits back to the reference's own noise."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1, 0)", "Operation before", show=False, id="layers.up"),
        Binding("down", "move(1, 0)", "Operation after", show=False, id="layers.down"),
        Binding("left", "move(0, -1)", "Layer before", show=False, id="layers.left"),
        Binding("right", "move(0, 1)", "layer", key_display="←→", id="layers.right"),
        Binding("n", "differing(1)", "next bad", id="layers.next"),
        Binding("N", "differing(-1)", "Bad operation before", show=False, id="layers.previous"),
        Binding("f", "first", "first bad", id="layers.first"),
        Binding("enter", "weights", "weights", key_display="⏎", id="layers.weights"),
        Binding("W", "repair", "repair", id="layers.repair"),
        Binding("e", "export", "export", id="app.export"),
        Binding("escape", "app.back", "back", id="app.back"),
    ]
    DEFAULT_CSS = """
    LayersScreen {
        #crumb { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #map { width: 3fr; background: $background; }
        #finding { width: 2fr; scrollbar-size-vertical: 1; }
        &.-narrow #body { layout: vertical; }
        &.-narrow #map { width: 100%; height: 3fr; }
        &.-narrow #finding { width: 100%; height: 2fr; }
    }
    """

    def __init__(self, crumb: str, request: dict[str, Any], view: LayersView | None = None) -> None:
        super().__init__()
        self._crumb, self._request = crumb, request
        self.view = view or LayersView()

    def compose_body(self) -> ComposeResult:
        """The way here, the map, the finding at its right (below, where it is narrow)."""
        yield Static(id="crumb")
        yield ErrorCard(id="error")
        with Horizontal(id="body"):
            yield HeatMap(id="map")
            with ScrollPane(id="finding", classes="pane"):
                yield RowsView(id="rows")

    def on_mount(self) -> None:
        """Begin the diagnosis, unless it has been made."""
        heat = self.query_one(HeatMap)
        heat.add_class("pane")
        heat.border_title = Content("operations by layer")
        self.query_one("#finding").border_title = Content("finding")
        heat.focus()
        self.program.layers = self
        self.watch(self.app, "theme", self._paint)
        if self.view.report is None:
            self._diagnose(self._request)
        else:
            self.took(True)
            self._go(self.view.first)

    def _diagnose(self, request: dict[str, Any]) -> None:
        live = self.program.start(request)
        if live is not None:
            self.begin(RunSource.of_live(live))

    def on_unmount(self) -> None:
        """End a diagnosis that nobody waits for any more."""
        self.program.layers = None
        if self.live is not None and self.busy:
            self.program.stop(self.live)

    def _paint(self) -> None:
        theme = self.program.heat_theme
        if theme is not None:
            self.query_one(HeatMap).paint(theme.ramp, theme.glyphs)
            self._show_legend()

    def _show_legend(self) -> None:
        """Say below the map how many cells differ, and what their signs mean."""
        heat = self.query_one(HeatMap)
        exact, rounding, off, most = map(heat.glyph, LEGEND)
        signs = f"{exact} exact  {rounding} rounding  {off} … {most} off, by powers of ten"
        counts = [f"{len(self.view.grid.differing())} differ"] if self.view.report is not None else []
        heat.border_subtitle = Content(" · ".join([*counts, signs]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer to write a repaired candidate only where there is a cause that does harm."""
        report = self.view.report
        harmed = report is not None and bool(report["causes"]) and report["verdict"] not in _SOUND
        return harmed or action != "repair"

    # ---- the run ------------------------------------------------------------------------------------

    @property
    def taking(self) -> LayersView:
        """What takes the events of the run."""
        return self.view

    def fresh(self) -> None:
        """Show a diagnosis that has said nothing yet."""
        self.query_one(ErrorCard).hide()

    def ended(self, source: RunSource) -> None:  # noqa: ARG002
        """Go to the first operation that differs; say what was written."""
        self._go(self.view.first)
        if self.view.report is not None and (repair := self.view.report.get("repaired")) is not None:
            self.program.say(repaired_text(repair), severity="information" if repair["path"] else "warning")

    def took(self, arrived: bool) -> None:
        """Show what has arrived."""
        if arrived or not self.busy:
            self._show()
        self._show_status()

    # ---- showing ------------------------------------------------------------------------------------

    def _show(self) -> None:
        view, heat = self.view, self.query_one(HeatMap)

        def warmth(place: Place) -> float | None:
            one = view.grid.at(place)
            return None if one is None else one.heat

        heat.show(view.grid.names, view.grid.columns, warmth)
        if view.errors:
            keys = self.program.key_of("app.back")
            self.query_one(ErrorCard).show(*view.errors[-1], f"{keys} goes back")
        self._show_legend()
        self._show_cursor()

    def _show_cursor(self) -> None:
        place = self.query_one(HeatMap).cursor
        one = self.view.grid.at(place)
        where = [] if one is None else [*([f"layer {one.layer}"] if one.layer is not None else []), safe(one.name, 40)]
        self.query_one("#crumb", Static).update(Content(" › ".join([self._crumb, *where])))
        self.query_one(RowsView).show(self.view.rows(place))

    def _show_status(self) -> None:
        view = self.view
        if self.busy:
            cancelling = self.live is not None and self.live.cancelled
            state = f"{self.spinner} {'cancelling' if cancelling else 'diagnosing'}"
            parts = [Content.styled(state, "bold $accent"), Content(view.progress())]
        elif view.report is not None:
            verdict = str(view.report["verdict"])
            parts = [Content.styled(verdict, f"bold {_STYLES.get(verdict, '')}".rstrip())]
        else:
            parts = [Content.styled(view.state.value, "" if view.state is RunState.DONE else "bold $warning")]
        self.set_status(Content("  ").join([*parts, Content("")]))

    # ---- keys ---------------------------------------------------------------------------------------

    def _go(self, place: Place | None) -> None:
        if place is not None:
            self.query_one(HeatMap).cursor = place
            self._show_cursor()

    def on_heat_map_picked(self, event: HeatMap.Picked) -> None:
        """Go to the clicked cell."""
        self._go((event.row, event.column))

    def action_move(self, down: int, right: int) -> None:
        """Move by cells."""
        row, column = self.query_one(HeatMap).cursor
        rows, columns = len(self.view.grid.names), len(self.view.grid.columns)
        if rows and columns:
            self._go((min(max(row + down, 0), rows - 1), min(max(column + right, 0), columns - 1)))

    def action_differing(self, direction: int) -> None:
        """Move to the next operation that differs, in the order of the graph, or to the one before."""
        found = self.view.grid.after(self.query_one(HeatMap).cursor, direction)
        if found is None:
            self.program.say("no further operation differs" if direction > 0 else "no earlier operation differs")
        self._go(found)

    def action_first(self) -> None:
        """Move to the first operation that differs."""
        if self.view.first is None:
            self.program.say("no operation differs")
        self._go(self.view.first)

    async def action_weights(self) -> None:
        """Show the weights of the operation in Inspect; back leads here again."""
        name = self.view.weight_at(self.query_one(HeatMap).cursor)
        if name is None:
            self.program.say("there is no operation here")
            return
        await self.program.show_weight(str(self._request["candidate"]), name)

    def action_repair(self) -> None:
        """Ask for a file, and diagnose once more, writing the candidate with every cause repaired into it."""
        if not self.program.one_run_only():
            return
        candidate = Path(str(self._request["candidate"]).rstrip("/"))
        likely = str(candidate.with_name(f"{candidate.stem}-repaired{candidate.suffix}"))

        def asked(request: dict[str, str]) -> dict[str, Any]:
            return {**self._request, "write_repaired": str(Path(request["file"]).expanduser())}

        def begin(answers: dict[str, str] | None) -> None:
            if answers is not None:
                self._diagnose(asked(answers))

        field = Field("file", "the repaired candidate, in its own format", likely, check=new_file)
        form = FormScreen("write repaired", [field], preview=lambda answers: diagnose_command(asked(answers)))
        self.app.push_screen(form, begin)

    # ---- copying and exporting ----------------------------------------------------------------------

    def selection_text(self) -> str:
        """Return the operation under the cursor as a row; in the pane of the finding, all of it."""
        place = self.query_one(HeatMap).cursor
        if self.query_one("#finding").has_focus:
            return "\n".join(f"{label}\t{value}" for label, value in self.view.rows(place))
        one = self.view.grid.at(place)
        return "" if one is None else "\t".join([str(one.layer), one.name, str(one.residual), str(one.tolerance)])

    def command_line(self) -> str:
        """Return the command that makes the same diagnosis."""
        return diagnose_command(self._request)

    def offer(self) -> Offer | None:
        """Return the finding."""
        report = self.view.report
        if report is None:
            return None
        return Offer(
            "finding",
            (),
            lambda file: export_finding(dict(report), file),
            formats=(".json", ".md"),
            command_of=lambda file: diagnose_command(self._request, str(file.parent)),
        )
