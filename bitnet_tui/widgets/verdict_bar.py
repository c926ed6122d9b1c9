"""The verdict as a funnel: tokenizer, then belief, then probability, then what diverges.

    ✔ tokenizer ids 100 % │ ✔ belief τ-b .965 ≥ .60 │ … │ 3 diverge · same top-1 95.0 %

Breaks between gates, never inside one. A failed tokenizer gate greys what stands to its right. The last line
says why the first gate that did not pass did not; a warning of the run, such as a setting in which the files
differ, stands below.
"""

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from bitnet_tui.core.parity_view import GateLine, ParityView
from bitnet_tui.widgets.cells import fit

_MARKS = {"PASS": ("✔", "$success"), "FAIL": ("✘", "bold $error"), "INCONCLUSIVE": ("?", "$warning")}
_RUNNING = ("·", "$text-muted")


class VerdictBar(Widget, can_focus=False):
    """The gates of a run on one to three lines, and a reason."""

    DEFAULT_CSS = """
    VerdictBar { height: auto; max-height: 5; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._chunks: list[Content] = []
        self._why: tuple[str, str] | None = None
        self._warning = ""

    def show(self, view: ParityView) -> None:
        """Show the gates of a run as they stand."""
        chunks = [_gate(line, self.app.size.width >= 80) for line in view.funnel()]
        if counts := view.counts():
            marked = bool(view.diverging().any())
            chunks.append(Content.styled(counts, "$tau-bad" if marked else "$text-muted"))
        changed = [chunk.markup for chunk in chunks] != [chunk.markup for chunk in self._chunks]
        more = f" (and {len(view.warnings) - 1} more)" if len(view.warnings) > 1 else ""
        warning = f"! {view.warnings[0]}{more}" if view.warnings else ""
        if changed or view.why() != self._why or warning != self._warning:
            self._chunks, self._why, self._warning = chunks, view.why(), warning
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Return how many lines the gates take in `width` cells."""
        return max(1, len(self._wrapped(width)))

    def render(self) -> Content:
        """Render the gates, wrapped between them."""
        return Content("\n").join(self._wrapped(self.content_size.width))

    def _wrapped(self, width: int) -> list[Content]:
        separator = Content.styled(" │ ", "$text-muted")
        lines: list[Content] = []
        for chunk in self._chunks:
            if lines and lines[-1].cell_length + 3 + chunk.cell_length <= width:
                lines[-1] = Content.assemble(lines[-1], separator, chunk)
            else:
                lines.append(chunk.truncate(width, ellipsis=True))
        if self._why is not None:
            whole, clause = self._why
            fits = cell_len(whole) + 2 <= width
            lines.append(Content.styled(f"  {fit(whole if fits else clause, width - 2)}", "$text-muted"))
        if self._warning:
            lines.append(Content.styled(fit(self._warning, width), "bold $warning"))
        return lines


def _gate(line: GateLine, named: bool) -> Content:
    """Draw one gate; a narrow terminal leaves its name to the quantity that it limits."""
    mark, style = _MARKS.get(line.status or "", _RUNNING)
    name = line.name if named or line.text == "…" else ""
    if line.blocked:
        return Content.styled(f"{mark} {name} {line.text}", "$text-disabled")
    body = "$foreground" if line.status else "$text-muted"
    return Content.assemble((f"{mark} ", style), (f"{name} " if name else "", "bold"), (line.text, body))
